"""Augmentations on a uint8 batch, in place; RGB in, RGB out.

Flip, and the three that AdaFace trains with (CVPR 2022, section 4.1; its repository has the ranges):

    crop             a rectangle of .2 to 1 of the area, ratio 3/4 to 4/3, stays where it is; the rest turns black
    low resolution   down to .2 to 1 of the side and back, each way by one of five interpolations
    photometric      brightness, contrast and saturation by factors in [.5, 1.5], in random order

and, where the recipe asks for them, RandAugment and random erasing (Zhong et al., AAAI 2020: a rectangle of .02 to 1/3
of the area, ratio .3 to 1/.3, filled with one random colour). Each is chosen for an image, and drawn, from
(seed, epoch, purpose, position) alone: an image's augmentation depends neither on its batch nor on whether another
augmentation is on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import cv2
import numpy as np

from fr_train.data import rand_augment
from fr_train.data.draws import uniform
from synthface.recipe.recognition import AugmentRecipe

_INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
_ATTEMPTS = 10  # at a rectangle that fits, as torchvision's RandomResizedCrop has it


def augment(image_BHWC: np.ndarray, position_B: np.ndarray, recipe: AugmentRecipe, seed: int, epoch: int) -> None:
    """Augments the uint8 RGB images in place; `position_B` numbers them within the epoch."""

    def each(purpose: str, share: float, draws: int, change: Callable[[np.ndarray, np.ndarray], None]) -> None:
        """`change(image_HWC, draws_K)` on the chosen share of the images; one more draw does the choosing."""
        if share > 0:
            draw_BK = uniform(seed, epoch, purpose, position_B, draws + 1)
            for i in np.flatnonzero(draw_BK[:, 0] < share):
                change(image_BHWC[i], draw_BK[i, 1:])

    each("crop", recipe.crop, 2 * _ATTEMPTS + 2, crop)
    each("low resolution", recipe.low_resolution, 3, low_resolution)
    each("photometric", recipe.photometric, 4, photometric)
    each("flip", recipe.flip, 0, flip)
    if recipe.rand_augment:
        draw_BK = uniform(seed, epoch, "RandAugment", position_B, 2 * recipe.rand_augment)
        for image_HWC, draw_K in zip(image_BHWC, draw_BK, strict=True):
            rand_augment.rand_augment(image_HWC, draw_K, recipe.rand_magnitude)
    each("erasing", recipe.random_erasing, 2 * _ATTEMPTS + 5, erase)


def flip(image_HWC: np.ndarray, _: np.ndarray) -> None:
    """Mirrors left and right."""
    cv2.flip(image_HWC, 1, dst=image_HWC)


def crop(image_HWC: np.ndarray, draw_K: np.ndarray) -> None:
    """Blackens all but a rectangle, which keeps its place and scale."""
    top, left, height, width = rectangle(image_HWC.shape[:2], draw_K, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3))
    bottom, right = top + height, left + width
    image_HWC[:top] = 0
    image_HWC[bottom:] = 0
    image_HWC[top:bottom, :left] = 0
    image_HWC[top:bottom, right:] = 0


def low_resolution(image_HWC: np.ndarray, draw_K: np.ndarray) -> None:
    """Scales down and up again: what a small or distant face looks like."""
    height, width = image_HWC.shape[:2]
    side = max(1, int((0.2 + 0.8 * draw_K[0]) * height))
    down, up = (_INTERPOLATIONS[int(draw * len(_INTERPOLATIONS))] for draw in draw_K[1:3])
    small_HWC = cv2.resize(image_HWC, (side, side), interpolation=down)
    cv2.resize(small_HWC, (width, height), dst=image_HWC, interpolation=up)


def photometric(image_HWC: np.ndarray, draw_K: np.ndarray) -> None:
    """Brightness, contrast and saturation by factors in [.5, 1.5], in one of the six orders."""
    factors = 0.5 + draw_K[:3]
    for step in _ORDERS[int(draw_K[3] * len(_ORDERS))]:
        _PHOTOMETRIC[step](image_HWC, float(factors[step]))


def brightness(image_HWC: np.ndarray, factor: float) -> None:
    """x ↦ factor · x, rounded and clipped."""
    cv2.convertScaleAbs(image_HWC, dst=image_HWC, alpha=factor)


def contrast(image_HWC: np.ndarray, factor: float) -> None:
    """x ↦ m + factor (x − m), m the mean luminance of the image."""
    mean = cv2.mean(cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY))[0]
    cv2.addWeighted(image_HWC, factor, image_HWC, 0.0, (1 - factor) * int(mean + 0.5), dst=image_HWC)


def saturation(image_HWC: np.ndarray, factor: float) -> None:
    """x ↦ l + factor (x − l), l the pixel's luminance."""
    grey_HW = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
    cv2.addWeighted(image_HWC, factor, cv2.merge((grey_HW,) * 3), 1 - factor, 0.0, dst=image_HWC)


_PHOTOMETRIC = (brightness, contrast, saturation)
_ORDERS = tuple(permutations(range(3)))


def erase(image_HWC: np.ndarray, draw_K: np.ndarray) -> None:
    """Fills a rectangle with one random colour."""
    top, left, height, width = rectangle(image_HWC.shape[:2], draw_K, scale=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3))
    image_HWC[top : top + height, left : left + width] = (draw_K[-3:] * 256).astype(np.uint8)


def rectangle(
    size: tuple[int, ...], draw_K: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a random rectangle inside an image of `size` (height, width).

    Its area is uniform in `scale` of the image's, the logarithm of its width over height uniform in `ratio`; of ten
    such draws the first that fits is taken, else the whole image. Uses the first 22 numbers of `draw_K`.
    """
    image_height, image_width = size[:2]
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for attempt in range(_ATTEMPTS):
        area = image_height * image_width * (scale[0] + (scale[1] - scale[0]) * float(draw_K[2 * attempt]))
        aspect = math.exp(low + (high - low) * float(draw_K[2 * attempt + 1]))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= image_width and 0 < height <= image_height:
            vertical, horizontal = draw_K[2 * _ATTEMPTS : 2 * _ATTEMPTS + 2]
            top = int(vertical * (image_height - height + 1))
            left = int(horizontal * (image_width - width + 1))
            return top, left, height, width
    return 0, 0, image_height, image_width
