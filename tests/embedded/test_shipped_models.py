"""The models that ship with the package: whole, small, and as good as their cards say, on people they have never seen."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from fr_train import bins, verification
from fr_train.embed import embed
from fr_train.models import open_model
from synthface import recipe
from synthface.encoder import open_encoder
from synthface.generator.open import open_generator, sampling_options
from synthface.identity import prior, priors
from synthface.identity.density import CandidateStream
from synthface.identity.separability import equal_error_rate, pair_scores
from synthface.identity.sphere import normalize
from synthface.parametric import benchmarks
from synthface.parametric.studio import Shoot, take
from synthface.recipe import Recipe
from synthface.zoo import shipped

MOST_BYTES = 40 * 2**20
PEOPLE, PER_PERSON = 10, 4


@pytest.fixture(scope="module")
def demonstration() -> Recipe:
    return recipe.load("embedded", {})


@functools.cache
def strangers() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures of 40 computed people of a crowd that nothing was trained on, and whose they are."""
    person_N = np.repeat(np.arange(40), PER_PERSON)
    photographs = take(Shoot(0, "strangers", person_N, np.tile(np.arange(PER_PERSON), 40)))
    return np.stack([simplejpeg.decode_jpeg(one.jpeg) for one in photographs]), person_N


@functools.cache
def drawn() -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    """The centers of ten sampled people, four ungated pictures of each, and whose they are."""
    settings = recipe.load("embedded", {})
    learned = prior.load(priors.SHIPPED)
    center_ND = CandidateStream(learned, settings.identities, seed=0).draw(0)[:PEOPLE]
    identity_M = np.repeat(np.arange(PEOPLE), PER_PERSON)
    generator = open_generator(settings.generator, "cpu")
    image_MHWC = generator.sample(
        center_ND[identity_M], list(range(len(identity_M))), **sampling_options(settings.generator)
    )
    return center_ND, image_MHWC, identity_M


def weights() -> list[Path]:
    return sorted(shipped.FOLDER.rglob("*.safetensors"))


def test_the_weights_are_those_that_the_cards_describe() -> None:
    listed = dict(line.split("  ")[::-1] for line in (shipped.FOLDER / "SHA256SUMS").read_text().splitlines())
    found = {str(path.relative_to(shipped.FOLDER)): hashlib.sha256(path.read_bytes()).hexdigest() for path in weights()}
    assert found == listed


def test_all_weights_together_are_small_and_in_half_precision() -> None:
    from safetensors import safe_open

    assert sum(path.stat().st_size for path in weights()) <= MOST_BYTES
    for path in weights():
        if path != priors.SHIPPED:
            with safe_open(path, framework="numpy") as file:
                kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
            assert kinds <= {"F16", "I64"}, path


def test_each_model_has_its_card() -> None:
    for name in ("encoder.md", "verifier.md", "prior.md", "generator/README.md"):
        text = (shipped.FOLDER / name).read_text()
        assert all(word in text.lower() for word in ("data", "training", "limits", "licen")), name


def test_pictures_depend_on_the_batch_by_the_rounding_of_bfloat16_alone(demonstration: Recipe) -> None:
    center_ND, image_MHWC, identity_M = drawn()
    options = {**sampling_options(demonstration.generator), "batch_size": 1}
    alone = open_generator(demonstration.generator, "cpu").sample(center_ND[identity_M[:8]], list(range(8)), **options)
    apart = np.abs(alone.astype(int) - image_MHWC[:8])
    assert apart.mean() < 0.3
    assert np.quantile(apart, 0.999) <= 3


