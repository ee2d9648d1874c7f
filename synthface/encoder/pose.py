"""Where a face looks, estimated from five landmarks, and how sharp a crop is (ours).

The five points are taken for those of an average rigid face, seen from far away. Its map onto the picture is two rows of a
rotation, scaled: least squares finds the six numbers, the nearest rotation gives the angles. On faces that are computed,
whose angles are known, yaw is off by 2° in the mean and pitch by 6°, for noses and jaws differ (docs/render.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Eyes, nose and corners of the mouth of an average face in millimetres: x right, y down, z away from the viewer.
_FACE_53 = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 38, -35], [-27, 68, -3], [27, 68, -3]], np.float64)


class Pose(NamedTuple):
    """Degrees. yaw: to the viewer's right; pitch: up; roll: clockwise as the viewer sees it.

    The head nods about its own axis, then turns, then tilts.
    """

    yaw: float
    pitch: float
    roll: float


def estimate(landmark_52: NDArray[np.floating]) -> Pose:
    """The pose of a face whose landmarks (5, 2) are in pixels of any picture, x right and y down."""
    model_53 = _FACE_53 - _FACE_53.mean(axis=0)
    seen_52 = np.asarray(landmark_52, np.float64)
    seen_52 = seen_52 - seen_52.mean(axis=0)
    map_32 = np.linalg.lstsq(model_53, seen_52, rcond=None)[0]
    left_33, _, right_22 = np.linalg.svd(map_32, full_matrices=False)
    row_23 = (left_33 @ right_22).T  # the nearest two orthonormal rows
    turned_33 = np.vstack([row_23, np.cross(row_23[0], row_23[1])])
    yaw = np.arctan2(turned_33[2, 0], np.hypot(turned_33[0, 0], turned_33[1, 0]))
    pitch = np.arctan2(-turned_33[2, 1], turned_33[2, 2])
    roll = np.arctan2(turned_33[1, 0], turned_33[0, 0])
    return Pose(*(float(angle) for angle in np.degrees([yaw, pitch, roll])))


def sharpness(crop_HWC: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the luminance, in squared grey levels; blurred crops have little."""
    import cv2

    laplacian_HW = cv2.Laplacian(cv2.cvtColor(crop_HWC, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    return float(cv2.meanStdDev(laplacian_HW)[1][0, 0] ** 2)
