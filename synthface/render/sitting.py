"""One person's sitting: all pictures of an identity, made in rounds.

Round a consists of attempt a at every image that is not kept yet, and is judged when all of it has been drawn. So what is
kept depends on no order of drawing: not on batches, devices or the speed of anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.dataset import Row
from synthface.encoder.pose import Pose

Floats = NDArray[np.float32]


class Want(NamedTuple):
    """One attempt at one image of one identity."""

    identity: int
    image: int
    attempt: int


@dataclass(frozen=True)
class Shot:
    """A picture as the gate sees it. crop_HWC: None where no face was found; the others: None where not looked at."""

    want: Want
    crop_HWC: NDArray[np.uint8] | None
    embedding_D: Floats | None = None
    verified_V: Floats | None = None
    landmark_52: NDArray[np.float32] | None = None
    detection_score: float | None = None
    pose: Pose | None = None
    sharpness: float | None = None


class Picture(NamedTuple):
    """A kept picture: JPEG and manifest row."""

    jpeg: bytes
    row: Row


@dataclass
class Sitting:
    """The state of an identity. condition_ID: (n, d), one a picture wanted.

    open: images not settled yet; shots: what has been drawn of the present round; kept: by image; missing: images given
    up, with the reason of the last attempt. reference_V, kept_KV: the gate's memory of earlier rounds.
    """

    identity: int
    condition_ID: Floats
    round: int = 0
    open: set[int] = field(init=False)
    shots: dict[int, Shot] = field(default_factory=dict)
    kept: dict[int, Picture] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)
    reference_V: Floats | None = None
    kept_KV: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open = set(range(len(self.condition_ID)))

    def wants(self) -> list[Want]:
        """The present round."""
        return [Want(self.identity, image, self.round) for image in sorted(self.open)]

    def add(self, shot: Shot) -> bool:
        """Takes a shot of the present round; True when the round is complete."""
        self.shots[shot.want.image] = shot
        return len(self.shots) == len(self.open)

    def pictures(self) -> list[Picture]:
        """What was kept, by image."""
        return [self.kept[index] for index in sorted(self.kept)]
