"""Numbers of the official code (tests/golden/arc2face/README.md), reproduced in float32 to its own rounding noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from generator_samples import GOLDEN

from synthface.generator import Arc2Face
from synthface.generator.conditioning import token_ids
from synthface.generator.decode import decode
from synthface.generator.sampling import Guidance, denoise
from synthface.generator.schedule import make_scheduler

HALF = {"bfloat16": (3e-2, 1e-2, 1.0), "float16": (3e-3, 1e-3, 0.1)}  # latents, pictures, mean grey levels of 255
ARRAYS = 5e-6  # relative L2: prompts and pictures
LATENTS = 1e-5  # relative L2: UNet output and latents


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN / "expected.npz") as file:
        return dict(file)


def relative(found, wanted) -> float:
    found, wanted = (np.asarray(array, dtype=np.float64) for array in (found, wanted))
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@torch.inference_mode()
def latents(generator, expected, name, steps, scale, generators=None):
    return denoise(
        generator.unet,
        make_scheduler(name, generator.schedule, steps, "cpu"),
        torch.from_numpy(expected["init_latents"]),
        generator.encode(expected["embeddings"]),
        generator.empty_prompt(),
        Guidance(scale),
        generators,
    )


def test_the_tokenizer_splits_the_prompts_as_the_official_one(expected):
    prompt, empty, id_token = token_ids(GOLDEN / "checkpoint" / "base" / "tokenizer", 77)
    ids = json.loads((GOLDEN / "clip_token_ids.json").read_text())["reduced_tokenizer_in_checkpoint"]
    assert [prompt, empty] == expected["input_ids"].tolist() == [ids["prompt_ids"], ids["empty_prompt_ids"]]
    assert id_token == ids["id_token_id"]


def test_prompts_of_five_embeddings_at_once_equal_the_official_ones_called_one_by_one(generator, expected):
    assert relative(generator.encode(expected["embeddings"]), expected["prompt_embeds"]) < ARRAYS


def test_the_empty_prompt_goes_through_the_same_encoder(generator, expected):
    assert relative(generator.empty_prompt(), expected["uncond_embeds"]) < ARRAYS


def test_one_call_of_the_unet(generator, expected):
    with torch.inference_mode():
        found = generator.unet(
            torch.from_numpy(expected["unet_in"]),
            torch.from_numpy(expected["unet_t"]),
            encoder_hidden_states=torch.from_numpy(expected["unet_ctx"]),
        ).sample
    assert relative(found, expected["unet_out"]) < LATENTS


@pytest.mark.parametrize("steps", [5, 25])
def test_timesteps_and_noise_levels_of_dpm_solver(generator, expected, steps):
    scheduler = make_scheduler("DPMSolverMultistepScheduler", generator.schedule, steps, "cpu")
    assert scheduler.timesteps.tolist() == expected[f"timesteps_dpm{steps}"].tolist()
    assert relative(scheduler.sigmas, expected[f"sigmas_dpm{steps}"]) < 1e-6


@pytest.mark.parametrize(("steps", "scale"), [(25, 3), (5, 3), (25, 1)])
def test_latents_of_dpm_solver(generator, expected, steps, scale):
    found = latents(generator, expected, "DPMSolverMultistepScheduler", steps, float(scale))
    assert relative(found, expected[f"latents_dpm{steps}_cfg{scale}"]) < LATENTS


def test_guidance_in_two_calls_gives_the_same_latents(generator, expected):
    with torch.inference_mode():
        found = denoise(
            generator.unet,
            make_scheduler("DPMSolverMultistepScheduler", generator.schedule, 5, "cpu"),
            torch.from_numpy(expected["init_latents"]),
            generator.encode(expected["embeddings"]),
            generator.empty_prompt(),
            Guidance(3.0, batched=False),
        )
    assert relative(found, expected["latents_dpm5_cfg3"]) < LATENTS


def test_plain_attention_gives_the_same_latents(expected):
    plain = Arc2Face.from_pretrained(GOLDEN / "checkpoint", dtype="float32", device="cpu", fused_attention=False)
    assert {type(attention).__name__ for attention in plain.unet.attn_processors.values()} == {"AttnProcessor"}
    found = latents(plain, expected, "DPMSolverMultistepScheduler", 5, 3.0)
    assert relative(found, expected["latents_dpm5_cfg3"]) < LATENTS


def test_pictures(generator, expected):
    with torch.inference_mode():
        found = decode(generator.vae, torch.from_numpy(expected["latents_dpm25_cfg3"])).permute(0, 2, 3, 1)
        whole = decode(generator.vae, latents(generator, expected, "DPMSolverMultistepScheduler", 25, 3.0))
    assert relative(found, expected["images_dpm25_cfg3"]) < ARRAYS
    assert relative(whole.permute(0, 2, 3, 1), expected["images_dpm25_cfg3"]) < ARRAYS


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_keeps_to_its_tolerance(expected, dtype):
    half = Arc2Face.from_pretrained(GOLDEN / "checkpoint", dtype=dtype, device="cpu")
    found = latents(half, expected, "DPMSolverMultistepScheduler", 25, 3.0)
    with torch.inference_mode():
        pictures = decode(half.vae, found).float().permute(0, 2, 3, 1).numpy()
    of_latents, of_pictures, grey_levels = HALF[dtype]
    assert relative(found, expected["latents_dpm25_cfg3"]) < of_latents
    assert relative(pictures, expected["images_dpm25_cfg3"]) < of_pictures
    assert 255 * np.abs(pictures - expected["images_dpm25_cfg3"]).mean() < grey_levels


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_compiled_unet_gives_the_same_latents(expected):
    compiled = Arc2Face.from_pretrained(GOLDEN / "checkpoint", dtype="float32", device="cpu", compile=True)
    found = latents(compiled, expected, "DPMSolverMultistepScheduler", 5, 3.0)
    assert hasattr(compiled.unet, "_orig_mod"), "torch.compile was at work"
    assert relative(found, expected["latents_dpm5_cfg3"]) < LATENTS
    drawn = compiled.sample(expected["embeddings"], range(5), num_inference_steps=2)
    assert drawn.shape == (5, 64, 64, 3)


def test_latents_of_lcm_with_the_official_order_of_noise(generator, expected):
    seeded = torch.Generator("cpu").manual_seed(int(expected["lcm_seed"]))
    drawn = torch.stack([torch.randn(expected["init_latents"].shape, generator=seeded) for _ in range(3)])
    assert np.array_equal(drawn, expected["lcm_noise"]), "PyTorch's generator draws what it drew for the official code"
    seeded.manual_seed(int(expected["lcm_seed"]))
    scheduler = make_scheduler("LCMScheduler", generator.schedule, 4, "cpu")
    assert scheduler.timesteps.tolist() == expected["timesteps_lcm4"].tolist()
    assert relative(latents(generator, expected, "LCMScheduler", 4, 1.0, seeded), expected["latents_lcm4"]) < LATENTS


def test_schedulers_are_configured_as_the_official_code_configures_them(generator):
    wanted = json.loads((GOLDEN / "scheduler_configs.json").read_text())
    for name, steps in (("DPMSolverMultistepScheduler_25", 25), ("LCMScheduler", 4)):
        config = make_scheduler(name.split("_")[0], generator.schedule, steps, "cpu").config
        for key in ("timestep_spacing", "steps_offset", "solver_order", "algorithm_type", "set_alpha_to_one"):
            assert config.get(key) == wanted[name].get(key), (name, key)
