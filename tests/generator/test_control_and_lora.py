"""ControlNet against diffusers' own pipeline; low-rank updates in all three spellings against the arithmetic."""

from __future__ import annotations

import re

import diffusers
import numpy as np
import pytest
import torch
from generator_samples import pulled
from safetensors.torch import save_file

from synthface.errors import InputError, MissingWeightsError
from synthface.generator import Arc2Face, noise
from synthface.generator.control import control_by, control_tensor
from synthface.generator.load import load_unet
from synthface.generator.lora import lora_file, merge_lora
from synthface.generator.sampling import Guidance, denoise
from synthface.generator.schedule import make_scheduler


def picture(seed, side=64):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_control_equals_diffusers_own_pipeline(checkpoint, controlnet, embedding_5D, scale):
    ours = Arc2Face.from_pretrained(checkpoint, dtype="float32", device="cpu", controlnet=controlnet)
    control = np.stack([picture(0), picture(1)])
    init_BCHW = noise.initial_noise([1, 2], (4, 8, 8))
    with torch.inference_mode():
        prompt_BLE, empty_1LE = ours.encode(embedding_5D[:2]), ours.empty_prompt()
        found = denoise(
            ours.unet,
            make_scheduler("DPMSolverMultistepScheduler", ours.schedule, 4, "cpu"),
            init_BCHW,
            prompt_BLE,
            empty_1LE,
            Guidance(3.0),
            control=control_by(ours.controlnet, control_tensor(control, 2, 64), scale),
        )
    pipeline = diffusers.StableDiffusionControlNetPipeline(
        vae=ours.vae,
        text_encoder=None,
        tokenizer=None,
        unet=ours.unet,
        controlnet=ours.controlnet,
        scheduler=diffusers.DPMSolverMultistepScheduler.from_config(ours.schedule),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    wanted = pipeline(
        prompt_embeds=prompt_BLE,
        negative_prompt_embeds=empty_1LE.expand(2, -1, -1),
        image=torch.from_numpy(control).permute(0, 3, 1, 2).float() / 255,
        latents=init_BCHW,
        num_inference_steps=4,
        guidance_scale=3.0,
        controlnet_conditioning_scale=scale,
        output_type="latent",
    ).images
    assert torch.linalg.norm(found - wanted) / torch.linalg.norm(wanted) < 1e-5
    plain = ours.sample(embedding_5D[:2], [1, 2], num_inference_steps=2)
    steered = ours.sample(embedding_5D[:2], [1, 2], num_inference_steps=2, control=control, control_scale=scale)
    assert not np.array_equal(plain, steered)


def test_the_public_controlnet_is_found_by_its_name_and_an_absent_one_is_said(
    checkpoint, controlnet, embedding_5D, monkeypatch
):
    options = {"dtype": "float32", "device": "cpu"}
    pulled(monkeypatch, checkpoint.parent / "models", **{"arc2face-controlnet": controlnet})
    drawn = [
        Arc2Face.from_pretrained(checkpoint, controlnet=name, **options).sample(
            embedding_5D[:1], [1], num_inference_steps=2, control=picture(0)
        )
        for name in (controlnet, "arc2face-controlnet", "FoivosPar/Arc2Face")
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[0], drawn[2])
    for name in ("arc2face-controlnets", checkpoint / "nothing"):
        with pytest.raises(MissingWeightsError, match="There is no folder or file"):
            Arc2Face.from_pretrained(checkpoint, controlnet=name, **options)


def test_one_control_picture_serves_all(checkpoint, controlnet, embedding_5D):
    ours = Arc2Face.from_pretrained(checkpoint, dtype="float32", device="cpu", controlnet=controlnet)
    options = {"num_inference_steps": 2, "guidance_scale": 1.0}
    one = ours.sample(embedding_5D[:2], [1, 2], control=picture(0), **options)
    both = ours.sample(embedding_5D[:2], [1, 2], control=np.stack([picture(0)] * 2), **options)
    unit = ours.sample(embedding_5D[:2], [1, 2], control=picture(0) / 255, **options)
    assert np.array_equal(one, both)
    assert np.array_equal(one, unit)


@pytest.mark.parametrize(
    ("control", "match"),
    [
        (picture(0, 32), "(1, 32, 32, 3); (2, 64, 64, 3) is needed"),
        (np.stack([picture(0)] * 3), "(3, 64, 64, 3)"),
        (picture(0).astype(float), "leave the range 0 … 1"),
        (np.full((64, 64, 3), np.nan), "leave the range 0 … 1"),
    ],
)
def test_control_pictures_that_do_not_fit_are_refused(control, match):
    with pytest.raises(InputError, match=re.escape(match)):
        control_tensor(control, 2, 64)


# layers of the golden UNet: a matrix, a projection that is the first of a list, a convolution
LAYERS = {
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q": "matrix",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0": "matrix",
    "down_blocks.1.resnets.0.conv1": "convolution",
}


def matrices(unet, rank=2):
    """A (rank, in, …) and B (out, rank, …) for each layer."""
    torch.manual_seed(5)
    modules = dict(unet.named_modules())
    pairs = {}
    for name in LAYERS:
        out, into, *kernel = modules[name].weight.shape
        pairs[name] = torch.randn(rank, into, *kernel), torch.randn(out, rank, *[1 for _ in kernel])
    return pairs


def spelled(pairs, style, alpha):
    state = {}
    for name, (down, up) in pairs.items():
        if style == "kohya":
            name = "lora_unet_" + name.replace(".", "_")
            state |= {
                f"{name}.lora_down.weight": down,
                f"{name}.lora_up.weight": up,
                f"{name}.alpha": torch.tensor(alpha),
            }
        elif style == "peft":
            state |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
        else:
            name = name.removesuffix(".0") if name.endswith("to_out.0") else name
            state |= {f"unet.{name}.lora.down.weight": down, f"unet.{name}.lora.up.weight": up}
    return {key: value.contiguous() for key, value in state.items()}


def fresh_unet(checkpoint):
    return load_unet(checkpoint / "arc2face", torch.float32)


@pytest.mark.parametrize(("style", "alpha"), [("kohya", 2.0), ("kohya", 1.0), ("peft", 2.0), ("diffusers", 2.0)])
def test_an_update_is_merged_as_the_formula_says(checkpoint, tmp_path, style, alpha):
    unet, before = fresh_unet(checkpoint), fresh_unet(checkpoint).state_dict()
    pairs = matrices(unet)
    save_file(spelled(pairs, style, alpha), tmp_path / "pytorch_lora_weights.safetensors")
    assert merge_lora(unet, lora_file(tmp_path), scale=0.5) == len(LAYERS)
    for key, value in unet.state_dict().items():
        name = key.removesuffix(".weight")
        if name not in LAYERS or not key.endswith(".weight"):
            assert torch.equal(value, before[key]), key
            continue
        down, up = pairs[name]
        if LAYERS[name] == "matrix":
            update = up @ down
        else:
            update = torch.einsum("orxy,rikl->oikl", up, down)
        assert torch.allclose(value, before[key] + 0.5 * alpha / 2 * update, atol=1e-5), key


def test_lcm_with_its_lora_draws_four_steps_without_guidance(checkpoint, tmp_path, embedding_5D):
    save_file(spelled(matrices(fresh_unet(checkpoint)), "kohya", 1.0), tmp_path / "pytorch_lora_weights.safetensors")
    ours = Arc2Face.from_pretrained(checkpoint, dtype="float32", device="cpu", lora=tmp_path, lora_scale=0.1)
    options = {"scheduler": "LCMScheduler", "num_inference_steps": 4, "guidance_scale": 1.0}
    pictures = ours.sample(embedding_5D[:2], [1, 2], **options)
    plain = Arc2Face.from_pretrained(checkpoint, dtype="float32", device="cpu")
    assert pictures.shape == (2, 64, 64, 3)
    assert not np.array_equal(pictures, plain.sample(embedding_5D[:2], [1, 2], **options))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: {k: v for k, v in s.items() if "up" not in k or "conv1" not in k}, "half a LoRA"),
        (lambda s: {**s, "lora_unet_nowhere.lora_down.weight": torch.zeros(2, 4)}, "the layer nowhere"),
        (lambda s: {**s, "text_encoder.bias": torch.zeros(2)}, "belongs to no LoRA of a UNet"),
        (lambda s: {k: v[..., :3] if "attn2_to_q.lora_down" in k else v for k, v in s.items()}, "is (16, 3)"),
        (lambda s: {k: v[:, :1] if "attn2_to_q.lora_up" in k else v for k, v in s.items()}, "do not fit together"),
        (lambda s: {k: v[0] if "attn2_to_q.lora_up" in k else v for k, v in s.items()}, "do not fit together"),
        (lambda s: {k: v[:0] if "attn2_to_q.lora_down" in k else v for k, v in s.items()}, "do not fit together"),
        (lambda s: {k: torch.ones(2) if k.endswith("alpha") else v for k, v in s.items()}, "in place of one number"),
        (lambda s: {}, "holds no LoRA"),
    ],
)
def test_an_update_that_does_not_fit_is_refused(checkpoint, tmp_path, change, match):
    unet = fresh_unet(checkpoint)
    state = change(spelled(matrices(unet), "kohya", 1.0))
    path = tmp_path / "lora.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    with pytest.raises(InputError, match=re.escape(match)) as caught:
        merge_lora(unet, path)
    assert caught.value.fix
