"""From a drawn picture to the crop and the points in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from synthface.encoder import align
from synthface.encoder.faces import Face, FaceFinder
from synthface.encoder.scrfd import Detections
from synthface.errors import ResourceError
from synthface.recipe.pictures import CropRecipe
from synthface.render.develop import Developer, Drawn
from synthface.render.halving import Halving
from synthface.render.networks import Networks
from synthface.render.sitting import Want

TURN = np.deg2rad(20)
# the template, turned, three times as large, and moved into a picture of 512 pixels
LANDMARK_52 = (
    3 * align.TEMPLATE_52 @ [[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]] + [120, 40]
).astype(np.float32)
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 512, 512, 3), dtype=np.uint8)


def developer(faces: Sequence[Face | None] | None, **crop: Any) -> Developer:
    finder: Any = None if faces is None else lambda images: list(faces)[: len(images)]
    networks = Networks("cpu", "cpu", "none", "none", 4, None, {}, None, None, finder)  # type: ignore[arg-type]
    return Developer(networks, CropRecipe(**crop))


def face(landmark_52: np.ndarray) -> Face:
    return Face(np.zeros(4, np.float32), landmark_52, 0.75, 0.0, 1)


def drawn() -> list[Drawn]:
    return [Drawn(Want(0, image, 0), picture) for image, picture in enumerate(PICTURES)]


def test_a_found_face_is_cropped_as_norm_crop_does_and_its_points_lie_on_the_template() -> None:
    shots = developer([face(LANDMARK_52), None, face(LANDMARK_52)], align="detect")(drawn())
    assert [shot.want.image for shot in shots] == [0, 1, 2]
    for shot, picture in ((shots[0], PICTURES[0]), (shots[2], PICTURES[2])):
        assert shot.crop_HWC is not None
        assert np.array_equal(shot.crop_HWC, align.norm_crop(picture, LANDMARK_52))
        assert shot.landmark_52 == pytest.approx(align.TEMPLATE_52, abs=1e-3)
        assert shot.pose is not None
        assert abs(shot.pose.roll) < 1
        assert shot.detection_score == 0.75
        assert shot.sharpness is not None
        assert shot.sharpness > 0


def test_where_no_face_is_found_there_is_no_crop_and_nothing_is_known() -> None:
    shot = developer([None] * 3, align="detect")(drawn())[1]
    assert shot.crop_HWC is shot.landmark_52 is shot.pose is shot.detection_score is shot.sharpness is None


def test_an_aligned_picture_is_only_resized_and_points_are_those_of_the_crop() -> None:
    shot = developer([face(align.TEMPLATE_52 * np.float32(512 / 112))] * 3, align="none", size=112)(drawn())[0]
    assert shot.crop_HWC is not None
    assert shot.crop_HWC.shape == (112, 112, 3)
    assert shot.landmark_52 == pytest.approx(align.TEMPLATE_52, abs=1e-3)
    without = developer(None, align="none", size=112)(drawn())[0]
    assert without.landmark_52 is without.pose is without.detection_score is None
    assert np.array_equal(without.crop_HWC, shot.crop_HWC)


class Recogniser:
    """Gives each crop's first pixel. Fills its batches up to `batch_size`, of which `room` fit into the memory."""

    dimension, image_size, provenance = 3, 112, None

    def __init__(self, room: int, batch_size: int = 64) -> None:
        self.room, self.batch_size = room, batch_size

    def embed(self, image_BHWC: np.ndarray) -> np.ndarray:
        if self.batch_size > self.room:
            raise ResourceError(f"A batch of {self.batch_size} pictures does not fit into the memory.")
        assert len(image_BHWC) <= self.batch_size
        return image_BHWC[:, 0, 0].astype(np.float32) + 1


class Unfilled(Recogniser):
    """One that sees as many as it is given."""

    batch_size: Any = None

    def __init__(self, room: int) -> None:
        self.room = room

    def embed(self, image_BHWC: np.ndarray) -> np.ndarray:
        if len(image_BHWC) > self.room:
            raise ResourceError("no room")
        return image_BHWC[:, 0, 0].astype(np.float32) + 1


class Searcher:
    """A detector that fills its batches up and finds the template in every picture."""

    def __init__(self, room: int, batch_size: int = 8) -> None:
        self.room, self.batch_size = room, batch_size

    def __call__(self, images: Sequence[np.ndarray], margin: float) -> list[Detections]:
        if self.batch_size > self.room:
            raise ResourceError("no room")
        assert len(images) <= self.batch_size
        one = Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), LANDMARK_52[None])
        return [one] * len(images)


@pytest.mark.parametrize("make", [Recogniser, Unfilled])
def test_an_encoder_whose_memory_ends_sees_halves_and_gives_the_same(
    make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (32, 112, 112, 3), dtype=np.uint8)
    many = [Drawn(Want(0, image, 0), picture) for image, picture in enumerate(pictures)]
    plenty, scarce = (
        Developer(
            Networks("cuda", "cuda", "none", "none", 8, None, {}, make(room), make(1_000), None),  # type: ignore[arg-type]
            CropRecipe(align="none", size=112),
        )
        for room in (1_000, 5)
    )
    expected, found = plenty(many), scarce(many)
    assert all(np.array_equal(a.embedding_D, b.embedding_D) for a, b in zip(expected, found, strict=True))
    assert [shot.want.image for shot in found] == list(range(32))
    assert plenty.halved == {}
    assert scarce.halved == {"encoder": 4}
    assert "the encoder goes on with 4 pictures at once, not 8" in capsys.readouterr().err
    scarce(many)
    assert not capsys.readouterr().err, "the batch stays small"


def test_a_detector_whose_memory_ends_sees_halves() -> None:
    finder = FaceFinder(Searcher(room=1), (0.0,), "largest")  # type: ignore[arg-type]
    networks = Networks("cuda", "cuda", "none", "none", 8, None, {}, None, None, finder)  # type: ignore[arg-type]
    developed = Developer(networks, CropRecipe(align="detect"))
    shots = developed(drawn())
    assert all(shot.crop_HWC is not None for shot in shots)
    assert developed.halved == {"detector": 1}
    assert finder.detector.batch_size == 8, "another thread may be in the middle of it"


def test_when_not_even_one_picture_fits_an_encoder_the_error_stands() -> None:
    with pytest.raises(ResourceError, match="A batch of 1 pictures"):
        Halving("encoder", Recogniser(room=0))(lambda network, some: network.embed(some), PICTURES)
