"""What a ray of light meets: the pixels of one visible surface with everything that shading needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric.light import Lamps, ShadowMap

Array = NDArray[Any]


@dataclass
class Surface:
    """P pixels, vectors as three planes; room coordinates, mm; linear light; float32."""

    room: Array  # (3, P)
    normal: Array  # (3, P) unit
    view: Array  # (3, P) unit, towards the camera
    albedo: Array  # (3, P)
    gloss: Array  # (P,)
    open: Array  # (P,) ambient light that arrives, 0…1


def dot(a: Array, b: Array) -> Array:
    """Of vectors (3, P) with (3, P) or (3,) → (P,)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(vector_3P: Array) -> Array:
    return vector_3P / np.sqrt(dot(vector_3P, vector_3P) + np.float32(1e-9))


def turned(matrix_33: Array, vector_3P: Array) -> Array:
    """The vectors times a rotation, without a threaded matrix product."""
    out = np.empty_like(vector_3P)
    for k, row in enumerate(matrix_33):
        out[k] = dot(vector_3P, row)
    return out


def towards_camera(room_3P: Array, distance: float) -> Array:
    """Unit vectors from points to the camera."""
    vector = -room_3P
    vector[2] += np.float32(distance)
    return unit(vector)


def column(values_3: Any) -> Array:
    """A colour or vector that broadcasts over pixels."""
    return np.asarray(values_3, np.float32)[:, None]


_WRAP = (0.38, 0.24, 0.19)  # light scatters furthest in red
_FOLD = (0.90, 1.07, 1.10)  # and fills folds with red
_FRONT = np.array([0.0, 0.25, 0.97], np.float32)


def shade_skin(s: Surface, lights: Lamps, shadows: ShadowMap) -> Array:
    """Linear light (3, P) from skin, cloth and eyes: wrapped diffuse, ambient with occlusion, an oily highlight."""
    lit = shadows.visible(s.room)
    seeping = np.sqrt(lit)
    seeping *= np.sqrt(seeping)  # to the power of .75: red light seeps into shadows
    key, rim = dot(s.normal, lights.key), dot(s.normal, lights.rim)
    up = 0.5 + 0.5 * s.normal[1]
    front = (0.5 + 0.5 * dot(s.normal, _FRONT)) * np.float32(1.25 * lights.front)
    log_open = np.log(s.open)
    facing = np.maximum(dot(s.normal, s.view), 0)
    grazing = 1 - facing
    half = np.maximum(dot(s.normal, unit(s.view + column(lights.key))), 0)
    wide = half**8
    narrow = wide * wide
    shine = s.gloss * (0.030 * wide + 0.060 * narrow * narrow) * (0.35 + 1.9 * grazing**4) * lit
    shine *= np.clip(key * 4 + 0.2, 0, 1)
    sheen = s.gloss * 0.018 * grazing**3 * s.open
    light = np.empty_like(s.albedo)
    for k in range(3):
        wrap = _WRAP[k]
        lamp = np.maximum((key + wrap) / (1 + wrap), 0) * (seeping if k == 0 else lit) * lights.key_colour[k]
        back = np.maximum((rim + wrap) / (1 + wrap), 0) * s.open * lights.rim_colour[k]
        sky, ground = lights.sky[k], lights.ground[k]
        around = (ground + (sky - ground) * up) * np.float32(1 - lights.front) + front * ((sky + ground) / 2)
        light[k] = s.albedo[k] * (lamp + back + around * np.exp(log_open * np.float32(_FOLD[k])))
        light[k] += shine * lights.key_colour[k] + sheen * around
    return light


def shade_hair(s: Surface, tangent: Array, variation: Array, shine: Array, lights: Lamps, shadows: ShadowMap) -> Array:
    """Linear light (3, P) from hair: Kajiya & Kay's strands with two highlights; `variation` shifts them, about 0."""
    lit = shadows.visible(s.room, bias=6.0)
    along, key = dot(tangent, lights.key), dot(s.normal, lights.key)
    diffuse = np.maximum((key + 0.35) / 1.35, 0) * (0.55 + 0.45 * np.sqrt(np.maximum(1 - along * along, 0))) * lit
    rim = np.maximum((dot(s.normal, lights.rim) + 0.4) / 1.4, 0) * 1.2
    up = 0.5 + 0.5 * s.normal[1]
    to_half = dot(tangent, unit(s.view + column(lights.key)))
    first = np.maximum(1 - (to_half + 0.10 + 0.09 * variation) ** 2, 0) ** 30
    second = np.maximum(1 - (to_half - 0.12 + 0.12 * variation) ** 2, 0) ** 14
    strength = shine * lit * np.clip(key + 0.35, 0, 1)
    light = np.empty_like(s.albedo)
    for k in range(3):
        sky, ground = lights.sky[k], lights.ground[k]
        lamp = diffuse * lights.key_colour[k] + rim * lights.rim_colour[k] + (ground + (sky - ground) * up) * s.open
        glint = strength * (0.04 * first + second * (0.02 + 0.9 * s.albedo[k]))
        light[k] = s.albedo[k] * lamp * 1.15 + glint * lights.key_colour[k]
    return light
