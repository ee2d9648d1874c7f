"""Draws the body of a person into the light of a picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import atlas, body, complexion, hair, hairline, head, noise
from synthface.parametric.anatomy import MOUTH_Y, PUPIL_X
from synthface.parametric.atlas import COLUMNS, HEAD, HEAD_ROWS, ROWS, TEXELS_PER_VERTEX, TORSO
from synthface.parametric.camera import PIVOT, Camera, rotation
from synthface.parametric.light import Lamps, ShadowMap
from synthface.parametric.raster import Layer
from synthface.parametric.sampling import SUPERSAMPLING, Samples
from synthface.parametric.situation import Situation
from synthface.parametric.skin import Paint
from synthface.parametric.surface import Surface, shade_skin, towards_camera, turned, unit
from synthface.parametric.traits import Traits

Array = NDArray[Any]


def stand(model: body.Body, camera: Camera, n: Situation) -> Array:
    """Every second vertex of the body in the room (V, 3): the head turned on shoulders that follow it a little."""
    coarse = np.ascontiguousarray(model.position[::2, ::2])
    room = camera.turn(coarse.reshape(-1, 3)).reshape(coarse.shape)
    where = tuple(slice(part.start // 2, (part.stop + 1) // 2) for part in TORSO.where)
    room[where] = (coarse[where] - PIVOT.astype(np.float32)) @ _shoulders(n).T
    return room.reshape(-1, 3)


def _shoulders(n: Situation) -> Array:
    return rotation(0.55 * n["yaw"], 0.1 * n["pitch"], 0.25 * n["roll"]).astype(np.float32)


@lru_cache(maxsize=1)
def _address() -> Array:
    """(V, 3): what the rasteriser interpolates: column and row of the atlas as shares, and 0."""
    row, column = np.meshgrid(np.linspace(0, 1, ROWS)[::2], np.linspace(0, 1, COLUMNS)[::2], indexing="ij")
    return np.stack([column, row, 0 * row], -1).reshape(-1, 3).astype(np.float32)


@lru_cache(maxsize=1)
def _detail() -> NDArray[Any]:
    """(ROWS, COLUMNS): where the paint is so fine that every point counts."""
    c = head.canon()
    side, front = np.abs(c.x), c.front > 0.3
    eyes = (np.abs(side - PUPIL_X) < 20) & (np.abs(c.y) < 11)
    brows = (np.abs(side - 30) < 23) & (np.abs(c.y - 18) < 8)
    mouth = (side < 30) & (np.abs(c.y - MOUTH_Y) < 9)
    nostrils = (side < 14) & (np.abs(c.y + 47) < 5)
    detail = np.zeros((ROWS, COLUMNS), bool)
    detail[HEAD.where] = (eyes | brows | mouth | nostrils) & front
    return detail


def rasterise(room_V3: Array, camera: Camera, size: int) -> Layer:
    layer = Layer(size)
    layer.draw(camera.project(room_V3, SUPERSAMPLING), body.triangles(), _address())
    return layer


def draw(
    light: Array,
    layer: Layer,
    visible_HW: NDArray[Any],
    t: Traits,
    paint: Paint,
    model: body.Body,
    room_V3: Array,
    locks: hair.Hair,
    camera: Camera,
    n: Situation,
    lights: Lamps,
    shadows: ShadowMap,
) -> float:
    """Shades the visible part of the body into `light` (3, H, W); gives the face's mean brightness under this light."""
    samples = Samples(layer, visible_HW, (ROWS, COLUMNS), _detail())
    column, row = samples.column, samples.row
    coarse_column, coarse_row = column * np.float32(0.5), row * np.float32(0.5)
    x, y, azimuth, openness = noise.lookup(body.coordinates(), column, row)
    rows = hairline.scalp().canon.x.shape[0]
    strand = noise.lookup(hair.scalp_strands(locks), coarse_column, np.minimum(coarse_row, np.float32(rows - 1)))
    strand[2][row > HEAD_ROWS - 0.5] = -50.0
    at = noise.lookup(room_V3.reshape(atlas.COARSE_ROWS, atlas.COARSE_COLUMNS, 3), coarse_column, coarse_row)
    place = complexion.Place(row, column, x, y, azimuth, strand)
    normal = noise.lookup(model.normal, column, row)
    in_room = turned(camera.head, normal)
    torso = np.flatnonzero(place.torso)
    in_room[:, torso] = turned(_shoulders(n), normal[:, torso])
    surface = Surface(
        room=at,
        normal=unit(in_room),
        view=towards_camera(at, camera.distance),
        albedo=np.empty_like(at),
        gloss=np.empty_like(x),
        open=openness.copy(),
    )
    k = np.float32(TEXELS_PER_VERTEX)
    highlight = complexion.apply(
        surface,
        place,
        noise.lookup(paint.pigment, column * k, row * k),
        noise.lookup(paint.cover, column * k, row * k),
        t,
        n,
        camera.head,
        lights.key,
    )
    shaded = shade_skin(surface, lights, shadows)
    lowest = -105.0 if n["mask"] < 0.5 else -12.0
    face = np.flatnonzero((np.abs(azimuth) < 1.2) & (y > lowest) & (y < 55) & (np.abs(x) < 60))
    weight = np.where(face < samples.blocks, 4, 1)
    brightness = float(np.average(shaded[:, face].mean(axis=0), weights=weight)) if len(face) else 0.2
    complexion.glint(shaded, highlight, lights, brightness)
    samples.put(light, shaded)
    return brightness