# What the shipped weights do not reach stays written here; strict: better weights must take these marks away.
SOFT = pytest.mark.xfail(strict=True, reason="the autoencoder is soft: a median sharpness of 33 against 426")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 pairs of the mixed set."""
    folder = tmp_path_factory.mktemp("sets")
    benchmarks.ensure(folder, ["mixed"], 200)
    return folder / "mixed.bin"


@pytest.mark.parametrize(("model", "floor"), [("embedded", 0.95), ("embedded-verifier", 0.95)])
def test_the_recognisers_tell_strangers_apart(model: str, floor: float, mixed: Path) -> None:
    one = embed(open_model(shipped.encoder(model)), bins.read(mixed), flip=True, batch_size=64)
    assert verification.accuracy(one.dist_N, one.issame_N, 10).mean >= floor


def test_the_verifier_says_that_a_person_of_the_face_model_stays_who_they_are() -> None:
    image_NHWC, person_N = strangers()
    embedding_ND = normalize(open_encoder("embedded-verifier").embed(image_NHWC))
    genuine, impostor = pair_scores(embedding_ND, person_N, seed=0)
    assert genuine.mean() >= 0.5
    assert abs(impostor.mean()) <= 0.1
    assert equal_error_rate(genuine, impostor) <= 0.03


def test_two_unlike_networks_judge() -> None:
    """Of another backbone, no matrix is shared, and they do not agree on which strangers are alike.

    Copies, turned or rounded ones as well, would agree with a correlation of 1; these have .78, for some people are alike.
    """
    conditioning, verifier = (open_model(shipped.encoder(name)) for name in shipped.ENCODERS)
    assert conditioning.backbone != verifier.backbone
    state = (model.module.state_dict().values() for model in (conditioning, verifier))
    matrices = ({w.numpy().tobytes() for w in weights if w.ndim > 1} for weights in state)
    assert not set.intersection(*matrices)
    image_NHWC, person_N = strangers()
    different_NN = np.triu(person_N[:, None] != person_N)
    opinions = []
    for name in ("embedded", "embedded-verifier"):
        embedding_ND = normalize(open_encoder(name).embed(image_NHWC))
        opinions.append((embedding_ND @ embedding_ND.T)[different_NN])
    assert np.corrcoef(opinions)[0, 1] <= 0.85


def test_the_prior_was_learned_from_ten_thousand_people_with_their_variation(demonstration: Recipe) -> None:
    learned = priors.open_for(demonstration, priors.SHIPPED)
    assert learned.within is not None
    assert learned.dimension == open_encoder("embedded").dimension


def test_pictures_of_sampled_people_look_like_their_conditions() -> None:
    center_ND, image_MHWC, identity_M = drawn()
    picture_MD = normalize(open_encoder("embedded").embed(image_MHWC))
    similarity_MN = picture_MD @ center_ND.T
    own_M = similarity_MN[np.arange(len(identity_M)), identity_M]
    assert own_M.mean() >= 0.6
    similarity_MN[np.arange(len(identity_M)), identity_M] = np.nan
    assert np.nanmean(similarity_MN) <= 0.1


def test_pictures_of_one_person_differ_and_are_one_person_to_the_verifier() -> None:
    _, image_MHWC, identity_M = drawn()
    genuine, impostor = pair_scores(normalize(open_encoder("embedded-verifier").embed(image_MHWC)), identity_M, seed=0)
    assert equal_error_rate(genuine, impostor) <= 0.05
    one = image_MHWC[:PER_PERSON].astype(np.float32)
    assert np.abs(one[1:] - one[:-1]).mean() > 10  # grey levels: pose, light and background change


def test_pictures_are_as_bright_as_the_faces_they_were_learned_from() -> None:
    assert abs(float(drawn()[1].mean()) - float(strangers()[0].mean())) < 25  # grey levels


@SOFT
def test_pictures_are_as_sharp_as_the_faces_they_were_learned_from() -> None:
    from synthface.encoder.pose import sharpness

    ours, theirs = (np.median([sharpness(image) for image in images]) for images in (drawn()[1], strangers()[0]))
    assert ours > theirs / 3


def test_the_default_recipe_is_the_demonstration() -> None:
    assert recipe.load(recipe.DEFAULT, {}).name == "embedded"
