"""How fast a device makes pictures: the short measurement that sizes shards and tells what a dataset will cost."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.encoder import align
from synthface.progress import duration
from synthface.recipe.pictures import CropRecipe
from synthface.render.develop import encode_jpeg
from synthface.render.sitting import Sitting

BYTES_A_PIXEL = 0.4  # of aligned faces at quality 95, 4:2:0: 4,971 bytes at 112 pixels (2,000 parametric pictures)


class Enough(Exception):
    """The measurement has taken long enough."""


class Stopwatch:
    """Watches a studio at work for `seconds` behind its first lot, which loads and warms what is needed."""

    def __init__(self, seconds: float, threads: int, crop: CropRecipe) -> None:
        self.seconds, self.threads, self.crop = seconds, threads, crop
        self._lots: list[tuple[float, int, float]] = []  # when a lot ended, its pictures, how long it took
        self._jpeg_bytes: list[int] = []
        self._lock = threading.Lock()

    def lot(self, image_BHWC: NDArray[np.uint8], took: float) -> None:
        """A lot has been drawn."""
        jpeg = encode_jpeg(align.resized(image_BHWC[0], self.crop.size), self.crop)
        with self._lock:
            self._lots.append((time.perf_counter(), len(image_BHWC), took))
            self._jpeg_bytes.append(len(jpeg))

    def take(self, sitting: Sitting | None, settled: int) -> None:
        """A look at the clock. Raises Enough."""
        with self._lock:
            if len(self._lots) > self.threads and time.perf_counter() - self._lots[0][0] >= self.seconds:
                raise Enough

    def result(self, kept: tuple[int, int]) -> dict[str, Any]:
        """Attempts a second, the share of attempts that is kept, bytes an image.

        kept: how many of how many judged pictures; where none has been judged yet, all are taken to be kept.
        """
        lots = sorted(self._lots)
        began, ended = lots[0][0], lots[-1][0]
        drawn = sum(count for _, count, _ in lots[1:])
        if ended > began and drawn:
            speed = drawn / (ended - began)
        else:
            speed = lots[0][1] / lots[0][2]
        return {
            "attempts_per_second": round(speed, 4),
            "kept_share": round(kept[0] / kept[1], 4) if kept[1] else 1.0,
            "bytes_per_image": round(float(np.mean(self._jpeg_bytes))),
        }


def images_per_second(measured: dict[str, Any]) -> float:
    """Kept images a second and device; never zero, for a gate that lets nothing pass still has its attempts made."""
    return float(measured["attempts_per_second"]) * max(float(measured["kept_share"]), 0.01)


def given(images_per_second: float, size: int) -> dict[str, Any]:
    """As a measurement, from a speed that is known, for crops of `size` pixels."""
    return {
        "attempts_per_second": images_per_second,
        "kept_share": 1.0,
        "bytes_per_image": round(BYTES_A_PIXEL * size * size),
    }


def disk(images: int, bytes_per_image: float) -> dict[str, int]:
    """Bytes of the shards, and of the dataset that is packed from them."""
    size = round(images * (bytes_per_image + 120))  # record framing, index, list and manifest
    return {"bytes_of_shards": size, "bytes_of_dataset": size}


def cost(measured: dict[str, Any], images: int, devices: int, gpus: bool) -> dict[str, Any]:
    """What images still to be made take: seconds, and hours of all devices together, which are GPU-hours on GPUs."""
    device_seconds = images / images_per_second(measured)
    return {
        "seconds": round(device_seconds / devices, 1),
        "duration": duration(device_seconds / devices),
        "device_hours": round(device_seconds / 3_600, 3),
        "gpu_hours": round(device_seconds / 3_600, 3) if gpus else 0.0,
    }
