"""Arc2Face at full size against its official usage, on random weights: a StableDiffusionPipeline called once an identity.

The checkpoint has the shape of the published one (UNet of 860M, CLIP-L, Stable Diffusion's autoencoder, 512 pixels) and
random weights, which cost the same to compute. Both sides run the same steps and guidance; the time of 25 steps is
extrapolated from two short runs of each side: it is linear in the steps. The peer computes in its default precision on
the device: float32 on a CPU, float16 on a GPU, as the official instructions say. What the paper's two sets would take is
reckoned from each side's time of a picture: drawing alone, without the pictures that a gate refuses.

    python benchmarks/arc2face_peer.py --keep
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from synthface.generator import Arc2Face
from synthface.generator.conditioning import ClipConditioner
from synthface.generator.device import cpu_has_bfloat16
from synthface.generator.training import networks, vocabulary
from synthface.generator.training.export import export

STEPS, GUIDANCE = 25, 3.0
SHORT, LONG = 1, 3  # steps of the two timed runs
SETS = {"0.5M": 500_000, "1.2M": 1_200_000}  # pictures (Arc2Face, section 4.2)


def full_size_checkpoint(folder: Path) -> Path:
    """Random weights in the shape of Arc2Face and Stable Diffusion 1.5, float16 on the disk as published."""
    if (folder / "model" / "synthface.json").exists():
        return folder / "model"
    unet, vae, text = (filled(network) for network in shapes())
    vocabulary.write_tokenizer(folder / "tokenizer")
    conditioner = ClipConditioner(text, [320, 1125, 539, 320, 1014, 2533, *[49407] * 71], [49406, *[49407] * 76], 1014)
    export(
        folder / "model",
        unet=unet,
        conditioner=conditioner,
        vae=vae,
        schedule=networks.SCHEDULE,
        tokenizer=folder / "tokenizer",
        facts={"dimension": 512},
        dtype=torch.float16,
    )
    return folder / "model"


def shapes() -> tuple[Any, Any, Any]:
    """UNet, autoencoder and text encoder on the meta device, where nothing is allocated or computed."""
    import diffusers
    import transformers

    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        vae = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            sample_size=512,
        )
        text = transformers.CLIPTextModel(transformers.CLIPTextConfig(hidden_size=768, num_attention_heads=12))
    return unet.eval(), vae.eval(), text.eval()


@torch.no_grad()
def teraflops(side: int) -> float:
    """Arithmetic of a picture of 25 guided steps, counted by PyTorch; that of the text encoder, once an identity, apart."""
    unet, vae, _ = shapes()
    with torch.device("meta"):
        latent_NCHW, prompt_NLE = torch.zeros(1, 4, side // 8, side // 8), torch.zeros(1, 77, 768)
        with FlopCounterMode(display=False) as step:
            unet(latent_NCHW, torch.tensor(1), prompt_NLE)
        with FlopCounterMode(display=False) as decoding:
            vae.decode(latent_NCHW)
    return float(2 * STEPS * step.get_total_flops() + decoding.get_total_flops()) / 1e12


@torch.no_grad()
def filled(network: Any) -> Any:
    """Float16 weights for a network on the meta device, as wide as fresh ones: a million normal numbers, again and again."""
    network = network.half().to_empty(device="cpu")
    block = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    for key, parameter in network.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(float(key.endswith("weight")))  # of norms; biases are 0
            continue
        scaled, flat = (block * (3 * parameter[0].numel()) ** -0.5).half(), parameter.view(-1)
        for part in flat.split(len(scaled)):
            part.copy_(scaled[: len(part)])
    return network


def official(model: Path, device: str, prompt_NLE: torch.Tensor, steps: int, side: int) -> Callable[[], Any]:
    """The official way: one call of diffusers' pipeline for each identity."""
    import diffusers

    dtype = torch.float16 if device != "cpu" else torch.float32
    pipeline = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL.from_pretrained(model / "vae", torch_dtype=dtype),
        text_encoder=None,
        tokenizer=None,
        unet=diffusers.UNet2DConditionModel.from_pretrained(model / "arc2face", torch_dtype=dtype),
        scheduler=diffusers.DPMSolverMultistepScheduler.from_config(networks.SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    prompt_NLE = prompt_NLE.to(device, dtype)

    def draw() -> None:
        for prompt_LE in prompt_NLE:
            pipeline(
                prompt_embeds=prompt_LE[None],
                negative_prompt_embeds=torch.zeros_like(prompt_LE[None]),
                num_inference_steps=draw.steps,
                guidance_scale=GUIDANCE,
                height=side,
                width=side,
            )

    draw.steps = steps
    return draw


def timed(draw: Callable[[], Any], device: str) -> float:
    start = time.perf_counter()
    draw()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def both_lengths(draw: Any, pictures: int, device: str, repeat: int) -> dict[str, float]:
    """Seconds a picture at both lengths after a run that is not timed, and what 25 steps take by them."""
    draw.steps, seconds = SHORT, {}
    draw()
    for steps in (SHORT, LONG):
        draw.steps = steps
        seconds[steps] = min(timed(draw, device) for _ in range(repeat)) / pictures
    step = (seconds[LONG] - seconds[SHORT]) / (LONG - SHORT)
    return {
        f"seconds_of_{SHORT}_step": round(seconds[SHORT], 3),
        f"seconds_of_{LONG}_steps": round(seconds[LONG], 3),
        "seconds_a_step": round(step, 3),
        f"seconds_of_{STEPS}_steps": round(seconds[LONG] + (STEPS - LONG) * step, 3),
    }


def hours(seconds: float, device: str) -> dict[str, dict[str, float]]:
    """GPU-hours of the sets at so many seconds a picture; on a CPU the hours of its cores."""
    name, workers = ("core_hours", torch.get_num_threads()) if device == "cpu" else ("gpu_hours", 1)
    return {name: {key: round(images * seconds * workers / 3_600, 1) for key, images in SETS.items()}}


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--identities", type=int, default=2, help="pictures, one an identity, in ours one batch")
    parser.add_argument("--peers-identities", type=int, default=1, help="timed of the peer: each is a call of its own")
    parser.add_argument("--checkpoint", type=Path, help="keep the random checkpoint here, or take it from here")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    device, count = chosen.device, chosen.identities
    folder = Path(tempfile.mkdtemp(prefix="arc2face-"))
    try:
        model = full_size_checkpoint(chosen.checkpoint or folder)
        prompt_NLE = torch.randn(chosen.peers_identities, 77, 768, generator=torch.Generator().manual_seed(1))
        peer = official(model, device, prompt_NLE, SHORT, chosen.side)
        peer_times = both_lengths(peer, chosen.peers_identities, device, chosen.repeat)
        del peer
        gc.collect()
        generator = Arc2Face.from_pretrained(model, device=device)
        generator.unet.register_to_config(sample_size=chosen.side // 8)
        embedding_ND = np.random.default_rng(0).standard_normal((count, 512)).astype(np.float32)

        def ours() -> None:
            generator.sample(embedding_ND, range(count), num_inference_steps=ours.steps, guidance_scale=GUIDANCE)

        our_times = both_lengths(ours, count, device, chosen.repeat)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    key = f"seconds_of_{STEPS}_steps"
    measure.report(
        "arc2face_peer" if device == "cpu" else "arc2face_peer_gpu",
        {
            "device": device if device == "cpu" else torch.cuda.get_device_name(),
            "cpu": {"capability": torch.backends.cpu.get_cpu_capability(), "bfloat16": cpu_has_bfloat16()},
            "pixels": chosen.side,
            "guidance": GUIDANCE,
            "identities": count,
            "peer": {
                "what": "StableDiffusionPipeline, once an identity",
                "dtype": "float32" if device == "cpu" else "float16",
                "identities": chosen.peers_identities,
                **peer_times,
                **hours(peer_times[key], device),
            },
            "ours": {
                "what": "Arc2Face.sample, one batch",
                "dtype": str(generator.dtype),
                "channels_last": generator.channels_last,
                **our_times,
                **hours(our_times[key], device),
            },
            f"teraflops_of_{STEPS}_steps": round(teraflops(chosen.side), 2),
            "ratio": round(peer_times[key] / our_times[key], 2),
            "ratio_of_a_step": round(peer_times["seconds_a_step"] / our_times["seconds_a_step"], 2),
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
