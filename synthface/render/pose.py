"""Where a face looks, estimated from five landmarks, and how sharp a crop is (ours).

The five points are taken for a rigid face seen from far away. Its map onto the picture is two rows of a rotation, scaled;
least squares finds six numbers, the nearest rotation gives the angles. On faces that are computed, whose angles are known,
the estimate is compared in the tests.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.encoder import align

# How far, in pixels of the 112-pixel template, each point lies before the plane of the eyes: the nose is 30 mm, the
# corners of the mouth are 4 mm ahead where the eyes are 63 mm apart.
_DEPTH_5 = np.array([0.0, 0.0, 16.8, 2.2, 2.2])


class Pose(NamedTuple):
    """Degrees. yaw: to the viewer's right; pitch: up; roll: clockwise as the viewer sees it."""

    yaw: float
    pitch: float
    roll: float


def estimate(landmark_52: NDArray[np.floating]) -> Pose:
    """The pose of a face whose landmarks (5, 2) are in pixels of any picture, x right and y down."""
    model_53 = np.column_stack([align.TEMPLATE_52.astype(np.float64), -_DEPTH_5])  # z points away from the viewer
    model_53 -= model_53.mean(axis=0)
    seen_52 = np.asarray(landmark_52, np.float64)
    seen_52 = seen_52 - seen_52.mean(axis=0)
    map_32 = np.linalg.lstsq(model_53, seen_52, rcond=None)[0]
    left_33, _, right_22 = np.linalg.svd(map_32, full_matrices=False)
    row_23 = (left_33 @ right_22).T  # the nearest two orthonormal rows
    away_3 = np.cross(row_23[0], row_23[1])
    forward_3 = np.array([-row_23[0, 2], -row_23[1, 2], -away_3[2]])  # where the nose points
    yaw = np.arctan2(forward_3[0], -forward_3[2])
    pitch = np.arcsin(np.clip(-forward_3[1], -1.0, 1.0))
    roll = np.arctan2(row_23[1, 0], row_23[0, 0])
    return Pose(*(float(angle) for angle in np.degrees([yaw, pitch, roll])))


def sharpness(crop_HWC: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the luminance, in squared grey levels; blurred crops have little."""
    import cv2

    laplacian_HW = cv2.Laplacian(cv2.cvtColor(crop_HWC, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    return float(cv2.meanStdDev(laplacian_HW)[1][0, 0] ** 2)
