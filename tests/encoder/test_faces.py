"""Which face is meant, and how often it is searched for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from synthface.encoder.faces import FaceFinder
from synthface.encoder.scrfd import Detections
from synthface.recipe.people import EncoderRecipe

PICTURE = np.zeros((100, 200, 3), np.uint8)
LARGE_LEFT, SMALL_MIDDLE = [0, 20, 60, 80], [90, 40, 110, 60]


class Scripted:
    """Finds in each picture, told by its first pixel, what the script says for the margin."""

    def __init__(self, script: dict[int, dict[float, list[list[int]]]]) -> None:
        self.script = script
        self.asked: list[tuple[int, float]] = []

    def detect_one(self, image_HWC: np.ndarray, margin: float = 0.0) -> Detections:
        number = int(image_HWC[0, 0, 0])
        self.asked.append((number, margin))
        boxes = np.array(self.script.get(number, {}).get(margin, []), np.float32).reshape(-1, 4)
        return Detections(boxes, np.linspace(0.9, 0.5, len(boxes), dtype=np.float32), np.zeros((len(boxes), 5, 2)))

    def __call__(self, images: Sequence[np.ndarray], margin: float = 0.0) -> list[Detections]:
        return [self.detect_one(image, margin) for image in images]


def pictures(*numbers: int) -> list[np.ndarray]:
    return [np.full_like(PICTURE, number) for number in numbers]


def finder(script: dict[int, dict[float, list[list[int]]]], **settings: object) -> tuple[FaceFinder, Scripted]:
    detector = Scripted(script)
    return FaceFinder.from_recipe(detector, EncoderRecipe(**settings)), detector  # type: ignore[arg-type]


def test_margins_are_tried_in_the_recipes_order_until_a_face_is_found() -> None:
    script = {1: {0.0: [LARGE_LEFT]}, 2: {0.1: [LARGE_LEFT], 0.5: [LARGE_LEFT]}, 3: {}}
    find, detector = finder(script, padding=(0.0, 0.5, 0.1))
    faces = find(pictures(1, 2, 3))
    assert [face and face.padding for face in faces] == [0.0, 0.5, None]
    assert detector.asked == [(1, 0.0), (2, 0.0), (3, 0.0), (2, 0.5), (3, 0.5), (3, 0.1)]
    assert [find.find_one(picture) for picture in pictures(3)] == [None]
    alone = find.find_one(pictures(2)[0])
    assert alone is not None
    assert alone.padding == 0.5


@pytest.mark.parametrize(("choose", "box"), [("largest", LARGE_LEFT), ("central", SMALL_MIDDLE)])
def test_of_several_faces_the_largest_or_the_most_central_is_meant(choose: str, box: list[int]) -> None:
    find, _ = finder({1: {0.0: [SMALL_MIDDLE, LARGE_LEFT]}}, choose=choose)
    (face,) = find(pictures(1))
    assert face is not None
    assert face.box_4.tolist() == box
    assert face.faces == 2


def test_the_detection_score_does_not_choose() -> None:
    find, _ = finder({1: {0.0: [SMALL_MIDDLE, LARGE_LEFT]}})
    (face,) = find(pictures(1))
    assert face is not None
    assert face.score == pytest.approx(0.5)
