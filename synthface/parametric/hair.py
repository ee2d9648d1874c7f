"""Hair as two sheets of locks: a cap that stands off the scalp and a curtain that hangs from it; and a bun (ours)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import atlas, hairline, noise
from synthface.parametric.anatomy import CENTER
from synthface.parametric.fields import bell, smoothstep
from synthface.parametric.traits import Traits

Array = NDArray[Any]
Sheet = tuple[Array, Array, Array, Array]  # position, normal, tangent, strand

CURTAIN_ROWS, CURTAIN_COLUMNS = 26, 61
BUN_ROWS, BUN_COLUMNS = 9, 17
_ROOT_Y = 52.0  # the curtain hangs from here, hidden by the cap
_NEVER = -50.0


@dataclass(frozen=True)
class Style:
    """How the hair lies in one picture."""

    recession: float  # mm
    tied: float
    tousle: float


@dataclass(frozen=True)
class Hair:
    """Cap, curtain and bun, one below the other on a sheet of vertices (rows, columns, ·)."""

    position: Array  # head coordinates, mm
    normal: Array
    tangent: Array  # from root to tip
    strand: Array  # across and along the locks (mm), distance into the hair (mm), openness to light 0…1
    triangles: NDArray[Any]  # only those that can show hair
    shadow_vertices: NDArray[Any]  # every second vertex,
    shadow_triangles: NDArray[Any]  # and the triangles between them


def build(head_position: Array, t: Traits, style: Style) -> Hair:
    """The hair on a head; `head_position` is the head's patch (rows, columns, 3)."""
    sheets = [_cap(head_position, t, style), _curtain(head_position, t, style), _bun(t, style)]
    rows = sum(sheet[0].shape[0] for sheet in sheets)
    columns = max(sheet[0].shape[1] for sheet in sheets)
    whole = [np.zeros((rows, columns, width), np.float32) for width in (3, 3, 3, 4)]
    row = 0
    for sheet in sheets:
        for target, source in zip(whole, sheet, strict=True):
            target[row : row + source.shape[0], : source.shape[1]] = source
        row += sheet[0].shape[0]
    into = whole[3][..., 2].reshape(-1)
    shapes = tuple(sheet[0].shape[:2] for sheet in sheets)
    vertices, coarse = _shadow_mesh(shapes, columns)
    position, normal, tangent, strand = whole
    return Hair(
        position, normal, tangent, strand, _showing(_triangles(shapes, columns), into),
        vertices, _showing(coarse, into[vertices]),
    )  # fmt: skip


def _showing(triangle_T3: NDArray[Any], into: Array) -> NDArray[Any]:
    a, b, c = triangle_T3.T
    shows = into > -3.0
    return triangle_T3[shows[a] | shows[b] | shows[c]]


def scalp_strands(locks: Hair) -> Array:
    """The cap's part of `strand`."""
    rows, columns = hairline.scalp().canon.x.shape
    return np.ascontiguousarray(locks.strand[:rows, :columns])


