"""Training from nothing: it learns, goes on exactly after any stop, and exports what the generator reads."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import torch
from generator_samples import mean_difference, tensors
from tiny_training import HALF, TINY, same, train

from synthface import recipe as recipes
from synthface.errors import InputError, OutputError, RunConflictError
from synthface.generator import Arc2Face
from synthface.generator.training import denoiser, networks
from synthface.generator.training.log import read_log


@pytest.fixture(scope="module")
def straight(world, tmp_path_factory):
    """Six steps in one go."""
    out = tmp_path_factory.mktemp("straight") / "generator"
    return out, train(world, out)


class TestOverfitting:
    """Eight pairs, learned by heart: latents of a small autoencoder, then the denoiser, then samples."""

    @pytest.fixture(scope="class")
    def learned(self, world, tmp_path_factory):
        out = tmp_path_factory.mktemp("overfit") / "generator"
        changes = {
            "train_generator.unet": {"channels": [32, 64], "attention": [False, True], "head_size": 16},
            "train_generator.vae": {
                "channels": [16, 32, 32],
                "latent_channels": 4,
                "steps": 150,
                "batch_size": 8,
                "learning_rate": 2e-3,
                "ema_decay": 0.9,
                "warmup_steps": 10,
            },
            "train_generator.mirror": False,
            "train_generator.prediction": "v_prediction",
            "train_generator.learning_rate": 8e-4,
            "train_generator.warmup_steps": 20,
            "train_generator.batch_size": 8,
            "train_generator.steps": 750,
            "train_generator.ema_decay": 0.98,
            "train_generator.checkpoint_every": 1000,
            "train_generator.sample_every": 750,
        }
        return out, train(world, out, **changes)

    def test_the_loss_falls_by_five_times(self, learned):
        out, _ = learned
        log = [line["loss"] for line in read_log(out.with_name("generator-training") / "log.jsonl", "denoiser")]
        assert len(log) == 750
        assert np.mean(log[:5]) > 5 * np.mean(log[-50:])

    def test_the_eight_people_are_told_apart_in_the_samples(self, learned, world):
        from synthface.encoder import open_encoder
        from synthface.identity import sphere

        out, _ = learned
        with np.load(world / "faces.npz") as file:
            unit_PD = sphere.normalize(file["embeddings"])
        generator = Arc2Face.from_pretrained(out, device="cpu")
        drawn = generator.sample(np.repeat(unit_PD, 4, 0), range(32), num_inference_steps=15, guidance_scale=1.5)
        found = sphere.normalize(open_encoder(world / "encoder.onnx", device="cpu").embed(drawn))
        similarity_NP = found @ unit_PD.T
        assert (similarity_NP.argmax(1) == np.repeat(np.arange(8), 4)).all()
        own = similarity_NP[np.arange(32), np.repeat(np.arange(8), 4)]
        assert own.mean() > 0.9

    def test_sheets_show_originals_reconstructions_and_samples(self, learned):
        import cv2

        out, _ = learned
        samples = out.with_name("generator-training") / "samples"
        assert cv2.imread(str(samples / "denoiser-00000750.png")).shape == (8 * 34 - 2, 5 * 34 - 2, 3)
        pair = cv2.imread(str(samples / "autoencoder-00000150.png"))
        assert pair.shape == (2 * 34 - 2, 8 * 34 - 2, 3)
        error = np.abs(pair[:32].astype(int) - pair[34:].astype(int)).mean()
        assert error < 12, "the autoencoder's pictures are those above them"


class TestExport:
    def test_every_part_is_there_and_loads(self, straight):
        out, result = straight
        assert sorted(path.name for path in out.iterdir()) == sorted(
            ["arc2face", "encoder", "vae", "tokenizer", "scheduler", "synthface.json"]
        )
        generator = Arc2Face.from_pretrained(out, device="cpu")
        assert (generator.dimension, generator.image_size) == (16, 32) == (result["dimension"], 32)
        assert generator.encode(np.eye(16)[:3]).shape == (3, 8, 64), "a prompt of eight tokens, not of 77"

    def test_diffusers_and_transformers_read_the_parts(self, straight):
        import diffusers
        import transformers

        out, _ = straight
        ours = Arc2Face.from_pretrained(out, device="cpu", dtype="float32")
        unet = diffusers.UNet2DConditionModel.from_pretrained(out / "arc2face")
        vae = diffusers.AutoencoderKL.from_pretrained(out / "vae")
        text = transformers.CLIPTextModel.from_pretrained(out / "encoder")
        for theirs, mine in ((unet, ours.unet), (vae, ours.vae), (text, ours.conditioner.text_encoder)):
            state = mine.state_dict()
            assert all(torch.equal(value, state[key]) for key, value in theirs.state_dict().items() if key in state)
            assert set(state) == set(theirs.state_dict())
        assert len(transformers.CLIPTokenizer.from_pretrained(out / "tokenizer")("photo of a id person").input_ids) == 7

    def test_the_latents_that_the_denoiser_saw_have_variance_one(self, straight):
        out, _ = straight
        cached = np.load(out.with_name("generator-training") / "cache" / "latents.npy").astype(np.float64)
        scale = json.loads((out / "vae" / "config.json").read_text())["scaling_factor"]
        second_moment = cached[:, :, 0].var() + (cached[:, :, 1] ** 2).mean()
        assert scale**2 * second_moment == pytest.approx(1, rel=1e-6)

    def test_half_precision(self, world, straight, tmp_path):
        train(world, tmp_path / "generator", **{"train_generator.export_dtype": "float16"})
        exact, half = tensors(straight[0]), tensors(tmp_path / "generator")
        assert {value.dtype for value in half.values()} == {torch.float16}
        assert all(torch.equal(value.half(), half[key]) for key, value in exact.items())

    @pytest.mark.parametrize(("space", "conditioner"), [("pixel", "clip"), ("latent", "mlp")])
    def test_pixel_space_and_the_mlp(self, world, tmp_path, space, conditioner):
        result = train(
            world,
            tmp_path / "generator",
            **{"train_generator.space": space, "train_generator.conditioner": conditioner, "train_generator.steps": 2},
        )
        generator = Arc2Face.from_pretrained(tmp_path / "generator", device="cpu")
        assert generator.sample(np.eye(16)[:2], [1, 2], num_inference_steps=2).shape == (2, 32, 32, 3)
        assert generator.conditioner.kind == conditioner
        assert (result["autoencoder"] is None) == (space == "pixel")


class TestCooldown:
    def test_the_step_size_grows_stays_and_falls_to_nothing(self, world, tmp_path):
        out = tmp_path / "generator"
        train(world, out, **{"train_generator.steps": 8, "train_generator.cooldown_steps": 4})
        rows = read_log(out.with_name("generator-training") / "log.jsonl")
        rates = [row["learning_rate"] for row in rows if row["stage"] == "denoiser"]
        assert rates == pytest.approx([0.0005, 0.001, 0.001, 0.001, 0.001, 0.00075, 0.0005, 0.00025])


class TestGoingOn:
    def test_after_the_last_step_gives_the_same_bits(self, world, straight, tmp_path):
        train(world, tmp_path / "generator", **{"train_generator.steps": 3})
        result = train(world, tmp_path / "generator")
        assert result["steps"] == 6
        assert same(straight[0], tmp_path / "generator")
        log = read_log(tmp_path / "generator-training" / "log.jsonl", "denoiser")
        assert [line["step"] for line in log] == [1, 2, 3, 4, 5, 6]

    @pytest.mark.parametrize("stage", ["autoencoder", "denoiser"])
    def test_after_sigterm_gives_the_same_bits(self, world, straight, tmp_path, monkeypatch, stage):
        from synthface.generator.training import autoencoder

        kind = {"autoencoder": autoencoder.Reconstruction, "denoiser": denoiser.NoisePrediction}[stage]
        real = kind.__call__

        def interrupted(self, network, samples):
            if samples[0] == 8:  # within the third step
                signal.raise_signal(signal.SIGTERM)
            return real(self, network, samples)

        with monkeypatch.context() as patch:
            patch.setattr(kind, "__call__", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train(world, tmp_path / "generator")
        assert not (tmp_path / "generator").exists()
        folders = [path.name for path in (tmp_path / "generator-training" / "checkpoints").iterdir()]
        assert f"{stage}-00000003" in folders
        train(world, tmp_path / "generator")
        assert same(straight[0], tmp_path / "generator")

    def test_a_killed_writer_leaves_the_last_whole_checkpoint(self, world, straight, tmp_path, monkeypatch):
        from safetensors import torch as safetensors

        real = safetensors.save_file

        def full(tensors, path, **options):
            if "denoiser-00000004" in str(path) and "average" in str(path):
                raise OSError(28, "No space left on device")
            return real(tensors, path, **options)

        with monkeypatch.context() as patch:
            patch.setattr(safetensors, "save_file", full)
            with pytest.raises(OutputError, match="the disk is full"):
                train(world, tmp_path / "generator")
        train(world, tmp_path / "generator")
        assert same(straight[0], tmp_path / "generator")
        names = [path.name for path in (tmp_path / "generator-training" / "checkpoints").iterdir()]
        assert not [name for name in names if name.endswith(".tmp")]

    def test_with_other_values_is_refused(self, world, tmp_path):
        train(world, tmp_path / "generator", **{"train_generator.steps": 2})
        with pytest.raises(RunConflictError, match=r"learning_rate: 0\.001 there, 0\.002 now"):
            train(world, tmp_path / "generator", **{"train_generator.learning_rate": 2e-3})

    def test_a_damaged_checkpoint_is_named(self, world, tmp_path):
        train(world, tmp_path / "generator", **{"train_generator.steps": 2})
        path = tmp_path / "generator-training" / "checkpoints" / "denoiser-00000002" / "optimizer.pt"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(InputError, match=r"optimizer\.pt is damaged"):
            train(world, tmp_path / "generator")

    def test_gradients_of_two_halves_add_up_to_those_of_the_whole(self, world, tmp_path):
        whole = {"train_generator.batch_size": 4, "train_generator.accumulate": 1, "train_generator.steps": 2}
        halves = {"train_generator.batch_size": 2, "train_generator.accumulate": 2, "train_generator.steps": 2}
        train(world, tmp_path / "whole", **whole)
        train(world, tmp_path / "halves", **halves)
        assert mean_difference(tensors(tmp_path / "whole"), tensors(tmp_path / "halves")) < 0.01 * 1e-3


class TestHalfPrecision:
    """bf16 by accelerate's autocast; on a CPU small networks then attend by plain operations."""

    @pytest.fixture(scope="class")
    def half(self, world, tmp_path_factory):
        out = tmp_path_factory.mktemp("half") / "generator"
        return out, train(world, out, **HALF)

    def test_weights_stay_float32_and_nearly_those_of_full_precision(self, straight, half):
        assert half[1]["precision"] == "bf16"
        exact, rounded = tensors(straight[0]), tensors(half[0])
        assert {value.dtype for value in rounded.values()} == {torch.float32}
        assert not same(straight[0], half[0])
        assert mean_difference(exact, rounded) < 0.5 * 1e-3, "half of one step"

    def test_going_on_gives_the_same_bits(self, world, half, tmp_path):
        train(world, tmp_path / "generator", **HALF, **{"train_generator.steps": 3})
        train(world, tmp_path / "generator", **HALF)
        assert same(half[0], tmp_path / "generator")

    def test_plain_attention_has_the_gradients_of_the_fused_one(self):
        from synthface.generator.conditioning import MlpConditioner
        from synthface.generator.training.networks import make_unet

        recipe = recipes.build({}, TINY).train_generator
        found = []
        for plain in (False, True):
            torch.manual_seed(0)
            conditioner = MlpConditioner(16, 64, 64, 1, 2)
            network = denoiser.Denoiser(make_unet(recipe.unet, 16, 2, 64), conditioner, plain)
            rows = [torch.randn(2, 2, 16, 16), torch.tensor([3, 700]), torch.randn(2, 16), torch.tensor([False, True])]
            network(*rows).square().mean().backward()
            found.append({key: value.grad for key, value in network.named_parameters()})
        for key, grad in found[0].items():
            assert torch.allclose(grad, found[1][key], rtol=1e-4, atol=1e-6), key


