"""Checkpoints: read whole or refused, in old and new spellings, and never as code."""

from __future__ import annotations

import json
import pickle
import re
import shutil

import numpy as np
import pytest
import torch
from generator_samples import GOLDEN, pulled
from safetensors.torch import load_file, save_file

from synthface.errors import InputError, MissingWeightsError, ResourceError, SynthfaceError, UsageError
from synthface.generator import Arc2Face
from synthface.generator.conditioning import MlpConditioner

UNET = "arc2face/diffusion_pytorch_model.safetensors"
VAE = "base/vae/diffusion_pytorch_model.safetensors"
ENCODER = "encoder/pytorch_model.bin"


def load(path, **options):
    return Arc2Face.from_pretrained(path, dtype="float32", device="cpu", **options)


def refused(path, match, error=InputError, **options):
    """What is said about a checkpoint that cannot be read."""
    with pytest.raises(error, match=match) as caught:
        load(path, **options)
    assert caught.value.fix, "every refusal says what to do"


def read(path):
    return torch.load(path, weights_only=True) if path.suffix == ".bin" else load_file(path)


def write(path, state):
    torch.save(state, path) if path.suffix == ".bin" else save_file(state, path)


def same_pictures(a, b, embedding_5D):
    options = {"num_inference_steps": 2, "guidance_scale": 2.0}
    return np.array_equal(a.sample(embedding_5D[:2], [1, 2], **options), b.sample(embedding_5D[:2], [1, 2], **options))


