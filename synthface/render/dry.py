"""A generator without a network, for rehearsals: plans, engines, disks and the speed of everything else (ours).

Its pictures show nobody. Each is a mosaic of small tiles whose values are the condition, scattered by noise from the
picture's own seed; the dry encoder reads the tiles back. So seeds, gates, retries, JPEG, shards and packing work as they
do with a real generator, at thousands of pictures a second, and the recipe's gate thresholds decide how many pass.

    generator.model: dry   encoder.model: dry   encoder.verifier: dry
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.encoder import Provenance
from synthface.errors import InputError

_TILE = 4  # pixels
_NOISE = 0.4  # length of the noise, that of the condition being 1
_CONTRAST = 38.0  # grey levels of a tile one standard deviation bright


def values_of(image_size: int) -> int:
    """How many values a mosaic of this size carries: three a tile."""
    return 3 * (image_size // _TILE) ** 2


class DryGenerator:
    """Draws mosaics. `dimension` of the conditions; `image_size`, pixels."""

    def __init__(self, dimension: int, image_size: int) -> None:
        if dimension > values_of(image_size) or image_size % _TILE:
            raise InputError(
                f"A mosaic of {image_size} pixels has no room for {dimension} values.",
                f"Set crop.size to a multiple of {_TILE} that is large enough, for example 112.",
            )
        self.dimension, self.image_size = dimension, image_size

    def sample(
        self, condition_ND: NDArray[np.floating], seeds: Sequence[int] | NDArray[np.integer], **_: Any
    ) -> NDArray[np.uint8]:
        """Mosaics (N, side, side, 3) uint8: row n is a function of condition n and seed n alone."""
        side = self.image_size // _TILE
        tile_NV = np.empty((len(condition_ND), values_of(self.image_size)), np.float32)
        for row, seed in enumerate(seeds):
            rng = np.random.Generator(np.random.Philox(key=int(seed)))
            tile_NV[row] = rng.standard_normal(tile_NV.shape[1], dtype=np.float32)
        spread = np.float32(np.sqrt(self.dimension))
        tile_NV[:, : self.dimension] *= _NOISE
        tile_NV[:, : self.dimension] += np.asarray(condition_ND, np.float32) * spread
        level_NV = np.clip(np.rint(tile_NV * _CONTRAST + 128), 0, 255).astype(np.uint8)
        tile_NHWC = level_NV.reshape(-1, side, side, 3)
        return tile_NHWC.repeat(_TILE, axis=1).repeat(_TILE, axis=2)


class DryEncoder:
    """Reads mosaics. See `synthface.encoder.Encoder`."""

    provenance = Provenance("dry", "dry")

    def __init__(self, dimension: int, image_size: int) -> None:
        self.dimension, self.image_size = dimension, image_size

    def embed(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, d) float32, not normalised."""
        tile_BV = image_BHWC[:, _TILE // 2 :: _TILE, _TILE // 2 :: _TILE].reshape(len(image_BHWC), -1)
        return (tile_BV[:, : self.dimension].astype(np.float32) - 128) / np.float32(_CONTRAST)
