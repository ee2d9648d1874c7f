"""The atlas: one sheet of vertices on which head, ears and torso lie as rectangular patches.

A vertex is a (row, column) of the sheet. The rasteriser draws every second vertex and interpolates rows and columns;
whatever a pixel needs (position, normal, colour, anything) is then looked up on a sheet of any resolution by one
bilinear sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Odd numbers of rows and columns, and patches that begin at even ones: every second vertex is a sheet of its own.
HEAD_ROWS, HEAD_COLUMNS = 137, 133
EAR_ROWS, EAR_COLUMNS = 21, 31
TORSO_ROWS, TORSO_COLUMNS = 17, 49
ROWS, COLUMNS = HEAD_ROWS + 1 + EAR_ROWS, HEAD_COLUMNS
COARSE_ROWS, COARSE_COLUMNS = (ROWS + 1) // 2, (COLUMNS + 1) // 2
TEXELS_PER_VERTEX = 2  # painted sheets are finer than the mesh


@dataclass(frozen=True)
class Patch:
    """A rectangle of the sheet."""

    row: int
    column: int
    rows: int
    columns: int

    @property
    def where(self) -> tuple[slice, slice]:
        """Index of the patch's vertices on the sheet."""
        return slice(self.row, self.row + self.rows), slice(self.column, self.column + self.columns)

    @property
    def texels(self) -> tuple[slice, slice]:
        """Index of the patch on a painted sheet."""
        k = TEXELS_PER_VERTEX
        return (
            slice(self.row * k, (self.row + self.rows - 1) * k + 1),
            slice(self.column * k, (self.column + self.columns - 1) * k + 1),
        )

    def triangles(self, step: int = 1) -> NDArray[Any]:
        """Two triangles a cell of the coarse sheet, or of `step` cells, as its flat indices."""
        row = (self.row + np.arange(0, self.rows, 2)) // 2
        column = (self.column + np.arange(0, self.columns, 2)) // 2
        return cells(row[::step, None] * COARSE_COLUMNS + column[::step])


def cells(index_RC: NDArray[Any]) -> NDArray[Any]:
    """Triangles (T, 3) between neighbours in a sheet of vertex numbers, front faces wound alike."""
    return quads(index_RC[:-1, :-1], index_RC[:-1, 1:], index_RC[1:, :-1], index_RC[1:, 1:])


def quads(a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any]) -> NDArray[Any]:
    """Triangles (T, 3) of cells with upper corners a, b and lower corners c, d."""
    first, second = np.stack([a, c, b], -1), np.stack([b, c, d], -1)
    return np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)]).astype(np.int32)


HEAD = Patch(0, 0, HEAD_ROWS, HEAD_COLUMNS)
LEFT_EAR = Patch(HEAD_ROWS + 1, 0, EAR_ROWS, EAR_COLUMNS)
RIGHT_EAR = Patch(HEAD_ROWS + 1, EAR_COLUMNS + 3, EAR_ROWS, EAR_COLUMNS)
TORSO = Patch(HEAD_ROWS + 1, 2 * EAR_COLUMNS + 6, TORSO_ROWS, TORSO_COLUMNS)


def normals(position_RC3: NDArray[Any], closed: bool = False) -> NDArray[Any]:
    """Unit normals of a sheet of vertices by central differences; `closed` joins the first and last columns."""
    along, down = np.empty_like(position_RC3), np.empty_like(position_RC3)
    along[:, 1:-1] = position_RC3[:, 2:] - position_RC3[:, :-2]
    if closed:
        along[:, 0] = along[:, -1] = position_RC3[:, 1] - position_RC3[:, -2]
    else:
        along[:, 0] = position_RC3[:, 1] - position_RC3[:, 0]
        along[:, -1] = position_RC3[:, -1] - position_RC3[:, -2]
    down[1:-1] = position_RC3[:-2] - position_RC3[2:]
    down[0] = position_RC3[0] - position_RC3[1]
    down[-1] = position_RC3[-2] - position_RC3[-1]
    ax, ay, az = along[..., 0], along[..., 1], along[..., 2]
    dx, dy, dz = down[..., 0], down[..., 1], down[..., 2]
    x, y, z = ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx
    length = np.sqrt(x * x + y * y + z * z) + 1e-9
    normal = np.empty_like(position_RC3)
    for k, component in enumerate((x, y, z)):
        np.divide(component, length, out=normal[..., k])
    return normal
