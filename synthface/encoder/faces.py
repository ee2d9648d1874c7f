"""The face that a picture is of: found with padding when it fills the picture, chosen when there are several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthface.encoder import align
from synthface.encoder.scrfd import Detections
from synthface.recipe.people import EncoderRecipe

Find = Callable[[Sequence[NDArray[np.uint8]]], list[Detections]]


@dataclass(frozen=True)
class Face:
    """One face in the pixels of its picture; coordinates may lie outside when padding found it."""

    box_4: NDArray[np.float32]  # left, top, right, bottom
    landmark_52: NDArray[np.float32]
    score: float
    padding: float  # the margin at which it was found, as a share of the longer side
    faces: int  # how many were found there

    def crop(self, image_HWC: NDArray[np.uint8], size: int = align.CROP_SIZE) -> NDArray[np.uint8]:
        """The aligned crop (size, size, 3) of this face."""
        return align.norm_crop(image_HWC, self.landmark_52, size)


@dataclass
class FaceFinder:
    """Finds the one face that each picture is of.

    A detector trained on whole heads misses faces that fill the picture. The margins `padding` are tried in their
    order on the pictures in which none has been found yet. `found` counts at which margin, `several` the pictures with
    more than one face.
    """

    detect: Find
    padding: Sequence[float]
    choose: str = "largest"
    found: Counter[float] = field(default_factory=Counter)
    several: int = 0

    @classmethod
    def from_recipe(cls, detect: Find, recipe: EncoderRecipe) -> FaceFinder:
        return cls(detect, recipe.padding, recipe.choose)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Face | None]:
        """The face of each picture (H, W, 3) uint8 RGB, or None."""
        faces: list[Face | None] = [None] * len(images)
        for share in self.padding:
            missing = [k for k, face in enumerate(faces) if face is None]
            if not missing:
                break
            margins = [round(share * max(images[k].shape[:2])) for k in missing]
            detections = self.detect([padded(images[k], margin) for k, margin in zip(missing, margins, strict=True)])
            for k, margin, found in zip(missing, margins, detections, strict=True):
                if len(found.score_N):
                    faces[k] = self._chosen(found, images[k].shape, margin, share)
        for face in faces:
            if face is not None:
                self.found[face.padding] += 1
                self.several += face.faces > 1
        return faces

    def _chosen(self, found: Detections, shape: tuple[int, ...], margin: int, share: float) -> Face:
        box_N4 = found.box_N4 - np.float32(margin)
        if self.choose == "central":
            middle_2 = np.array([shape[1], shape[0]]) / 2
            merit_N = -np.linalg.norm((box_N4[:, :2] + box_N4[:, 2:]) / 2 - middle_2, axis=1)
        else:
            merit_N = (box_N4[:, 2] - box_N4[:, 0]) * (box_N4[:, 3] - box_N4[:, 1])
        best = int(np.argmax(merit_N))
        return Face(
            box_N4[best],
            found.landmark_N52[best] - np.float32(margin),
            float(found.score_N[best]),
            share,
            len(found.score_N),
        )


def padded(image_HWC: NDArray[np.uint8], margin: int) -> NDArray[np.uint8]:
    """The picture with a black margin of so many pixels on each side."""
    if margin == 0:
        return image_HWC
    return np.pad(image_HWC, ((margin, margin), (margin, margin), (0, 0)))
