"""Real faces through real networks: insightface's sample picture, tight photographs, and LFW crops."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoder_samples import write_jpeg

from synthface.encoder import open_detector, open_encoder, pictures
from synthface.encoder.align import norm_crop
from synthface.encoder.faces import FaceFinder
from synthface.encoder.recognise import Encoder
from synthface.encoder.scrfd import Detector
from synthface.recipe.people import EncoderRecipe

pytestmark = pytest.mark.real
Run = Callable[..., Any]
PERSON = 0.35  # MobileFaceNet on colour photographs: one person's two photographs are above, two people's below


@pytest.fixture(scope="module")
def mini(real_data: Path) -> Path:
    return real_data / "models" / "mini"


@pytest.fixture(scope="module")
def recipe(mini: Path) -> EncoderRecipe:
    return EncoderRecipe(model=str(mini / "mobilefacenet_112.onnx"), detector=str(mini / "scrfd_2.5g_kps.onnx"))


@pytest.fixture(scope="module")
def detector(recipe: EncoderRecipe) -> Detector:
    found = open_detector(recipe, device="cpu")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def encoder(recipe: EncoderRecipe) -> Encoder:
    return open_encoder(recipe.model, device="cpu")


@pytest.fixture(scope="module")
def group() -> np.ndarray:
    """insightface's sample picture: six people, RGB."""
    from insightface.data import get_image

    return np.ascontiguousarray(get_image("t1")[..., ::-1])


@pytest.fixture(scope="module")
def peer(real_data: Path) -> Any:
    """insightface's own FaceAnalysis with the same networks."""
    from insightface.app import FaceAnalysis

    analysis = FaceAnalysis(name="mini", root=str(real_data), providers=["CPUExecutionProvider"])
    analysis.prepare(ctx_id=-1, det_size=(640, 640))
    return analysis


@pytest.fixture(scope="module")
def peers_faces(peer: Any, group: np.ndarray) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(peer.get(np.ascontiguousarray(group[..., ::-1])))


def cosines(row_ND: np.ndarray) -> np.ndarray:
    unit_ND = row_ND / np.linalg.norm(row_ND, axis=1, keepdims=True)
    return np.asarray((unit_ND @ unit_ND.T)[np.triu_indices(len(unit_ND), 1)])


def test_the_six_people_of_the_sample_picture_are_six_people(
    detector: Detector, encoder: Encoder, group: np.ndarray
) -> None:
    found = detector.detect_one(group)
    mirrored = detector.detect_one(np.ascontiguousarray(group[:, ::-1]))
    assert len(found.score_N) == len(mirrored.score_N) == 6
    rows = encoder.embed(np.stack([norm_crop(group, points) for points in found.landmark_N52]))
    assert cosines(rows).max() < PERSON
    image = np.ascontiguousarray(group[:, ::-1])
    again = encoder.embed(np.stack([norm_crop(image, points) for points in mirrored.landmark_N52]))
    unit, unit_again = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, again))
    similarity = unit @ unit_again.T
    assert sorted(similarity.argmax(axis=1).tolist()) == list(range(6))  # each is found again in the mirror image
    assert similarity.max(axis=1).min() > PERSON


def test_boxes_landmarks_and_embeddings_equal_insightfaces(
    detector: Detector, encoder: Encoder, group: np.ndarray, peers_faces: list[Any]
) -> None:
    found = detector.detect_one(group)
    order = [int(np.abs(found.box_N4 - face.bbox).sum(axis=1).argmin()) for face in peers_faces]
    assert sorted(order) == list(range(6))
    np.testing.assert_allclose(found.box_N4[order], [face.bbox for face in peers_faces], atol=1e-3)
    np.testing.assert_allclose(found.score_N[order], [face.det_score for face in peers_faces], atol=1e-6)
    np.testing.assert_allclose(found.landmark_N52[order], [face.kps for face in peers_faces], atol=1e-3)
    rows = encoder.embed(np.stack([norm_crop(group, points) for points in found.landmark_N52[order]]))
    np.testing.assert_allclose(rows, [face.embedding for face in peers_faces], atol=1e-5)


def test_embed_equals_insightfaces_largest_face_of_each_photograph(
    synthface: Run, recipe: EncoderRecipe, group: np.ndarray, peer: Any, tmp_path: Path
) -> None:
    """Six overlapping cut-outs of the sample picture, as files."""
    expected = []
    for number, left in enumerate(range(0, 840, 140)):
        path = write_jpeg(tmp_path / f"photos/{number:02}.jpg", group[:, left : left + 440])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            faces = peer.get(np.ascontiguousarray(pictures.load(path, 10**7)[..., ::-1]))
        if faces:
            areas = [np.prod(face.bbox[2:] - face.bbox[:2]) for face in faces]
            expected.append((number, faces[int(np.argmax(areas))].embedding))
    networks = ("--encoder", recipe.model, "--detector", recipe.detector, "--device", "cpu")
    done = synthface("embed", "photos", "--out", "emb.npz", *networks, "--set", "encoder.padding=[0.0]")
    assert done.code == 0
    made = np.load("emb.npz")
    assert len(expected) > 3
    assert made["indices"].tolist() == [number for number, _ in expected]
    np.testing.assert_allclose(made["embeddings"], [row for _, row in expected], atol=1e-5)


