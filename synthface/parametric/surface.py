"""What a ray of light meets: the pixels of one visible surface with everything that shading needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric.light import Lamps, ShadowMap, wrapped

Array = NDArray[Any]


@dataclass
class Surface:
    """P pixels; room coordinates, mm; linear light."""

    index: NDArray[Any]  # (P,) into the flat picture
    room: Array  # (P, 3)
    normal: Array  # (P, 3) unit
    view: Array  # (P, 3) unit, towards the camera
    albedo: Array  # (P, 3)
    gloss: Array  # (P,)
    open: Array  # (P,) ambient light that arrives, 0…1


def unit(vector_P3: Array) -> Array:
    return vector_P3 / np.sqrt(np.einsum("pk,pk->p", vector_P3, vector_P3) + 1e-9)[:, None]


_WRAP = np.array([0.42, 0.22, 0.16], np.float32)  # light scatters furthest in red
_FRONT = np.array([0.0, 0.25, 0.97], np.float32)


def shade_skin(s: Surface, lights: Lamps, shadows: ShadowMap) -> Array:
    """Linear light (P, 3) from skin, cloth and eyes: wrapped diffuse, ambient with occlusion, an oily highlight."""
    lit = shadows.visible(s.room)
    soft = np.stack([lit**0.75, lit, lit], 1)  # red light seeps into shadows
    cosine = s.normal @ lights.key
    light = wrapped(s.normal, lights.key, _WRAP) * soft * lights.key_colour
    light += wrapped(s.normal, lights.rim, _WRAP) * s.open[:, None] * lights.rim_colour
    up = (0.5 + 0.5 * s.normal[:, 1])[:, None]
    front = (0.5 + 0.5 * (s.normal @ _FRONT))[:, None]
    around = lights.ground + (lights.sky - lights.ground) * up
    around = around * (1 - lights.front) + lights.front * front * 1.25 * (lights.sky + lights.ground) / 2
    exponent = np.array([0.85, 1.1, 1.15], np.float32)
    light += around * np.exp(np.log(s.open)[:, None] * exponent)
    color = s.albedo * light
    facing = np.maximum(np.einsum("pk,pk->p", s.normal, s.view), 0)
    fresnel = 0.35 + 1.9 * (1 - facing) ** 4
    half = np.maximum(np.einsum("pk,pk->p", s.normal, unit(s.view + lights.key)), 0)
    shine = s.gloss * (0.030 * half**9 + 0.060 * half**34) * fresnel * lit * np.clip(cosine * 4 + 0.2, 0, 1)
    sheen = s.gloss * 0.018 * (1 - facing) ** 3 * s.open
    return color + shine[:, None] * lights.key_colour + sheen[:, None] * around


def shade_hair(s: Surface, tangent: Array, variation: Array, shine: float, lights: Lamps, shadows: ShadowMap) -> Array:
    """Linear light (P, 3) from hair: Kajiya & Kay's strands with two highlights; `variation` shifts them, about 0."""
    lit = shadows.visible(s.room, bias=6.0)
    along = np.einsum("pk,k->p", tangent, lights.key)
    cosine = s.normal @ lights.key
    diffuse = np.maximum((cosine + 0.35) / 1.35, 0) * (0.55 + 0.45 * np.sqrt(np.maximum(1 - along * along, 0)))
    light = (diffuse * lit)[:, None] * lights.key_colour
    rim = np.maximum((s.normal @ lights.rim + 0.4) / 1.4, 0)
    light += rim[:, None] * lights.rim_colour * 1.2
    up = (0.5 + 0.5 * s.normal[:, 1])[:, None]
    light += (lights.ground + (lights.sky - lights.ground) * up) * s.open[:, None]
    half = unit(s.view + lights.key)
    to_half = np.einsum("pk,pk->p", tangent, half)
    first = np.maximum(1 - (to_half + 0.10 + 0.14 * variation) ** 2, 0) ** 30
    second = np.maximum(1 - (to_half - 0.12 + 0.18 * variation) ** 2, 0) ** 14
    strength = shine * lit * np.clip(cosine + 0.35, 0, 1)
    glint = strength[:, None] * (0.07 * first[:, None] + second[:, None] * (0.02 + 0.9 * s.albedo))
    return s.albedo * light * 1.15 + glint * lights.key_colour