@pytest.mark.parametrize("part", [UNET, VAE, ENCODER])
class TestEveryTensorIsLoaded:
    def test_a_missing_one_is_an_error(self, checkpoint, part):
        state = read(checkpoint / part)
        key = sorted(state)[len(state) // 2]
        write(checkpoint / part, {name: value for name, value in state.items() if name != key})
        refused(checkpoint, re.escape(key.removeprefix("text_model.")) + " missing of the network's")

    def test_an_unexpected_one_is_an_error(self, checkpoint, part):
        write(checkpoint / part, {**read(checkpoint / part), "nobody.knows.weight": torch.zeros(3)})
        refused(checkpoint, "nobody.knows.weight")

    def test_one_of_another_shape_is_an_error(self, checkpoint, part):
        state = read(checkpoint / part)
        key = next(name for name in sorted(state) if state[name].ndim == 2)
        shape = tuple(state[key].shape)
        write(checkpoint / part, {**state, key: torch.zeros(7, 3, dtype=state[key].dtype)})
        refused(checkpoint, rf"is \(7, 3\) instead of {re.escape(str(shape))}")

    def test_half_a_file_is_an_error(self, checkpoint, part):
        path = checkpoint / part
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        refused(checkpoint, f"{path.name} is damaged")

    def test_no_file_is_an_error(self, checkpoint, part):
        (checkpoint / part).unlink()
        refused(checkpoint, "half a checkpoint: it has no weights")


@pytest.mark.parametrize("folder", ["arc2face", "encoder", "base/vae", "base/scheduler", "base/tokenizer"])
def test_a_missing_part_is_named(checkpoint, folder):
    shutil.rmtree(checkpoint / folder)
    refused(checkpoint, f"{folder.split('/')[-1]}/")


def test_the_autoencoder_is_read_under_its_old_names(checkpoint, generator, embedding_5D):
    old_of = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for key, value in load_file(checkpoint / VAE).items():
        for new, old in old_of.items():
            if ".attentions." in key and f".{new}." in key:
                key = key.replace(f".{new}.", f".{old}.")
                value = value[:, :, None, None] if value.ndim == 2 else value  # they were 1 × 1 convolutions once
        state[key] = value.contiguous()
    assert any(".query." in key for key in state)
    save_file(state, checkpoint / VAE)
    assert same_pictures(load(checkpoint), generator, embedding_5D)


def test_the_text_encoder_is_read_with_and_without_prefix_and_as_safetensors(checkpoint, generator, embedding_5D):
    state = torch.load(checkpoint / ENCODER, weights_only=True)
    assert all(key.startswith("text_model.") for key in state)
    (checkpoint / ENCODER).unlink()
    bare = {key.removeprefix("text_model."): value for key, value in state.items()}
    bare["embeddings.position_ids"] = torch.arange(77)[None]  # a counter that older versions wrote
    save_file(bare, checkpoint / "encoder" / "model.safetensors")
    assert torch.equal(load(checkpoint).encode(embedding_5D), generator.encode(embedding_5D))


def test_half_precision_on_the_disk_does_not_decide_the_precision_of_computing(generator):
    stored = {value.dtype for value in load_file(GOLDEN / "checkpoint" / UNET).values()}
    assert stored == {torch.float16}
    assert generator.dtype == torch.float32
    assert next(generator.conditioner.parameters()).dtype == torch.float32


def test_a_pickle_with_code_is_not_run(checkpoint, tmp_path):
    trace = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return exec, (f"open({str(trace)!r}, 'w')",)

    for protocol in (2, 4):
        (checkpoint / ENCODER).write_bytes(pickle.dumps({"text_model.weight": Payload()}, protocol))
        refused(checkpoint, "Python code")
    torch.save({"text_model.weight": Payload()}, checkpoint / ENCODER)
    refused(checkpoint, "Python code")
    assert not trace.exists()


def test_an_encoder_of_another_width_is_refused(checkpoint):
    config = json.loads((checkpoint / "arc2face" / "config.json").read_text())
    state = load_file(checkpoint / UNET)
    narrow = {
        key: value[:, :64].contiguous() if value.ndim == 2 and value.shape[1] == 520 else value
        for key, value in state.items()
    }
    (checkpoint / "arc2face" / "config.json").write_text(json.dumps({**config, "cross_attention_dim": 64}))
    save_file(narrow, checkpoint / UNET)
    refused(checkpoint, "520 wide and the UNet attends to 64")


def test_embeddings_that_fit_into_no_token_are_refused(checkpoint):
    (checkpoint / "synthface.json").write_text('{"dimension": 600}')
    refused(checkpoint, "600 do not fit into a token of 520")


def test_a_foreign_tokenizer_is_refused(checkpoint):
    vocabulary = checkpoint / "base" / "tokenizer" / "vocab.json"
    tokens = json.loads(vocabulary.read_text())
    vocabulary.write_text(json.dumps({token: number + 1000 for token, number in tokens.items()}))
    refused(checkpoint, "tokenizer does not belong to the text encoder")


def test_a_tokenizer_that_is_none_is_refused(checkpoint):
    (checkpoint / "base" / "tokenizer" / "vocab.json").write_text("no JSON")
    refused(checkpoint, "holds no CLIP tokenizer")


def test_an_autoencoder_of_other_channels_is_refused(checkpoint):
    config = json.loads((checkpoint / "base" / "vae" / "config.json").read_text())
    assert config["latent_channels"] == 4
    import diffusers

    other = diffusers.AutoencoderKL.from_config({**config, "latent_channels": 8})
    other.save_pretrained(checkpoint / "base" / "vae")
    refused(checkpoint, "8 latent channels and the UNet 4")


def test_a_folder_of_another_network_is_refused(checkpoint):
    config = json.loads((checkpoint / "base" / "vae" / "config.json").read_text())
    (checkpoint / "base" / "vae" / "config.json").write_text(json.dumps({**config, "_class_name": "VQModel"}))
    refused(checkpoint, "VQModel where AutoencoderKL or AutoencoderTiny belongs")


def test_a_noise_schedule_that_is_none_is_refused(checkpoint):
    (checkpoint / "base" / "scheduler" / "scheduler_config.json").write_text("{}")
    refused(checkpoint, "does not describe a noise schedule")


def test_a_wrong_conditioner_is_refused(checkpoint):
    refused(checkpoint, "asks for the conditioner 'mlp'", conditioner="mlp")


def test_an_absent_gpu_is_said(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="cuda:3 was asked for and CUDA is not available"):
        Arc2Face.from_pretrained(checkpoint, device="cuda:3")


@pytest.mark.parametrize("name", ["/there/is/nothing", "nobody/no-such-model"])
def test_what_is_neither_folder_nor_fetched_is_said(name):
    refused(name, name, MissingWeightsError)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "mps", "cpu cpu", ""])
def test_what_names_no_device_is_said(checkpoint, name):
    with pytest.raises(UsageError, match=f"There is no device '{name}'") as caught:
        Arc2Face.from_pretrained(checkpoint, device=name)
    assert caught.value.fix == "Choose auto, cpu, cuda or cuda:N."


