"""Draws what is not the person: the backdrop, glasses, and something held before the face."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import background, body, noise, spectacles
from synthface.parametric.atlas import HEAD
from synthface.parametric.camera import CROP_SIDE, Camera
from synthface.parametric.fields import smoothstep
from synthface.parametric.light import Lamps
from synthface.parametric.raster import Layer
from synthface.parametric.sampling import SUPERSAMPLING
from synthface.parametric.situation import Situation
from synthface.parametric.surface import column, dot, turned, unit

Array = NDArray[Any]


def backdrop(n: Situation) -> Array:
    """(3, H, W) linear."""
    tone = background.colour(n["background_hue"], n["background_saturation"], 0.06 + 0.86 * n["background_lightness"])
    small = background.build(
        CROP_SIDE,
        n["background_x"],
        n["background_y"],
        n["background_scale"],
        tone,
        n["background_contrast"],
        n["background_blur"],
    )
    return small.repeat(SUPERSAMPLING, axis=1).repeat(SUPERSAMPLING, axis=2)


def draw_glasses(light: Array, depth: Array, model: body.Body, camera: Camera, n: Situation, lights: Lamps) -> None:
    frame = n.frame()
    head = model.position[HEAD.where]
    bridge = head[:, HEAD.columns // 2]
    bridge_z = float(bridge[np.abs(bridge[:, 1] - model.landmarks[:2, 1].mean()).argmin(), 2])
    mesh, panes = spectacles.build(model.landmarks, bridge_z, float(spectacles.SITE[1]), frame)
    half = unit(column(lights.key + np.array([0, 0, 1], np.float32)))[:, 0]
    flat = light.reshape(3, -1)
    for part, is_frame in ((panes, False), (mesh, True)):
        layer = Layer(depth.shape[0])
        screen = camera.project(camera.turn(part.position), SUPERSAMPLING)
        layer.draw(screen, part.triangles, (part.normal * 0.5 + 0.5).astype(np.float32), two_sided=True)
        index = np.flatnonzero(layer.depth_HW < depth)
        normal = turned(camera.head, unit(layer.value_HW3.reshape(-1, 3)[index].T * 2 - 1))
        glint = np.maximum(dot(normal, half), 0)
        if is_frame:
            metal = np.float32(0.012 + 0.30 * frame.shade**2) * np.array([1.0, 0.9, 0.74], np.float32)
            lit = np.maximum(dot(normal, lights.key), 0) * 0.8 + 0.45
            shaded = column(metal) * lit + column(lights.key_colour) * (0.35 * glint**24)
            flat[:, index] += (shaded - flat[:, index]) * np.float32(spectacles.coverage(frame))
        else:
            clear = np.float32(1 - 0.93 * frame.tint)
            flat[:, index] = flat[:, index] * clear + 0.016 * (
                column(lights.sky) + column(lights.key_colour) * glint**6
            )


@lru_cache(maxsize=1)
def _pixels(size: int) -> tuple[Array, Array]:
    row, column_ = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(SUPERSAMPLING)
    return row, column_


def draw_occluder(light: Array, n: Situation) -> None:
    """Something held before the face: a rounded block, lit from above."""
    row, column_ = _pixels(light.shape[1])
    angle = np.radians(n["occluder_angle"])
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    dx, dy = column_ - n["occluder_x"], row - n["occluder_y"]
    u = (dx * cosine + dy * sine) / n["occluder_size"]
    v = (-dx * sine + dy * cosine) / (n["occluder_size"] * 2 ** n["occluder_aspect"])
    radius = (np.abs(u) ** 3.5 + np.abs(v) ** 3.5) ** (1 / 3.5)
    cover = smoothstep(1.03, 0.97, radius)
    tone = background.colour(n["occluder_hue"], 0.35, 0.1 + 0.75 * n["occluder_lightness"])
    grain = 1 + 0.08 * noise.sample(noise.blotches(), u * 40, v * 40)
    shade = (0.75 - 0.25 * v - 0.12 * u) * (1 - 0.35 * smoothstep(0.6, 1.0, radius)) * grain * 0.9
    for plane, value in zip(light, tone, strict=True):
        plane += (value * shade - plane) * cover
