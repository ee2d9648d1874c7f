"""What a recogniser tells a generator in training: who its pictures are, and what they look like to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from generator_samples import patterns, write_patch_encoder, write_people
from tiny_training import TINY, same, train

from synthface import recipe as recipes
from synthface.cli import cli
from synthface.errors import RecipeError
from synthface.generator.pixels import PixelAutoencoder
from synthface.generator.training import denoiser, networks
from synthface.generator.training.identity_loss import IdentityLoss, predicted_clean
from synthface.generator.training.log import read_log
from synthface.generator.training.perceptual import FrozenRecogniser, Perceptual
from synthface.recipe.pictures import GeneratorTrainingRecipe

PREDICTIONS = ["epsilon", "v_prediction", "sample"]
CPU = torch.device("cpu")


def colours(picture_BCHW: torch.Tensor) -> torch.Tensor:
    """A recogniser of one line: who somebody is, is their mean colour in each quarter of the picture (B, 12)."""
    return torch.nn.functional.adaptive_avg_pool2d(picture_BCHW, 2).flatten(1)


class Case:
    """Six noisy pictures at timesteps 0, 100 … 900, and what a perfect network would predict of them."""

    def __init__(self, prediction: str) -> None:
        schedule = networks.noise_schedule(GeneratorTrainingRecipe(mode="scratch"))
        self.scheduler = DDPMScheduler.from_config({**schedule, "prediction_type": prediction})
        rng = torch.Generator().manual_seed(0)
        self.clean, noise = (torch.randn(6, 3, 8, 8, generator=rng) for _ in range(2))
        self.timestep = torch.tensor([0, 100, 300, 500, 700, 900])
        self.alpha_T = self.scheduler.alphas_cumprod
        self.noisy = self.scheduler.add_noise(self.clean, noise, self.timestep)
        self.truth = {
            "epsilon": noise,
            "v_prediction": self.scheduler.get_velocity(self.clean, noise, self.timestep),
            "sample": self.clean,
        }[prediction]
        self.unit = torch.nn.functional.normalize(colours(self.clean))
        self.all = torch.ones(6, dtype=torch.bool)
        self.prediction = prediction

    def loss(self, least_signal: float) -> IdentityLoss:
        return IdentityLoss(colours, PixelAutoencoder(), self.alpha_T, self.prediction, least_signal)


@pytest.mark.parametrize("prediction", PREDICTIONS)
class TestIdentityLoss:
    def test_the_clean_picture_follows_from_a_perfect_prediction(self, prediction):
        case = Case(prediction)
        alpha = case.alpha_T[case.timestep][:, None, None, None]
        found = predicted_clean(case.truth, case.noisy, alpha, prediction)
        assert torch.allclose(found, case.clean, atol=2e-4)

    def test_a_perfect_prediction_is_like_its_condition_and_another_person_is_not(self, prediction):
        case = Case(prediction)
        loss = case.loss(0.0)
        own = loss(case.truth, case.noisy, case.timestep, case.unit, case.all)
        other = loss(case.truth, case.noisy, case.timestep, -case.unit, case.all)
        assert own.item() == pytest.approx(0, abs=1e-4)
        assert other.item() == pytest.approx(2, abs=1e-4)

    def test_what_is_too_noisy_or_has_no_condition_counts_nothing(self, prediction):
        case = Case(prediction)
        counts = torch.tensor([True, False, True, True, True, True])
        guess = case.truth.clone().requires_grad_()
        loss = case.loss(0.2)(guess, case.noisy, case.timestep, torch.roll(case.unit, 1, 0), counts)
        loss.backward()
        told = guess.grad.flatten(1).abs().sum(1) > 0
        assert (
            told.tolist()
            == (counts & (case.alpha_T[case.timestep] >= 0.2)).tolist()
            == [True, False, True, True, False, False]
        )

    def test_with_nothing_that_counts_it_is_zero_and_has_a_gradient(self, prediction):
        case = Case(prediction)
        guess = case.truth.clone().requires_grad_()
        loss = case.loss(0.0)(guess, case.noisy, case.timestep, case.unit, ~case.all)
        loss.backward()
        assert loss.item() == 0
        assert not guess.grad.any()


class TestShare:
    def test_the_term_judges_the_first_of_each_batch(self):
        """And its expectation stays: the mean is over those that it judges."""
        settings = {"train_generator.mode": "scratch", "train_generator.condition_dropout": 0.0}
        judged = []

        class Clean:
            shape, stochastic = (3, 4, 4), False

            def usable(self):
                return np.arange(8)

            def latents(self, row_B, mirrored_B, normal_BCHW):
                return torch.ones(len(row_B), 3, 4, 4), None

        def identity(prediction_BCHW, noisy_BCHW, timestep_B, unit_BD, counts_B):
            judged.append([len(one) for one in (prediction_BCHW, noisy_BCHW, timestep_B, unit_BD, counts_B)])
            return torch.tensor(0.5)

        for share in (1.0, 0.25, 0.01):
            recipe = recipes.build(
                {},
                {**settings, "train_generator.identity_loss_share": share, "train_generator.identity_loss_weight": 2.0},
            ).train_generator
            loss = denoiser.NoisePrediction(
                Clean(), np.eye(8, 16, dtype=np.float32), networks.noise_schedule(recipe), recipe, 0, CPU, identity
            )
            parts = loss(lambda noisy_BCHW, *_: torch.zeros_like(noisy_BCHW), range(8))
            assert parts["loss"].item() == pytest.approx(parts["error"].item() + 2.0 * 0.5)
        assert judged == [[8] * 5, [2] * 5, [1] * 5]


@pytest.fixture(scope="module")
def recogniser() -> FrozenRecogniser:
    return FrozenRecogniser("embedded", CPU, "train_generator.identity_encoder")


class TestFrozenRecogniser:
    def test_it_embeds_as_the_encoder_does(self, recogniser):
        from synthface.encoder import open_encoder

        image_NHWC = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
        picture_NCHW = torch.from_numpy(image_NHWC).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            found = recogniser(picture_NCHW).numpy()
        wanted = open_encoder("embedded").embed(image_NHWC)
        cosine = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
        assert cosine.min() > 0.999

    def test_pictures_of_another_size_are_scaled_and_gradients_pass(self, recogniser):
        picture = torch.zeros(1, 3, 64, 64, requires_grad=True)
        recogniser(picture).square().sum().backward()
        assert picture.grad.abs().sum() > 0
        assert all(parameter.grad is None for parameter in recogniser.network.parameters())

    def test_an_onnx_model_is_refused(self, tmp_path):
        encoder = write_patch_encoder(tmp_path / "encoder.onnx")
        with pytest.raises(RecipeError, match="is no recogniser of train-fr"):
            FrozenRecogniser(str(encoder), CPU, "train_generator.vae.perceptual")


class TestPerceptual:
    def test_like_pictures_have_no_error_and_unlike_ones_have_some(self, recogniser):
        perceptual = Perceptual(recogniser)
        rng = torch.Generator().manual_seed(0)
        picture, strange = (torch.rand(2, 3, 112, 112, generator=rng) * 2 - 1 for _ in range(2))
        soft = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
        with torch.inference_mode():
            same, softer, other = (perceptual(one, picture).item() for one in (picture, soft, strange))
        assert same == 0
        assert softer > 0
        assert 0 < other < 4  # of unit features

    def test_every_size_of_feature_maps_counts_once(self, recogniser):
        maps = Perceptual(recogniser)._features(torch.zeros(1, 3, 112, 112))
        assert len(maps) >= 3
        assert all(value.norm(dim=1).max() < 1.001 for value in maps.values())


def test_a_training_asks_both_of_its_pictures(tmp_path):
    """Features for the autoencoder, and from the third step on who it is; going on after a stop gives the same bits."""
    write_people(tmp_path / "faces", patterns(8, 112))
    command = ["embed", tmp_path / "faces", "--encoder", "embedded", "--aligned", "--out", tmp_path / "faces.npz"]
    assert cli.run([*map(str, command), "--run", str(tmp_path / "run")]) == 0
    settings = {
        "train_generator.vae": {**TINY["train_generator.vae"], "perceptual": "embedded"},
        "train_generator.text": {"width": 128, "layers": 1, "tokens": 2},
        "train_generator.identity_loss_weight": 0.5,
        "train_generator.identity_loss_after": 2,
        "train_generator.identity_least_signal": 0.0,
        "train_generator.steps": 4,
    }
    train(tmp_path, tmp_path / "a" / "generator", **settings)
    rows = read_log(tmp_path / "a" / "generator-training" / "log.jsonl")
    assert all(row["features"] > 0 for row in rows if row["stage"] == "autoencoder")
    asked = [row.get("identity") for row in rows if row["stage"] == "denoiser"]
    assert asked[:2] == [None, None]
    assert all(0 < value < 2 for value in asked[2:])
    train(tmp_path, tmp_path / "b" / "generator", **{**settings, "train_generator.steps": 3})
    train(tmp_path, tmp_path / "b" / "generator", **settings)
    assert same(tmp_path / "a" / "generator", tmp_path / "b" / "generator")
