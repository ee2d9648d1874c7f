"""The face that a picture is of: found with padding when it fills the picture, chosen when there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from synthface.encoder import align
from synthface.encoder.scrfd import Detections, Detector
from synthface.recipe.people import EncoderRecipe


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


@dataclass(frozen=True)
class FaceFinder:
    """Finds the one face that each picture is of.

    A detector trained on whole heads misses faces that fill the picture. The margins `padding`, shares of the longer
    side, are tried in their order on the pictures in which none has been found yet. Of several faces found at one
    margin, the `largest` or the most `central` is taken.
    """

    detector: Detector
    padding: tuple[float, ...]
    choose: Literal["largest", "central"]

    @classmethod
    def from_recipe(cls, detector: Detector, recipe: EncoderRecipe) -> FaceFinder:
        return cls(detector, recipe.padding, recipe.choose)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Face | None]:
        """The face of each picture (H, W, 3) uint8 RGB, or None."""
        faces: list[Face | None] = [None] * len(images)
        for margin in self.padding:
            missing = [k for k, face in enumerate(faces) if face is None]
            if not missing:
                break
            for k, found in zip(missing, self.detector([images[k] for k in missing], margin), strict=True):
                faces[k] = self._chosen(found, images[k].shape, margin)
        return faces

    def find_one(self, image_HWC: NDArray[np.uint8]) -> Face | None:
        """The face of one picture, on the caller's thread."""
        for margin in self.padding:
            face = self._chosen(self.detector.detect_one(image_HWC, margin), image_HWC.shape, margin)
            if face is not None:
                return face
        return None

    def _chosen(self, found: Detections, shape: tuple[int, ...], margin: float) -> Face | None:
        if not len(found.score_N):
            return None
        left_N, top_N, right_N, bottom_N = found.box_N4.T
        if self.choose == "central":
            middle_x, middle_y = shape[1] / 2, shape[0] / 2
            merit_N = -np.hypot((left_N + right_N) / 2 - middle_x, (top_N + bottom_N) / 2 - middle_y)
        else:
            merit_N = (right_N - left_N) * (bottom_N - top_N)
        best = int(np.argmax(merit_N))
        return Face(
            found.box_N4[best], found.landmark_N52[best], float(found.score_N[best]), margin, len(found.score_N)
        )
