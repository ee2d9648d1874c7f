"""Going on from Stable Diffusion or Arc2Face, on one process and on two, through the command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_samples import mean_difference, patterns, pulled, tensors, write_people

from synthface.errors import InputError, UsageError
from synthface.generator import Arc2Face
from synthface.generator.training.finetune import load_start
from synthface.generator.training.restore import OnnxRestorer


@pytest.fixture(scope="module")
def pairs512(tmp_path_factory):
    """Four people in 64 pixels, and a random 512-d direction for each."""
    place = tmp_path_factory.mktemp("pairs")
    write_people(place / "faces", patterns(4, 64))
    rows = np.random.default_rng(0).standard_normal((4, 512)).astype(np.float32)
    np.savez(place / "faces.npz", embeddings=rows, labels=np.arange(4))
    return place


def arguments(place: Path, out: Path, start: Path | str, *more: str) -> list[str]:
    settings = {
        "mode": "finetune",
        "start_from": start,
        "resolution": 64,
        "batch_size": 2,
        "steps": 2,
        "warmup_steps": 0,
        "learning_rate": 1e-4,
        "log_every": 1,
        "sample_every": 0,
        "precision": "no",
        "device": "cpu",
    }
    command = ["train-generator", "--data", place / "faces", "--embeddings", place / "faces.npz", "--out", out]
    sets = [part for key, value in settings.items() for part in ("--set", f"train_generator.{key}={value}")]
    return [str(part) for part in [*command, *sets, *more, "--json"]]


@pytest.mark.parametrize("cached", ["true", "false"])
def test_damaged_pictures_are_counted(synthface, pairs512, checkpoint, tmp_path, cached):
    shutil.copytree(pairs512 / "faces", tmp_path / "faces")
    shutil.copy(pairs512 / "faces.npz", tmp_path)
    next((tmp_path / "faces").glob("*/*.png")).write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    more = ("train_generator.max_corrupt=0.5", f"train_generator.cache_latents={cached}", "train_generator.steps=4")
    done = synthface(
        *arguments(tmp_path, tmp_path / "own", checkpoint, *(part for value in more for part in ("--set", value)))
    )
    assert done.code == 0, done.err
    assert done.json["damaged"] == 1


def test_stable_diffusion_becomes_an_arc2face(synthface, pairs512, stable_diffusion, tmp_path, generator):
    done = synthface(*arguments(pairs512, tmp_path / "own", stable_diffusion))
    assert done.code == 0, done.err
    assert done.json["steps"] == 2
    own = Arc2Face.from_pretrained(tmp_path / "own", device="cpu", dtype="float32")
    assert (own.dimension, own.image_size) == (512, 64)
    before = generator.unet.state_dict()
    changed = [key for key, value in own.unet.state_dict().items() if not torch.equal(value, before[key])]
    assert len(changed) > 0.9 * len(before), "the whole UNet learns"
    assert max(float((own.unet.state_dict()[key] - before[key]).abs().max()) for key in before) < 1e-3
    text = own.conditioner.text_encoder.state_dict()
    moved = [k for k, v in generator.conditioner.text_encoder.state_dict().items() if not torch.equal(v, text[k])]
    assert len(moved) > 10, "and so does the text encoder"
    frozen = generator.vae.state_dict()
    assert all(torch.equal(value, frozen[key]) for key, value in own.vae.state_dict().items())
    assert own.schedule == generator.schedule
    assert own.sample(np.eye(512)[:1], [1], num_inference_steps=2).shape == (1, 64, 64, 3)


@pytest.mark.parametrize(
    ("device", "code", "words"),
    [
        ("gpu", 2, "There is no device 'gpu'. Choose auto, cpu, cuda or cuda:N."),
        ("cuda:1", 1, "The device cuda:1 was asked for and CUDA is not available here."),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(
    synthface, pairs512, stable_diffusion, tmp_path, monkeypatch, device, code, words
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = synthface(*arguments(pairs512, tmp_path / "own", stable_diffusion, "--device", device))
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert "Traceback" not in done.err


def test_an_arc2face_goes_on_without_a_cache_to_the_same_weights(synthface, pairs512, checkpoint, tmp_path):
    with_cache = synthface(*arguments(pairs512, tmp_path / "cached", checkpoint))
    more = ("--set", "train_generator.cache_latents=false", "--set", "train_generator.gradient_checkpointing=true")
    without = synthface(*arguments(pairs512, tmp_path / "encoded", checkpoint, *more))
    assert with_cache.code == without.code == 0, with_cache.err + without.err
    assert not (tmp_path / "encoded-training" / "cache" / "latents.npy").exists()
    # the cache holds latents in half precision: that much may differ, of steps of 1e-4
    assert mean_difference(tensors(tmp_path / "cached"), tensors(tmp_path / "encoded")) < 0.1 * 1e-4


def test_two_processes_learn_what_one_with_twice_the_batch_learns(synthface, pairs512, checkpoint, tmp_path):
    one = synthface(*arguments(pairs512, tmp_path / "one", checkpoint, "--batch-size", "4"))
    assert one.code == 0, one.err
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    run = subprocess.run(
        [
            *launcher,
            "--no-python",
            sys.executable,
            "-m",
            "synthface",
            *arguments(pairs512, tmp_path / "two", checkpoint),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=280,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert '"processes": 2' in run.stdout
    assert run.stdout.count('"generator"') == 1, "one process speaks"
    assert mean_difference(tensors(tmp_path / "one"), tensors(tmp_path / "two")) < 0.01 * 1e-4


class TestStart:
    @pytest.mark.parametrize("name", ["sd15", "stable-diffusion-v1-5/stable-diffusion-v1-5", "arc2face"])
    def test_public_weights_with_the_parts_that_they_lack(self, stable_diffusion, checkpoint, monkeypatch, name):
        wanted = load_start(str(stable_diffusion), 64, 512)
        shutil.rmtree(checkpoint / "base")
        folders = {"arc2face": checkpoint, "sd15": stable_diffusion, "sd15-base": stable_diffusion.with_name("base")}
        shutil.copytree(stable_diffusion, folders["sd15-base"])
        for part in ("vae", "tokenizer", "scheduler"):
            shutil.rmtree(stable_diffusion / part)
        pulled(monkeypatch, checkpoint.parent / "models", **folders)
        found = load_start(name, 64, 512)
        for part in ("unet", "conditioner", "vae"):
            state = getattr(found, part).state_dict()
            for key, value in getattr(wanted, part).state_dict().items():
                assert torch.equal(state[key], value)
        assert found.schedule == wanted.schedule
        assert found.tokenizer == checkpoint.parent / "models" / "sd15-base" / "tokenizer"

    def test_none(self):
        with pytest.raises(UsageError, match="needs networks to start from"):
            load_start(None, 64, 512)

    @pytest.mark.parametrize("part", ["unet", "text_encoder", "vae", "tokenizer", "scheduler"])
    def test_half_a_checkpoint(self, stable_diffusion, part):
        shutil.rmtree(stable_diffusion / part)
        with pytest.raises(InputError, match=re.escape(f"no folder {part}/")):
            load_start(str(stable_diffusion), 64, 512)

    def test_embeddings_that_do_not_fit(self, checkpoint):
        with pytest.raises(InputError, match="Embeddings of 600 do not fit"):
            load_start(str(checkpoint), 64, 600)

    def test_a_resolution_that_does_not_divide(self, checkpoint):
        with pytest.raises(UsageError, match="63 is no multiple of 8"):
            load_start(str(checkpoint), 63, 512)


class TestRestoration:
    """The preparation of section 3.3: crops enlarged by a network of GFPGAN's interface."""

    @pytest.fixture
    def network(self, tmp_path):
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        nodes = [helper.make_node("Mul", ["input", "minus"], ["output"])]  # the negative, to be seen
        graph = helper.make_graph(
            nodes,
            "negative",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 64, 64])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 3, 64, 64])],
            [numpy_helper.from_array(np.array(-1, np.float32), "minus")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        onnx.save(model, str(tmp_path / "negative.onnx"))
        return tmp_path / "negative.onnx"

    def test_small_pictures_go_through_it_and_large_ones_do_not(self, network):
        import cv2

        from synthface.generator.training.pictures import PictureReader

        small, large = patterns(1, 32)[0], patterns(1, 64)[0]
        payloads = [cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in (small, large)]
        read_BHWC, good_B = PictureReader(64, 1, OnnxRestorer(network)).read(payloads)
        assert good_B.all()
        assert np.array_equal(read_BHWC[1], large)
        enlarged = cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)
        assert np.abs(read_BHWC[0].astype(int) - (255 - enlarged.astype(int))).max() <= 1

    def test_it_decides_the_training(self, synthface, checkpoint, network, tmp_path):
        write_people(tmp_path / "faces", patterns(4, 32))
        rows = np.random.default_rng(0).standard_normal((4, 512)).astype(np.float32)
        np.savez(tmp_path / "faces.npz", embeddings=rows, labels=np.arange(4))
        latents = {}
        for name, more in (("plain", ()), ("restored", ("--set", f"train_generator.upscaler={network}"))):
            done = synthface(*arguments(tmp_path, tmp_path / name, checkpoint, *more))
            assert done.code == 0, done.err
            latents[name] = np.load(tmp_path / f"{name}-training" / "cache" / "latents.npy").astype(np.float32)
        apart = np.abs(latents["plain"] - latents["restored"])[:, :, 0].mean((1, 2, 3, 4))
        assert (apart > 1e-2).all(), "every picture went through the network"

    def test_what_is_no_such_network_is_refused(self, world, tmp_path):
        with pytest.raises(InputError, match="There is no restoration network"):
            OnnxRestorer(tmp_path / "nothing.onnx")
        (tmp_path / "bad.onnx").write_bytes(b"nothing")
        with pytest.raises(InputError, match="no ONNX network that can be read"):
            OnnxRestorer(tmp_path / "bad.onnx")
        restorer = OnnxRestorer(world / "encoder.onnx")  # pictures in, a vector out
        with pytest.raises(InputError, match="answers with shape"):
            restorer([patterns(1, 32)[0]])
