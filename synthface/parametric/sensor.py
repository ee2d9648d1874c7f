"""From light to a file's pixels: exposure, colour, blur, noise, low resolution and JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.parametric.camera import CROP_SIDE
from synthface.seeds import generator

Array = NDArray[Any]


@dataclass(frozen=True)
class Sensor:
    """The camera's settings; the meaning of the numbers stands in `dimensions`."""

    exposure: float
    contrast: float
    saturation: float
    white_balance: float
    tint: float
    blur: float
    motion: float
    motion_angle: float
    noise: float
    resolution: float
    jpeg: float


def expose(light: Array, s: Sensor) -> Array:
    """Linear light (H, W, 3), in which skin lies around 0.2, → picture values 0…1 through a film-like curve."""
    gain = 2.0**s.exposure
    balance = (
        1 + 0.22 * s.white_balance + 0.05 * s.tint,
        1 - 0.10 * s.tint,
        1 - 0.26 * s.white_balance + 0.05 * s.tint,
    )
    x = np.maximum(light * np.array([gain * b for b in balance], np.float32), 1e-6)
    x *= (1 + x / 6.0) / (1 + 0.62 * x) * 1.12
    x = np.minimum(x, 1)
    x = np.maximum(1.055 * cv2.pow(x, 1 / 2.4) - 0.055, 12.92 * np.minimum(x, 0.0031308))
    x += np.float32(0.22 + 0.45 * s.contrast) * (x * x * (3 - 2 * x) - x)
    grey = x @ np.array([[0.299], [0.587], [0.114]], np.float32)
    colourful = 0.94 + (0.8 if s.saturation < 0 else 0.5) * s.saturation
    return grey + np.float32(colourful) * (x - grey)


def capture(light: Array, s: Sensor, seed: int) -> NDArray[Any]:
    """(112, 112, 3) uint8 RGB of linear light (112, 112, 3); `seed` draws nothing but the sensor's noise."""
    picture = expose(light, s)
    if s.blur > 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), s.blur)
    if s.motion > 0.5:
        picture = cv2.filter2D(picture, -1, _trail(s.motion, s.motion_angle), borderType=cv2.BORDER_REPLICATE)
    side = round(s.resolution)
    if side < CROP_SIDE:
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    levels = picture * 255
    if s.noise > 0:
        levels = levels + _grain(levels, s.noise, seed)
    pixels = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
    if s.jpeg < 99.5:
        _, code = cv2.imencode(
            ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, round(s.jpeg)]
        )
        pixels = cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    if side < CROP_SIDE:
        pixels = cv2.resize(pixels, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_CUBIC)
    return pixels


def _trail(length: float, degrees: float) -> Array:
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    dx, dy = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    for step in np.linspace(-length / 2, length / 2, 4 * side):
        kernel[round(side // 2 + step * dy), round(side // 2 + step * dx)] += 1
    return kernel / kernel.sum()


def _grain(levels: Array, deviation: float, seed: int) -> Array:
    """Noise that is finer and stronger in brightness than in colour, and stronger in the dark than in the light."""
    random = generator(seed, "sensor")
    side = levels.shape[0]
    grain = random.standard_normal((side, side, 1), dtype=np.float32) * np.float32(0.9 * deviation)
    coarse = random.standard_normal((-(-side // 2), -(-side // 2), 3), dtype=np.float32) * np.float32(0.4 * deviation)
    coloured = coarse.repeat(2, axis=0).repeat(2, axis=1)[:side, :side]
    return (grain + coloured) * (1.15 - np.clip(levels, 0, 255) * np.float32(1 / 510))