def test_tight_photographs_are_found_after_padding(real_data: Path, recipe: EncoderRecipe) -> None:
    detector = open_detector(recipe, device="cpu")
    assert detector is not None
    assert detector.size == (640, 640)
    images = [pictures.load(path, 10**7) for path in sorted((real_data / "tight").glob("*.jpg"))]
    assert len(images) == 8
    assert FaceFinder(detector, (0.0,), "largest")(images) == [None] * 8
    faces = FaceFinder.from_recipe(detector, recipe)(images)
    assert [face and face.padding for face in faces] == [0.3] * 8
    padded = [np.pad(image, ((105, 105), (105, 105), (0, 0))) for image in images]
    for face, found in zip(faces, detector(padded), strict=True):  # where a margin of pixels finds them
        assert face is not None
        np.testing.assert_allclose(face.landmark_52, found.landmark_N52[0] - 105, atol=1.0)


def test_a_smaller_square_finds_tight_photographs_as_they_are(
    real_data: Path, recipe: EncoderRecipe, tmp_path: Path
) -> None:
    """The network's square is fixed at 640 pixels; freed from it, it is asked for 256, in which a face is not too large."""
    import onnx

    free = onnx.load(recipe.detector)
    for axis in (2, 3):
        free.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    onnx.save(free, tmp_path / "free.onnx")
    freed = recipe.model_copy(update={"detection_size": 256, "detector": str(tmp_path / "free.onnx")})
    detector = open_detector(freed, device="cpu")
    assert detector is not None
    assert detector.size == (256, 256)
    images = [pictures.load(path, 10**7) for path in sorted((real_data / "tight").glob("*.jpg"))]
    small = FaceFinder.from_recipe(detector, recipe)(images)
    own = open_detector(recipe, device="cpu")
    assert own is not None
    assert [face and face.padding for face in small] == [0.0] * 8
    for one, other in zip(small, FaceFinder.from_recipe(own, recipe)(images), strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one.landmark_52, other.landmark_52, atol=20)  # of 350 pixels, the eyes 110 apart


def test_the_share_of_padded_faces_is_reported(synthface: Run, real_data: Path, recipe: EncoderRecipe) -> None:
    from insightface.data import get_image

    write_jpeg(Path("group.jpg"), np.ascontiguousarray(get_image("t1")[..., ::-1]))
    networks = ("--encoder", recipe.model, "--detector", recipe.detector, "--device", "cpu")
    done = synthface("embed", real_data / "tight", "group.jpg", "--out", "emb.npz", *networks)
    assert "padded      88.89% of the faces were found with a margin, 8 with 0.3" in done.out
    assert cosines(np.load("emb.npz")["embeddings"]).max() < 0.6  # nine photographs of nine people, eight of them grey


def test_a_prior_and_new_people_come_from_what_embed_wrote(
    synthface: Run, real_data: Path, recipe: EncoderRecipe, tmp_path: Path
) -> None:
    """Pairs of LFW photographs as a RecordIO dataset → embeddings → prior → 40 people far from all of them."""
    from fr_train import bins
    from synthface.dataset import Row, ShardWriter, pack
    from synthface.recipe.pictures import PackRecipe

    faces = bins.read(real_data / "lfw_gray_dev.bin")
    pairs = np.flatnonzero(faces.issame_N)[::9][:150]  # neighbours in the file are often one person
    with ShardWriter(tmp_path / "shards" / "0") as shard:
        for person, pair in enumerate(pairs):
            for index in range(2):
                shard.write(faces.images[2 * pair + index], Row(identity=person, index=index, seed=0, attempt=0))
    pack([tmp_path / "shards" / "0.rec"], tmp_path / "lfw", PackRecipe(), seed=0)

    done = synthface("embed", "lfw", "--out", "lfw.npz", "--encoder", recipe.model, "--device", "cpu", "--json")
    assert (done.json["embeddings"], done.json["people"], done.json["skipped"]) == (300, 150, {})
    row_ND, label_N = np.load("lfw.npz")["embeddings"], np.load("lfw.npz")["labels"]
    unit_ND = row_ND / np.linalg.norm(row_ND, axis=1, keepdims=True)
    same = np.einsum("nd,nd->n", unit_ND[0::2], unit_ND[1::2])
    other = np.einsum("nd,nd->n", unit_ND[0:150:2], unit_ND[150::2])
    assert label_N.tolist() == np.repeat(np.arange(150), 2).tolist()
    assert np.median(same) > 0.5 > 0.3 > np.quantile(other, 0.95)

    fitted = synthface("fit-prior", "lfw.npz", "--out", "prior.safetensors", "--json").json
    assert (fitted["people"], fitted["dimension"]) == (150, 128)
    limits = ("--threshold", 0.5, "--set", f"encoder.model={recipe.model}")
    made = synthface(
        "sample-ids", "--ids", 40, "--prior", "prior.safetensors", "--exclude", "lfw.npz", *limits, "--json"
    )
    assert made.code == 0, made.err
    assert made.json["identities"] == 40
    assert made.json["largest_excluded_similarity"] < 0.5