def test_public_models_are_found_by_name_and_by_hub_id(checkpoint, generator, embedding_5D, monkeypatch):
    pulled(monkeypatch, checkpoint.parent / "models", arc2face=checkpoint, **{"sd15-base": checkpoint / "base"})
    shutil.rmtree(checkpoint / "base")
    for model, base in (
        ("arc2face", None),
        ("FoivosPar/Arc2Face", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
    ):
        assert same_pictures(load(model, base=base), generator, embedding_5D)


def test_an_mlp_takes_the_place_of_the_text_encoder(checkpoint, embedding_5D):
    shutil.rmtree(checkpoint / "encoder")
    shutil.rmtree(checkpoint / "base" / "tokenizer")
    torch.manual_seed(0)
    network = MlpConditioner(512, 520, hidden=32, layers=3, tokens=2)
    (checkpoint / "encoder").mkdir()
    (checkpoint / "encoder" / "config.json").write_text(json.dumps({"model_type": "mlp", **network.config}))
    save_file(network.state_dict(), checkpoint / "encoder" / "model.safetensors")
    generator = load(checkpoint, conditioner="mlp")
    assert generator.encode(embedding_5D).shape == (5, 2, 520)
    assert torch.allclose(generator.encode(embedding_5D), network(torch.from_numpy(embedding_5D)), atol=1e-6)
    assert generator.sample(embedding_5D[:1], [0], num_inference_steps=2).shape == (1, 64, 64, 3)


@pytest.mark.parametrize(
    ("file", "change", "match"),
    [
        ("arc2face/config.json", {"sample_size": None}, "sample_size None"),
        ("arc2face/config.json", {"sample_size": [8, 8]}, r"sample_size \[8, 8\]"),
        ("base/vae/config.json", {"scaling_factor": None}, "scaling_factor None"),
        ("base/vae/config.json", {"scaling_factor": 0}, "scaling_factor 0"),
        ("base/scheduler/scheduler_config.json", {"prediction_type": "noise"}, "prediction_type 'noise'"),
        ("base/scheduler/scheduler_config.json", {"beta_schedule": "steep"}, "cannot run 2 steps"),
        ("encoder/config.json", {"num_attention_heads": 7}, "no CLIP text encoder"),
        ("encoder/config.json", {"hidden_act": "swoosh"}, "no CLIP text encoder"),
        ("encoder/config.json", {"model_type": "mlp", "dimension": 512}, "no MLP conditioner"),
        ("encoder/config.json", {"model_type": "mlp", "dimension": 0, "width": 520}, "no MLP conditioner"),
        ("synthface.json", [1], "names no dimension"),
    ],
)
def test_configurations_of_nothing_are_one_sentence(checkpoint, embedding_5D, file, change, match):
    path = checkpoint / file
    known = {} if change == [1] or "mlp" in change.values() else json.loads(path.read_text())
    path.write_text(json.dumps(change if change == [1] else {**known, **change}))
    with pytest.raises(SynthfaceError, match=match) as caught:
        load(checkpoint).sample(embedding_5D[:1], [0], num_inference_steps=2)
    assert caught.value.fix


def test_an_mlp_for_other_embeddings_is_refused(checkpoint):
    network = MlpConditioner(16, 520, hidden=8, layers=2)
    shutil.rmtree(checkpoint / "encoder")
    (checkpoint / "encoder").mkdir()
    (checkpoint / "encoder" / "config.json").write_text(json.dumps({"model_type": "mlp", **network.config}))
    save_file(network.state_dict(), checkpoint / "encoder" / "model.safetensors")
    refused(checkpoint, "embeddings of 16, and the checkpoint speaks of 512")


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (np.ones((2, 511)), r"\(2, 511\); this generator reads \(N, 512\)"),
        (np.ones((2, 3, 512)), r"\(2, 3, 512\)"),
        (np.zeros((2, 512)), "Row 0 is all zeros"),
        (np.full((1, 512), np.nan), "Row 0 holds NaN"),
    ],
)
def test_embeddings_of_another_kind_are_refused(generator, rows, match):
    with pytest.raises(SynthfaceError, match=match):
        generator.encode(rows)


def test_embeddings_are_normalised(generator, embedding_5D):
    assert torch.allclose(generator.encode(embedding_5D * 7), generator.encode(embedding_5D), atol=1e-5)


class TestCheckpointsInParts:
    def in_parts(self, checkpoint):
        from huggingface_hub import save_torch_state_dict

        state = read(checkpoint / UNET)
        (checkpoint / UNET).unlink()
        pattern = "diffusion_pytorch_model{suffix}.safetensors"
        save_torch_state_dict(state, (checkpoint / UNET).parent, filename_pattern=pattern, max_shard_size=100_000)
        return sorted((checkpoint / UNET).parent.glob("*-of-*.safetensors"))

    def test_they_draw_what_the_whole_file_draws(self, checkpoint, embedding_5D):
        whole = load(checkpoint)
        assert len(self.in_parts(checkpoint)) > 1
        assert same_pictures(whole, load(checkpoint), embedding_5D)

    def test_a_part_that_is_missing_is_named(self, checkpoint):
        part = self.in_parts(checkpoint)[0]
        part.unlink()
        refused(checkpoint, re.escape(part.name))

    def test_parts_that_are_not_the_index_s_are_refused(self, checkpoint):
        first, *_ = self.in_parts(checkpoint)
        state = read(first)
        write(first, dict(list(state.items())[1:]))
        refused(checkpoint, "do not hold the same tensors")

    def test_an_index_that_points_elsewhere_is_refused(self, checkpoint):
        self.in_parts(checkpoint)
        index = checkpoint / f"{UNET}.index.json"
        index.write_text(json.dumps({"weight_map": {"a.weight": "../../secret.safetensors"}}))
        refused(checkpoint, "which part holds which tensor")
