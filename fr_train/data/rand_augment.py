"""RandAugment (Cubuk et al., 2020) by torchvision's functional operations on PIL images.

torchvision's own RandAugment draws from PyTorch's global generator; here the numbers come from outside, so that an
image's augmentation is the same in any thread, batch and resume.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

MAGNITUDES = 30  # torchvision's table has 31 bins
_SIGNED = {"shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast", "sharpness"}


def rand_augment(image_HWC: np.ndarray, draw_K: np.ndarray, magnitude: int) -> None:
    """len(draw_K) / 2 operations drawn with replacement, in place on a uint8 RGB image; `magnitude` 0 to 30."""
    from PIL import Image

    image = Image.fromarray(image_HWC)
    names = list(_OPERATIONS)
    for which, sign in draw_K.reshape(-1, 2):
        name = names[int(which * len(names))]
        strength = magnitude / MAGNITUDES
        image = _OPERATIONS[name](image, -strength if name in _SIGNED and sign < 0.5 else strength)
    image_HWC[...] = np.asarray(image)


def _affine(image: Any, translate: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0.0, 0.0)) -> Any:
    from torchvision.transforms import functional as F

    return F.affine(image, angle=0.0, translate=list(translate), scale=1.0, shear=list(shear), center=[0, 0])


def _shear(strength: float) -> float:
    """Degrees whose tangent is .3 at full strength."""
    return float(np.degrees(np.arctan(0.3 * strength)))


def _by_name(name: str, argument: Callable[[float], tuple[Any, ...]] = lambda _: ()) -> Callable[[Any, float], Any]:
    """torchvision's functional operation `name` with `argument(strength)`; imported when it is first used."""

    def operation(image: Any, strength: float) -> Any:
        from torchvision.transforms import functional

        return getattr(functional, name)(image, *argument(strength))

    return operation


# operation(image, strength), strength in [-1, 1] for the signed ones, else [0, 1]; ranges as torchvision has them
_OPERATIONS: dict[str, Callable[[Any, float], Any]] = {
    "identity": lambda image, _: image,
    "shear_x": lambda image, s: _affine(image, shear=(_shear(s), 0.0)),
    "shear_y": lambda image, s: _affine(image, shear=(0.0, _shear(s))),
    "translate_x": lambda image, s: _affine(image, translate=(int(150 / 331 * s * image.width), 0)),
    "translate_y": lambda image, s: _affine(image, translate=(0, int(150 / 331 * s * image.height))),
    "rotate": _by_name("rotate", lambda s: (30.0 * s,)),
    "brightness": _by_name("adjust_brightness", lambda s: (1.0 + 0.9 * s,)),
    "color": _by_name("adjust_saturation", lambda s: (1.0 + 0.9 * s,)),
    "contrast": _by_name("adjust_contrast", lambda s: (1.0 + 0.9 * s,)),
    "sharpness": _by_name("adjust_sharpness", lambda s: (1.0 + 0.9 * s,)),
    "posterize": _by_name("posterize", lambda s: (8 - round(4 * s),)),
    "solarize": _by_name("solarize", lambda s: (255.0 - 255.0 * s,)),
    "autocontrast": _by_name("autocontrast"),
    "equalize": _by_name("equalize"),
}