@lru_cache(maxsize=1)
def _triangles(shapes: tuple[tuple[int, int], ...], width: int, step: int = 1) -> NDArray[Any]:
    parts, start = [], 0
    for rows, columns in shapes:
        parts.append(atlas.cells((start + np.arange(0, rows, step))[:, None] * width + np.arange(0, columns, step)))
        start += rows
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def _shadow_mesh(shapes: tuple[tuple[int, int], ...], width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    vertices, triangle = np.unique(_triangles.__wrapped__(shapes, width, 2), return_inverse=True)
    return vertices, triangle.reshape(-1, 3).astype(np.int32)


def _sheet(
    position: NDArray[Any],
    across: NDArray[Any],
    along: NDArray[Any],
    depth: NDArray[Any],
    open_: NDArray[Any],
    closed: bool,
) -> Sheet:
    """(position, normal, tangent, strand) of one sheet."""
    position = np.asarray(position, np.float32)
    across, along, depth, open_ = np.broadcast_arrays(across, along, depth, open_)
    down, right = _slope(position), _slope(position.swapaxes(0, 1)).swapaxes(0, 1)
    weight_down = _slope(along) / (_square(down) + 0.5)
    weight_right = _slope(along.T).T / (_square(right) + 0.5)
    tangent = down * weight_down[..., None] + right * weight_right[..., None]
    tangent /= np.sqrt(_square(tangent))[..., None] + 1e-6
    strand = np.empty((*along.shape, 4), np.float32)
    for k, layer in enumerate((across, along, depth, open_)):
        strand[..., k] = layer
    return position, atlas.normals(position, closed), tangent, strand


def _slope(values: NDArray[Any]) -> NDArray[Any]:
    """Central differences down the rows."""
    slope = np.empty_like(values)
    slope[1:-1] = (values[2:] - values[:-2]) * 0.5
    slope[0], slope[-1] = values[1] - values[0], values[-1] - values[-2]
    return slope


def _square(vector: NDArray[Any]) -> NDArray[Any]:
    return vector[..., 0] ** 2 + vector[..., 1] ** 2 + vector[..., 2] ** 2


def _away(position: NDArray[Any]) -> NDArray[Any]:
    """Unit vectors from the middle of the skull, level below the ears' height."""
    offset = position - np.asarray(CENTER + np.array([0, 30, 0]), np.float32)
    offset[..., 1] = np.maximum(offset[..., 1], 0)
    return offset / (np.sqrt(_square(offset))[..., None] + 1e-6)


def _cap(head_position: Array, t: Traits, style: Style) -> Sheet:
    s = hairline.scalp()
    c = s.canon
    skin = head_position[s.rows, s.columns]
    into = hairline.inside(t, style.recession)
    across, along, from_part = hairline.flow(t.hair_part)

    long = smoothstep(20, 70, t.hair_length)
    fringe = _fringe(c.azimuth, t) * (1 - 0.8 * style.tied)
    into_fringe = into + fringe
    top = smoothstep(25, 92, c.y)
    loose = 1 - 0.75 * style.tied
    volume = (0.25 + t.hair_volume) * (1 + 1.3 * t.hair_curl) * loose
    thickness = (3.0 + 3.0 * long * loose) + volume * (4.0 + 9.0 * top + 5.0 * long)
    thickness *= 1 - 0.55 * (1 - top) * (1 - long) * (1 - 0.5 * t.hair_curl)  # short hair is shorter on the sides
    ramp = smoothstep(-1.0, 10 + 22 * (1 - fringe / 40), into_fringe) ** 0.75
    edge = 1.2 + 3.2 * smoothstep(4, 20, fringe)
    lift = edge * smoothstep(-6, 2, into_fringe) + thickness * ramp

    smooth = 1 - t.hair_curl
    parted = (1 - style.tied) * smoothstep(30, 70, t.hair_length + 30 * t.hair_volume) * smooth
    lift -= parted * 0.4 * thickness * bell(from_part, 0, 5.5) * ramp
    swell = noise.sample(noise.locks(), across * 1.2 + 25 * style.tousle, along * 0.7) * smooth
    swell += 1.1 * t.hair_curl * noise.sample(noise.curls(), across * 0.5, along * 0.5 + 20 * style.tousle)
    lift += (0.7 + 1.5 * volume) * swell * ramp * loose
    quiff = volume * (1 - long) * smooth * bell(c.azimuth, 0.25 * t.hair_part, 0.55) * bell(c.y, 84, 20)
    away = _away(skin)
    position = skin + away * lift[..., None]
    position[..., 2] += 5.0 * quiff * ramp
    position[..., 1] += 5.0 * quiff * ramp
    openness = 0.55 + 0.45 * smoothstep(-8, 18, into_fringe)
    return _sheet(position, across, along, into_fringe, openness, closed=True)


def _fringe(azimuth: NDArray[Any], t: Traits) -> NDArray[Any]:
    """How far (mm) hair hangs below the hairline on the forehead."""
    swept = 1 + 0.7 * t.hair_part * np.tanh(2.4 * azimuth - 0.6 * t.hair_part)
    full = 15.0 + 24.0 * t.hair_fringe
    window = smoothstep(0.98, 0.62, np.abs(azimuth))
    return full * smoothstep(0.12, 0.75, t.hair_fringe) * swept * window * (1 - 0.6 * t.hair_curl)


def _curtain(head_position: Array, t: Traits, style: Style) -> Sheet:
    """Rows hang down, columns go around the back from one temple to the other."""
    length = t.hair_length * (1 - 0.85 * style.tied)
    shown = float(smoothstep(12, 62, length))  # shorter hair lies inside the cap, from which it grows smoothly
    u = np.linspace(-1, 1, CURTAIN_COLUMNS, dtype=np.float32)[None, :]
    v = np.linspace(0, 1, CURTAIN_ROWS, dtype=np.float32)[:, None]
    opening = 0.88 + 0.64 * t.hair_tuck  # at 1.5 it is tucked behind the ears
    azimuth = np.pi + u * (np.pi - opening)
    hang = length + 46.0
    y = _ROOT_Y - v * hang
    volume = (0.3 + t.hair_volume) * (1 + 1.1 * t.hair_curl)
    low = smoothstep(30, -30, y)
    wave = (1.2 + 4.0 * t.hair_curl) * np.sin(y / (15.0 - 6 * t.hair_curl) + 2.0 * style.tousle + 3.0 * np.cos(azimuth))
    grow = 5.0 + 8.0 * volume * low
    taper = 1 - 0.16 * smoothstep(-70, -190, y) * (1 - 0.6 * t.hair_curl)
    half_x = (
        (77.0 + (4.0 * low + grow + 0.5 * wave) * shown - 14.0 * (1 - shown)) * taper * (1 + 0.035 * float(t.shape[0]))
    )
    front = np.maximum(np.cos(azimuth), 0)
    half_z = (98.0 + (grow * 0.7 + wave * 0.4) * shown - 14.0 * (1 - shown)) * (1 - 0.10 * smoothstep(-60, -170, y))
    locks = noise.sample(noise.locks(), azimuth * 62 + 25 * style.tousle, y * 0.3)
    curls = noise.sample(noise.curls(), azimuth * 35, y * 0.4)
    relief = 1.6 * locks * (1 - t.hair_curl) + 3.2 * t.hair_curl * curls
    x = np.sin(azimuth) * (half_x + relief)
    z = float(CENTER[2]) - 4.0 + np.cos(azimuth) * (half_z + relief) - 9.0 * front * low
    position = np.stack(np.broadcast_arrays(x, y, z), -1)
    from_front = (np.pi - opening - np.abs(u * (np.pi - opening))) * 78.0
    into = np.minimum(np.minimum(from_front + 4.0, (1 - v) * hang * 0.4), 30.0)
    into = into if shown > 0 else np.full_like(into, _NEVER)
    openness = 0.72 + 0.28 * smoothstep(-1, 1.5, relief) - 0.25 * smoothstep(-20, -130, y) * front
    return _sheet(position, azimuth * 78.0 + 0 * v, (_ROOT_Y - y) + 40 + 0 * u, into, openness, closed=False)


def _bun(t: Traits, style: Style) -> Sheet:
    size = 30.0 * style.tied * float(smoothstep(50, 110, t.hair_length))
    polar = np.linspace(0.02, np.pi - 0.02, BUN_ROWS)[:, None]
    around = np.linspace(-np.pi, np.pi, BUN_COLUMNS)[None, :]
    unit = np.stack(
        np.broadcast_arrays(np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)), -1
    )
    high = 60.0 + 50.0 * np.tanh(t.texture[0])
    middle = np.array([0.0, high, -85.0 - np.sqrt(max(120.0**2 - high**2, 0.0))])
    into = np.full(unit.shape[:2], 20.0 if size > 1 else _NEVER)
    return _sheet(
        middle + unit * size, around * 30.0, polar * 30.0 + 0.2 * around, into, np.full(into.shape, 0.8), closed=True
    )


def colour(t: Traits, years: float) -> tuple[Array, float]:
    """Linear albedo (3,) of the hair and the share of it that is grey."""
    table = np.array(
        [
            (0.46, 0.34, 0.19),
            (0.30, 0.195, 0.10),
            (0.165, 0.098, 0.052),
            (0.078, 0.044, 0.024),
            (0.030, 0.018, 0.012),
            (0.013, 0.010, 0.009),
        ]
    )
    at = np.clip(t.hair_darkness, 0, 1) * (len(table) - 1)
    low = min(int(at), len(table) - 2)
    base = np.exp(np.log(table[low]) * (1 - at + low) + np.log(table[low + 1]) * (at - low))
    base = base * (1 - t.hair_redness) + np.array([0.20, 0.062, 0.020]) * t.hair_redness
    grey = float(smoothstep(42, 94, years + 5 * t.ageing))
    return base.astype(np.float32), grey