class TestSamples:
    def loss(self, world, tmp_path, **changes):
        recipe = recipes.build({}, {**TINY, **changes}).train_generator

        class Clean:
            shape, stochastic = (1, 2, 2), False

            def usable(self):
                return np.arange(8)

            def latents(self, row_B, mirrored_B, normal_BCHW):
                return torch.from_numpy(row_B).float().reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2) / 8, None

        schedule = networks.noise_schedule(recipe)
        return denoiser.NoisePrediction(
            Clean(), np.eye(8, 16, dtype=np.float32), schedule, recipe, 0, torch.device("cpu")
        )

    def test_every_picture_is_seen_once_an_epoch(self, world, tmp_path):
        order = self.loss(world, tmp_path).order
        first, second = order[range(8)], order[range(8, 16)]
        assert sorted(first) == sorted(second) == list(range(8))
        assert list(first) != list(second)

    def test_what_a_sample_sees_does_not_depend_on_the_batch(self, world, tmp_path):
        loss = self.loss(world, tmp_path)
        seen = []

        def network(noisy_BCHW, timestep_B, unit_BD, dropped_B):
            seen.append((noisy_BCHW, timestep_B, unit_BD, dropped_B))
            return torch.zeros_like(noisy_BCHW)

        loss(network, range(6))
        loss(network, range(4, 6))
        for whole, part in zip(seen[0], seen[1], strict=True):
            assert torch.equal(whole[4:], part)

    @pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
    def test_the_truth_has_no_loss(self, world, tmp_path, prediction):
        loss = self.loss(world, tmp_path, **{"train_generator.prediction": prediction})

        def perfect(noisy_BCHW, timestep_B, unit_BD, dropped_B):
            alpha = loss.scheduler.alphas_cumprod[timestep_B].reshape(-1, 1, 1, 1)
            clean = unit_BD.argmax(1).float().reshape(-1, 1, 1, 1) / 8
            noise = (noisy_BCHW - alpha.sqrt() * clean) / (1 - alpha).sqrt()
            return noise if prediction == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * clean

        assert float(loss(perfect, range(64))["loss"]) < 1e-6

    def test_the_condition_is_dropped_as_often_as_asked(self, world, tmp_path):
        loss = self.loss(world, tmp_path, **{"train_generator.condition_dropout": 0.25})
        dropped = []
        loss(lambda x, t, unit, drop: dropped.append(drop) or torch.zeros_like(x), range(2_000))
        assert abs(float(dropped[0].float().mean()) - 0.25) < 0.03

    @pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
    def test_min_snr_weights_are_those_of_the_clean_picture(self, world, tmp_path, prediction):
        settings = {"train_generator.prediction": prediction, "train_generator.min_snr_gamma": 5.0}
        loss = self.loss(world, tmp_path, **settings)
        alpha = loss.scheduler.alphas_cumprod.double()
        snr = alpha / (1 - alpha)
        wanted = snr.clamp(max=5) / (snr if prediction == "epsilon" else snr + 1)
        assert torch.allclose(loss.weight_T.double(), wanted, rtol=1e-5)
