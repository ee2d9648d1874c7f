"""Draws hair, strand by strand in its pattern and colour, into the light of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.parametric import hair, hairline, noise
from synthface.parametric.camera import Camera
from synthface.parametric.fields import smoothstep
from synthface.parametric.light import Lamps, ShadowMap
from synthface.parametric.raster import FAR, Layer
from synthface.parametric.sampling import SUPERSAMPLING, Samples
from synthface.parametric.situation import Situation
from synthface.parametric.surface import Surface, dot, shade_hair, towards_camera, turned, unit
from synthface.parametric.traits import Traits

Array = NDArray[Any]

_SILVER = np.array([0.30, 0.29, 0.275], np.float32)


@dataclass
class Pixels:
    """The hair that may be seen: where, how opaque, and the strands' patterns there (about 0, unit variance)."""

    layer: Layer
    samples: Samples
    normal: Array  # (3, P) towards the viewer
    view: Array
    room: Array
    openness: Array
    fine: Array
    lock: Array
    curl: Array
    grain: Array  # fine or curl, as the hair is
    parted: Array  # 0 in the parting … 1 away from it
    cover: Array


@lru_cache(maxsize=1)
def _address(height: int, width: int) -> Array:
    row, column = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    return np.stack([column, row, 0 * row], -1).reshape(-1, 3).astype(np.float32)


def rasterise(locks: hair.Hair, room_V3: Array, front_of: Layer, camera: Camera, t: Traits, n: Situation) -> Pixels:
    """Finds the hair before the body that `front_of` holds."""
    height, width = locks.position.shape[:2]
    layer = Layer(front_of.size)
    if len(locks.triangles):
        layer.draw(camera.project(room_V3, SUPERSAMPLING), locks.triangles, _address(height, width), two_sided=True)
    near_edge = locks.strand[..., 2] < 7.0
    samples = Samples(layer, layer.depth_HW < front_of.depth_HW, (height, width), near_edge)
    column, row = samples.column, samples.row
    across, along, into, openness = noise.lookup(locks.strand, column, row)
    tousle = 25 * n["hair_tousle"]
    fine = noise.sample(noise.strands(), across * 1.05, along * 0.45)
    lock = noise.sample(noise.locks(), across * 1.3 + tousle, along * 0.6)
    curl = noise.sample(noise.curls(), across * 1.7, along * 1.7)
    grain = fine + (curl - fine) * t.hair_curl
    at = noise.lookup(room_V3.reshape(height, width, 3), column, row)
    view = towards_camera(at, camera.distance)
    facing = unit(turned(camera.head, noise.lookup(locks.normal, column, row)))
    cosine = dot(facing, view)
    facing *= np.sign(cosine) + (cosine == 0)
    anything = (layer.depth_HW < FAR) | front_of.covered_HW
    inside = cv2.GaussianBlur(anything.astype(np.float32), (0, 0), 2.0 + 1.5 * t.hair_curl)
    on_skin = samples.pick(front_of.covered_HW) | (row > hairline.scalp().canon.x.shape[0] - 0.5)
    cover = 1 - (1 - smoothstep(-3.0, 4.5, into + 1.8 * grain)) * on_skin  # elsewhere more hair is behind
    within = samples.pick(inside)
    cover *= smoothstep(0.42, 0.95, within + (1 - within) * (0.5 + 0.3 * t.hair_curl) * grain)
    return Pixels(
        layer, samples, facing, view, at, openness, fine, lock, curl, grain, smoothstep(0.0, 16.0, along), cover
    )


def hidden(pixels: Pixels) -> NDArray[Any]:
    """(H, W): the points behind hair that lets nothing through."""
    flat = np.zeros(pixels.layer.depth_HW.shape, bool)
    pixels.samples.mark(flat, pixels.cover > 0.985)
    return flat


def draw(
    light: Array,
    depth_HW: Array,
    pixels: Pixels,
    locks: hair.Hair,
    camera: Camera,
    t: Traits,
    n: Situation,
    lights: Lamps,
    shadows: ShadowMap,
) -> None:
    """Shades the hair over `light` (3, H, W) and lowers `depth_HW` where it is dense."""
    p = pixels
    if not len(p.samples):
        return
    colour, grey = hair.colour(t, n["age"])
    smooth = 1 - t.hair_curl
    direction = turned(camera.head, noise.lookup(locks.tangent, p.samples.column, p.samples.row))
    bend = np.stack([0.25 * p.lock, 0.12 * p.fine, 0.3 * smooth * p.curl])
    tone = np.clip(0.90 + 0.15 * p.grain + 0.12 * p.lock, 0.4, 1.5)
    silver = np.clip(grey + 0.5 * grey * (1 - grey) * (p.lock + 0.5 * p.fine), 0, 1)
    albedo = np.stack([(c + (s - c) * silver) * tone for c, s in zip(colour, _SILVER, strict=True)])
    surface = Surface(
        room=p.room,
        normal=unit(p.normal + bend * np.float32(0.9)),
        view=p.view,
        albedo=albedo,
        gloss=np.zeros_like(p.fine),
        open=p.openness * (0.70 + 0.30 * np.clip(0.5 + 0.4 * p.grain, 0, 1)),
    )
    variation = 0.6 * p.fine + 0.4 * p.lock
    shine = p.parted * np.float32(0.9 - 0.65 * t.hair_curl)
    shaded = shade_hair(surface, unit(direction + 0.3 * bend), variation, shine, lights, shadows)
    p.samples.put(light, shaded, p.cover)
    p.samples.put_depth(depth_HW, p.layer, p.cover > 0.5)
