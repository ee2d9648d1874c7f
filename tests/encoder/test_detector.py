"""The detector: boxes in the picture's pixels, alone and in batches, with and without a margin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoder_samples import LANDMARKS, dark_with_squares, write_detector, write_encoder

from synthface import recipe as recipes
from synthface.encoder.network import Network
from synthface.encoder.scrfd import Detector, suppress
from synthface.errors import InputError, RecipeError

PICTURES = [
    dark_with_squares([(8, 16, 8)]),
    dark_with_squares([]),
    dark_with_squares([(0, 0, 16), (48, 48, 8)]),
    dark_with_squares([(64, 0, 32)], side=128),
]


def detector(path: Path, batched: bool = False, batch_size: int = 8) -> Detector:
    return Detector(Network(path, "cpu", batched), threshold=0.9, batch_size=batch_size)


def test_faces_are_where_the_bright_squares_are(networks: Path) -> None:
    alone, none, two, scaled = detector(networks / "detector.onnx")(PICTURES)
    np.testing.assert_allclose(alone.landmark_N52[0], np.array([8, 16]) + 8 * np.reshape(LANDMARKS, (5, 2)))
    np.testing.assert_allclose(alone.box_N4, [[2, 10, 14, 22]])
    assert len(none.score_N) == 0
    corners = sorted(two.landmark_N52[:, 2].tolist())  # the large square is four small cells, and one large one
    assert corners == [[0, 0], [0, 0], [0, 8], [8, 0], [8, 8], [48, 48]]
    assert [64, 0] in scaled.landmark_N52[:, 2].tolist()  # twice the detector's size: coordinates are the picture's


@pytest.mark.parametrize("layout", ["rows", "interleaved"])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_batch_finds_what_single_pictures_find(tmp_path: Path, layout: str, batch_size: int) -> None:
    path = write_detector(tmp_path / "detector.onnx", layout)
    together = detector(path, batched=True, batch_size=batch_size)
    assert together.network.batched
    for alone, one in zip(detector(path)(PICTURES), together(PICTURES), strict=True):
        for expected, found in zip(alone, one, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_square_without_a_whole_number_of_cells_is_refused(networks: Path, tmp_path: Path) -> None:
    """The network rounds up where it halves an odd side; positions counted otherwise would lie elsewhere."""
    import onnx

    free = onnx.load(networks / "detector.onnx")
    for axis in (2, 3):
        free.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "side"
    onnx.save(free, tmp_path / "free.onnx")
    network = Network(tmp_path / "free.onnx", "cpu")
    assert Detector(network, 96).size == (96, 96)
    with pytest.raises(InputError, match="a square of 81 has no whole number") as caught:
        Detector(network, 81)
    assert "such as 96" in caught.value.fix
    with pytest.raises(RecipeError, match="multiple of 32"):
        recipes.build({}, {"encoder.detection_size": 600})


def test_a_batching_network_sees_one_size_of_batches(networks: Path) -> None:
    batching = detector(networks / "detector.onnx", batched=True, batch_size=3)
    sizes = []
    run = batching.network._run
    batching.network._run = lambda image_BCHW: sizes.append(len(image_BCHW)) or run(image_BCHW)  # type: ignore[method-assign,func-returns-value]
    together = batching(PICTURES)
    for picture, found in zip(PICTURES, together, strict=True):
        for alone, one in zip(batching([picture])[0], found, strict=True):
            np.testing.assert_array_equal(alone, one)
    assert set(sizes) == {3}


def test_a_graph_that_mixes_a_batch_up_is_run_one_picture_at_a_time(
    networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Network.run

    def shuffled(self: Network, image_BCHW: np.ndarray) -> list[np.ndarray]:
        return [np.roll(output, 3 * (len(image_BCHW) - 1), axis=0) for output in run(self, image_BCHW)]

    monkeypatch.setattr(Network, "run", shuffled)
    careful = detector(networks / "detector.onnx", batched=True)
    assert not careful.network.batched
    assert [len(found.score_N) for found in careful(PICTURES)] == [1, 0, 6, 5]


@pytest.mark.parametrize("margin", [0.25, 0.5, 1.5])
def test_a_margin_makes_faces_smaller_for_the_network_and_not_in_the_result(networks: Path, margin: float) -> None:
    picture = np.full((96, 96, 3), 255, np.uint8)
    found = detector(networks / "detector.onnx").detect_one(picture, margin)
    assert len(found.score_N)
    corners = found.landmark_N52[:, 2]
    cell = 8 * 96 * (1 + 2 * margin) / 64  # pixels of the picture in one of the network's cells
    assert corners.min() >= -cell
    assert corners.max() <= 96
    assert corners.max() - corners.min() > 96 - 3 * cell


def test_a_picture_of_one_row_is_searched(networks: Path) -> None:
    assert len(detector(networks / "detector.onnx").detect_one(np.zeros((1, 5_000, 3), np.uint8)).score_N) == 0


def test_overlapping_boxes_leave_the_best() -> None:
    boxes = np.array([[0, 0, 9, 9], [1, 1, 10, 10], [20, 20, 29, 29], [0, 0, 4, 4]], np.float32)
    assert suppress(boxes, 0.4) == [0, 2, 3]
    assert suppress(boxes[:0], 0.4) == []


def test_a_recogniser_is_no_detector(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoder.onnx")
    with pytest.raises(InputError, match="not a face detector with landmarks: it has 1 outputs"):
        detector(path)
