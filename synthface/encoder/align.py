"""Five landmarks → the crop that recognisers read (the ArcFace template)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CROP_SIZE = 112
# left eye, right eye, nose, left and right corner of the mouth in the 112-pixel crop (insightface, arcface_dst)
TEMPLATE_52 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)


def template(size: int) -> NDArray[np.float32]:
    """The five points in a crop of `size` pixels: multiples of 128 have a margin of 8 pixels left and right in 128."""
    if size % 128 == 0 and size % CROP_SIZE:
        return TEMPLATE_52 * np.float32(size / 128) + np.array([8.0 * size / 128, 0.0], np.float32)
    return TEMPLATE_52 * np.float32(size / CROP_SIZE)


def similarity_transform(landmark_52: NDArray[np.floating], size: int = CROP_SIZE) -> NDArray[np.float64]:
    """Rotation, scale and shift that bring landmarks (5, 2) nearest to the template, (2, 3) float64.

    Umeyama (PAMI 1991), eq. 38–43. Means, covariance and SVD are float32 as in insightface: a finer matrix would move
    the rounding of some pixels by one grey level, and embeddings by 10⁻⁴.
    """
    source_52, target_52 = np.asarray(landmark_52, np.float32), template(size)
    source_mean, target_mean = source_52.mean(axis=0), target_52.mean(axis=0)
    centred_52 = source_52 - source_mean
    covariance_22 = (target_52 - target_mean).T @ centred_52 / len(source_52)
    u_22, spread_2, v_22 = np.linalg.svd(covariance_22)
    sign_2 = np.array([1.0, 1.0 if np.linalg.det(u_22) * np.linalg.det(v_22) > 0 else -1.0])  # no mirror image
    rotation_22 = u_22 @ np.diag(sign_2) @ v_22
    scale = 1.0 / centred_52.var(axis=0).sum() * (spread_2 @ sign_2)
    shift_2 = target_mean - scale * (rotation_22 @ source_mean)
    return np.hstack([scale * rotation_22, shift_2[:, None]])


def norm_crop(
    image_HWC: NDArray[np.uint8], landmark_52: NDArray[np.floating], size: int = CROP_SIZE
) -> NDArray[np.uint8]:
    """The aligned crop (size, size, 3) of one face; black where the picture ends. As insightface's `norm_crop`."""
    return warped(image_HWC, similarity_transform(landmark_52, size), size)


def warped(image_HWC: NDArray[np.uint8], transform_23: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The crop that a transform of `similarity_transform` makes."""
    import cv2

    crop: NDArray[np.uint8] = cv2.warpAffine(image_HWC, transform_23, (size, size), borderValue=0.0)
    return crop


def resized(image_HWC: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """An aligned crop in another size; itself when it has that size."""
    import cv2

    height, width = image_HWC.shape[:2]
    if (height, width) == (size, size):
        return image_HWC
    shrinks = height > size and width > size
    smaller: NDArray[np.uint8] = cv2.resize(
        image_HWC, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return smaller
