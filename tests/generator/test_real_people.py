"""Real things: the full CLIP tokenizer, and eight people learned by heart and recognised by a real network."""

from __future__ import annotations

import json

import numpy as np
import pytest
from generator_samples import GOLDEN

from synthface.generator import Arc2Face
from synthface.generator.conditioning import token_ids

pytestmark = pytest.mark.real


def test_the_full_tokenizer_gives_the_official_ids(real_data):
    wanted = json.loads((GOLDEN / "clip_token_ids.json").read_text())
    prompt, empty, id_token = token_ids(real_data / "clip_tokenizer", 77)
    assert prompt == wanted["prompt_ids"]
    assert empty == wanted["empty_prompt_ids"]
    assert id_token == wanted["id_token_id"] == 1014


@pytest.mark.slow
def test_eight_real_people_are_told_apart_by_a_real_recogniser_in_the_samples(synthface, real_data, tmp_path):
    """Some minutes: eight photographs, aligned, learned at 112 pixels."""
    import cv2

    from synthface.encoder import open_encoder
    from synthface.generator.portrait import Studio
    from synthface.identity import sphere
    from synthface.recipe import build

    models = real_data / "models" / "mini"
    eye = {"encoder.model": str(models / "mobilefacenet_112.onnx"), "encoder.dimension": 128}
    studio = Studio(build({}, {**eye, "encoder.detector": str(models / "scrfd_2.5g_kps.onnx")}), "cpu")
    for person, subject in enumerate(studio.subjects(sorted((real_data / "tight").glob("*.jpg")))):
        (tmp_path / "faces" / f"{person}").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "faces" / f"{person}" / "0.png"), subject.crop_HWC[..., ::-1])
    encoder = ("--encoder", models / "mobilefacenet_112.onnx", "--aligned")
    assert synthface("embed", tmp_path / "faces", *encoder, "--out", tmp_path / "faces.npz").code == 0
    settings = {
        "mode": "scratch",
        "resolution": 112,
        "mirror": "false",
        "prediction": "v_prediction",
        "unet": "{channels: [64, 96], attention: [false, true]}",
        "text": "{layers: 1}",
        "vae": "{channels: [16, 16, 32, 64], latent_channels: 8, steps: 400, batch_size: 8, learning_rate: 2.0e-3, "
        "ema_decay: 0.95}",
        "learning_rate": 1e-3,
        "warmup_steps": 50,
        "batch_size": 16,
        "steps": 1500,
        "ema_decay": 0.99,
        "sample_every": 0,
        "device": "cpu",
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"train_generator.{key}={value}")]
    command = ("train-generator", "--data", tmp_path / "faces", "--embeddings", tmp_path / "faces.npz")
    done = synthface(*command, "--out", tmp_path / "generator", *sets, "--json")
    assert done.code == 0, done.err
    with np.load(tmp_path / "faces.npz") as file:
        unit_PD = sphere.normalize(file["embeddings"])
    drawn = Arc2Face.from_pretrained(tmp_path / "generator", device="cpu").sample(
        np.repeat(unit_PD, 4, 0), range(32), num_inference_steps=15, guidance_scale=1.5
    )
    found = sphere.normalize(open_encoder(models / "mobilefacenet_112.onnx", device="cpu").embed(drawn))
    similarity_NP = found @ unit_PD.T
    own_N = np.repeat(np.arange(8), 4)
    assert (similarity_NP.argmax(1) == own_N).all()
    assert similarity_NP[np.arange(32), own_N].mean() > 0.6
