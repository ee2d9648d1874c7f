"""Undecoded pictures → aligned crops: decode, detect, align, on all cores.

On a CPU each picture goes from bytes to crop on one thread, so that only crops are held. A GPU detects in batches; the
pictures of the next batches are decoded meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.devices import cores
from synthface.encoder import align, pictures
from synthface.encoder.faces import Face, FaceFinder
from synthface.encoder.scrfd import Detector
from synthface.encoder.sources import Picture
from synthface.errors import InputError
from synthface.recipe.people import EncoderRecipe

NO_FACE, NOT_ALIGNED = "no face", "not aligned"
_BATCHES_AHEAD = 2


class Crop(NamedTuple):
    """An aligned face. padding: the margin at which it was found; faces: how many were found (None: not searched)."""

    image_HWC: NDArray[np.uint8]
    padding: float | None = None
    faces: int | None = None


class Skipped(NamedTuple):
    """A picture that gives no crop: a reason to count, and the error to show."""

    reason: str
    error: InputError


class _Stopped(Exception):
    """Another thread's work is no longer wanted."""


class CropMaker:
    """Makes crops of `size` pixels. detector: None when every picture is aligned already."""

    def __init__(self, detector: Detector | None, recipe: EncoderRecipe, size: int) -> None:
        self.finder = None if detector is None else FaceFinder.from_recipe(detector, recipe)
        self.batch = recipe.detection_batch if detector is not None and detector.network.batched else None
        self.size, self.max_pixels, self.padding = size, recipe.max_pixels, recipe.padding
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="crops")
        self._stopped = threading.Event()

    def __call__(self, wanted: Sequence[tuple[Picture, bool]]) -> list[Crop | Skipped]:
        """A crop for each picture, or why there is none. The flag says that the picture is aligned already."""
        if self.batch is None or self.finder is None:
            return list(self._pool.map(self._one, wanted))
        return [crop for group in self._decoded(wanted, self.batch) for crop in self._search(group, self.finder)]

    def stop(self) -> None:
        """Ends the threads at their next picture."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, wanted: tuple[Picture, bool]) -> Crop | Skipped:
        picture, aligned = wanted
        image = self._load(picture)
        if isinstance(image, Skipped):
            return image
        if aligned or self.finder is None:
            return self._aligned(picture, image)
        return self._cut(picture, image, self.finder.find_one(image))

    def _decoded(
        self, wanted: Sequence[tuple[Picture, bool]], batch: int
    ) -> Iterator[list[tuple[Picture, bool, NDArray[np.uint8] | Skipped]]]:
        """Groups of decoded pictures, the next ones on their way."""
        groups = [wanted[start : start + batch] for start in range(0, len(wanted), batch)]
        ahead: deque[list[tuple[Picture, bool, Future[NDArray[np.uint8] | Skipped]]]] = deque()
        for group in [*groups, *[()] * _BATCHES_AHEAD]:
            ahead.append([(picture, aligned, self._pool.submit(self._load, picture)) for picture, aligned in group])
            if len(ahead) > _BATCHES_AHEAD:
                yield [(picture, aligned, future.result()) for picture, aligned, future in ahead.popleft()]

    def _search(
        self, group: Sequence[tuple[Picture, bool, NDArray[np.uint8] | Skipped]], finder: FaceFinder
    ) -> list[Crop | Skipped]:
        images = [image for _, aligned, image in group if not aligned and not isinstance(image, Skipped)]
        faces = iter(finder(images))
        crops: list[Crop | Skipped] = []
        for picture, aligned, image in group:
            if isinstance(image, Skipped):
                crops.append(image)
            elif aligned:
                crops.append(self._aligned(picture, image))
            else:
                crops.append(self._cut(picture, image, next(faces)))
        return crops

    def _load(self, picture: Picture) -> NDArray[np.uint8] | Skipped:
        if self._stopped.is_set():
            raise _Stopped
        try:
            return pictures.load(picture.source, self.max_pixels, picture.name)
        except pictures.PictureError as error:
            return Skipped(error.reason, error)

    def _aligned(self, picture: Picture, image_HWC: NDArray[np.uint8]) -> Crop | Skipped:
        height, width = image_HWC.shape[:2]
        if height != width:
            return Skipped(
                NOT_ALIGNED,
                InputError(
                    f"{picture.name} has {width:,}×{height:,} pixels: an aligned crop is square.",
                    "Name a face detector that finds and aligns the face, for example --detector scrfd.",
                ),
            )
        return Crop(align.resized(image_HWC, self.size))

    def _cut(self, picture: Picture, image_HWC: NDArray[np.uint8], face: Face | None) -> Crop | Skipped:
        if face is not None:
            return Crop(face.crop(image_HWC, self.size), face.padding, face.faces)
        margins = ", ".join(f"{margin:g}" for margin in self.padding)
        return Skipped(
            NO_FACE,
            InputError(
                f"No face was found in {picture.name} (margins tried: {margins}).",
                "Take a picture in which the face is seen well; lower --set encoder.detection_threshold; or, when it "
                "is an aligned crop, say --aligned.",
            ),
        )
