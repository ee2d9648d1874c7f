"""What pixels and landmarks tell without a network: light, sharpness, skin tone, pose, expression. Proxies, and called so.

Pictures are aligned crops: where the cheeks are is known. The skin tone's angle needs white light, which no photograph
promises: it compares datasets, it does not name people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.devices import cores
from synthface.encoder import align, pictures, pose
from synthface.encoder.faces import FaceFinder
from synthface.errors import InputError
from synthface.progress import Progress

if TYPE_CHECKING:
    import pyarrow

Image = NDArray[np.uint8]
# left, top, right, bottom of the two cheeks in the 112-pixel template: below the eyes, beside nose and mouth
_CHEEKS = ((30, 66, 43, 80), (69, 66, 82, 80))
_GREY = 1.5  # colour, in CIELAB units, below which a picture is grey
_BATCH = 1_024
_SEARCHED = 64  # crops given to the detector together
POSES = ("yaw", "pitch", "roll", "mouth")


class Look(NamedTuple):
    """luminance: mean luma, 0 … 255; sharpness: variance of its Laplacian; tone: typology angle, NaN for grey pictures."""

    luminance: float
    sharpness: float
    tone: float


def look(crop_HWC: Image) -> Look:
    """Measures one aligned crop, RGB."""
    import cv2

    grey_HW = cv2.cvtColor(crop_HWC, cv2.COLOR_RGB2GRAY)
    return Look(float(grey_HW.mean()), pose.sharpness(crop_HWC), typology_angle(crop_HWC))


def typology_angle(crop_HWC: Image) -> float:
    """ITA = arctan((L* − 50) / b*) · 180/π of the cheeks' median colour, degrees; NaN for a grey picture.

    Chardon et al. (1991); on face datasets Merler et al., "Diversity in Faces" (2019). b* is taken as at least .5: bluish
    light says nothing about skin.
    """
    import cv2

    small = align.resized(crop_HWC, align.CROP_SIZE)
    skin_PC = np.concatenate([small[top:bottom, left:right].reshape(-1, 3) for left, top, right, bottom in _CHEEKS])
    lab_PC = cv2.cvtColor(skin_PC[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    lightness, a, b = np.median(lab_PC, axis=0).tolist()
    if abs(a) < _GREY and abs(b) < _GREY:
        return float("nan")
    return float(np.degrees(np.arctan2(lightness - 50, max(b, 0.5))))


def look_at(fetch: Callable[[Sequence[int]], Sequence[Image | None]], index_M: NDArray[np.int64]) -> dict[str, Any]:
    """Looks of these pictures as columns (M,), NaN for those that cannot be read. fetch: numbers → crops or None."""
    value_M3 = np.full((len(index_M), 3), np.nan)

    def one(image: Image | None) -> tuple[float, ...]:
        return look(image) if image is not None else (np.nan,) * 3

    with Progress(len(index_M), "images", "looking") as progress, ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(index_M), _BATCH):
            images = fetch(index_M[start : start + _BATCH].tolist())
            value_M3[start : start + len(images)] = list(pool.map(one, images))
            progress.update(len(images))
    return {name: value_M3[:, column] for column, name in enumerate(Look._fields)}


def search(
    fetch: Callable[[Sequence[int]], Sequence[Image | None]], index_M: NDArray[np.int64], finder: FaceFinder
) -> dict[str, NDArray[np.float64]]:
    """POSES of these pictures as columns (M,), by the landmarks that a detector finds in the crops; NaN where it finds none.

    fetch: numbers → crops or None. The same quantities as those of `from_manifest`.
    """
    value_M4 = np.full((len(index_M), len(POSES)), np.nan)
    with Progress(len(index_M), "images", "looking for faces") as progress:
        for start in range(0, len(index_M), _SEARCHED):
            images = list(fetch(index_M[start : start + _SEARCHED].tolist()))
            here = [k for k, image in enumerate(images) if image is not None]
            faces = finder([image for image in images if image is not None])
            for k, face in zip(here, faces, strict=True):
                if face is not None:
                    mouth = float(mouth_width(face.landmark_52[None])[0])
                    value_M4[start + k] = (*pose.estimate(face.landmark_52), mouth)
            progress.update(len(images))
    return {name: value_M4[:, column] for column, name in enumerate(POSES)}


def mouth_width(point_M52: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance of the mouth's corners over that of the eyes, (M,)."""
    point_M52 = np.asarray(point_M52, np.float64)
    eyes_M = np.linalg.norm(point_M52[:, 1] - point_M52[:, 0], axis=1)
    ratio_M: NDArray[np.float64] = np.linalg.norm(point_M52[:, 4] - point_M52[:, 3], axis=1) / np.maximum(eyes_M, 1e-6)
    return ratio_M


def decoded(payload: pictures.Payload | Any, max_pixels: int, size: int | None = None) -> Image | None:
    """A picture, of `size` pixels where one is given, or None when it is damaged."""
    try:
        image_HWC = pictures.load(payload, max_pixels)
    except InputError:
        return None
    return image_HWC if size is None else align.resized(image_HWC, size)


def from_manifest(table: pyarrow.Table) -> dict[str, NDArray[np.float64]]:
    """Columns (N,) of a manifest that tell of looks, NaN where unknown: yaw, pitch, roll, and the mouth's width.

    `mouth`: distance of the mouth's corners over that of the eyes, a proxy of expression; a smile widens it, and so does
    a turned head, whose eyes come nearer to each other: compare it at like yaw.
    """
    columns = {name: _numbers(table[name]) for name in ("yaw", "pitch", "roll")}
    columns["mouth"] = _mouth(table["landmarks"])
    return columns


def similarities(table: pyarrow.Table) -> dict[str, NDArray[np.float64]]:
    """Similarity as rendering measured it: to the person's center, and to the mean of the person's first attempts."""
    return {name: _numbers(table[name]) for name in ("center_similarity", "reference_similarity")}


def _numbers(column: Any) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _mouth(column: Any) -> NDArray[np.float64]:
    known_N = np.asarray(column.is_valid())
    ratio_N = np.full(len(column), np.nan)
    if known_N.any():
        flat = column.drop_null().combine_chunks().flatten().flatten()
        ratio_N[known_N] = mouth_width(np.asarray(flat.to_numpy(), np.float64).reshape(-1, 5, 2))
    return ratio_N
