"""Every lever of the generator: what it gains, and what it does to the pictures.

Without `--model` the networks are those of Arc2Face and Stable Diffusion 1.5 in shape, with random weights: the times are
real, the effects those of arithmetic alone. The tiny autoencoder and the LoRA of LCM are random as well, in the published
shapes, so that what they cost is real and what they draw is nothing; the LoRA is merged as a user's is. With a trained
generator, an encoder and a prior to draw people from, the effects mean something: difference of the pictures, similarity to
the embedding that was asked for.

A step and a decoding are timed apart; a picture of the lever's own number of steps takes steps × step + decoding.
The reference is float32, one picture at once, guidance at every step. The levers are timed in turns, all of them in every
round, and the gain is the median over the rounds of the reference's time in that round through the lever's: a machine that
wavers does so for all of them.

    python benchmarks/arc2face_levers.py --keep
    python benchmarks/arc2face_levers.py --model synthface/embedded/generator --encoder embedded --prior embedded \\
        --batches 1 12 --compile --keep
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch
from arc2face_peer import full_size_checkpoint
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from synthface import files, recipe
from synthface.generator import Arc2Face
from synthface.generator.decode import decode, to_uint8
from synthface.generator.device import cpu_has_bfloat16
from synthface.generator.load import load_unet
from synthface.generator.noise import initial_noise, step_generators
from synthface.generator.sampling import Guidance, denoise
from synthface.generator.schedule import make_scheduler
from synthface.identity import prior, priors, sphere
from synthface.identity.density import CandidateStream

STEPS, GUIDANCE, PEAK_SIZE, LORA_RANK = 25, 3.0, 4096, 64


@dataclass(frozen=True)
class Lever:
    """Options of loading and of sampling, and the steps of a picture by it."""

    name: str
    load: dict[str, Any] = field(default_factory=dict)
    guidance: Guidance = field(default_factory=lambda: Guidance(GUIDANCE))
    scheduler: str = "DPMSolverMultistepScheduler"
    steps: int = STEPS
    at_once: int = 0
    tiny: bool = False
    lora: bool = False


def levers(gpu: bool, compiled: bool) -> list[Lever]:
    half = {"dtype": "bfloat16"}
    both = {**half, "channels_last": True}
    quick: dict[str, Any] = both if gpu else ({"dtype": "auto"})
    chosen = [
        Lever("float32", {"dtype": "float32", "channels_last": False}),
        Lever("channels last", {"dtype": "float32", "channels_last": True}),
        Lever("bfloat16", {**half, "channels_last": False}),
        Lever("bfloat16, channels last", both),
        *([Lever("float16, channels last", {"dtype": "float16", "channels_last": True})] if gpu else []),
        Lever("plain attention", {**quick, "fused_attention": False}),
        Lever("guidance in two calls", quick, Guidance(GUIDANCE, batched=False)),
        Lever("guidance in the noisier half", quick, Guidance(GUIDANCE, (0.5, 1.0))),
        Lever("no guidance", quick, Guidance(1.0)),
        Lever("decoded one by one", quick, at_once=1),
        Lever("tiny autoencoder", quick, tiny=True),
        Lever("LCM, 4 steps", quick, Guidance(1.0), "LCMScheduler", 4, lora=True),
    ]
    return [*chosen, Lever("torch.compile", {**quick, "compile": True})] if compiled else chosen


def seconds(function: Callable[[], Any], gpu: bool, repeat: int) -> float:
    """The best of `repeat` runs after one that is not timed."""
    best = float("inf")
    for run in range(repeat + 1):
        start = time.perf_counter()
        function()
        if gpu:
            torch.cuda.synchronize()
        if run:
            best = min(best, time.perf_counter() - start)
    return best


class Bench:
    """One model under all levers, at several batch sizes."""

    def __init__(
        self, model: Path, device: str, side: int | None, runs: int, timed_steps: int, whole_steps: int, stay_open: int
    ) -> None:
        """whole_steps: of the pictures by which the effects are judged, where a lever has no fewer of its own.

        stay_open: generators that stay loaded from round to round.
        """
        self.model, self.device, self.runs, self.timed_steps = model, device, runs, timed_steps
        self.gpu, self.latent_side = device != "cpu", None if side is None else side // 8
        self.whole_steps, self.stay_open = whole_steps, stay_open
        self.reference: dict[str, Any] = {}
        self._opened: dict[str, Any] = {}

    def rows(
        self, levers: list[Lever], batches: list[int], condition_ND: NDArray[np.float32], encoder: Any, rounds: int
    ) -> list[dict[str, Any]]:
        """Every lever at every batch size. Effects are judged once, on all conditions."""
        effects: dict[str, dict[str, Any]] = {}
        turns: dict[tuple[str, int], list[tuple[float, float]]] = {}
        facts: dict[str, dict[str, Any]] = {}
        for _ in range(rounds):
            for lever in levers:
                generator = self._open(lever)
                if lever.name not in effects:
                    effects[lever.name] = self._effect(generator, lever, condition_ND, encoder)
                    facts[lever.name] = {
                        "dtype": str(generator.dtype).removeprefix("torch."),
                        "channels_last": generator.channels_last,
                        "gigaflops": self._flops(generator) * _calls(lever) / 1e9,
                        "peak": self._peak(generator.dtype),
                    }
                for batch in _batches(lever, batches):
                    turns.setdefault((lever.name, batch), []).append(self._turn(generator, lever, batch, condition_ND))
        whole = {
            (lever.name, batch): [lever.steps * step + decoding for step, decoding in turns[lever.name, batch]]
            for lever in levers
            for batch in _batches(lever, batches)
        }
        reference = whole[levers[0].name, batches[0]]
        rows = []
        for lever in levers:
            known = facts[lever.name]
            for batch in _batches(lever, batches):
                step, decoding = (statistics.median(times) for times in zip(*turns[lever.name, batch], strict=True))
                gains = [base / own for base, own in zip(reference, whole[lever.name, batch], strict=True)]
                rows.append({
                    "lever": lever.name,
                    "batch": batch,
                    "dtype": known["dtype"],
                    "channels_last": known["channels_last"],
                    "steps": lever.steps,
                    "milliseconds_a_step": round(step * 1e3, 2),
                    "milliseconds_of_decoding": round(decoding * 1e3, 2),
                    "images_per_second": round(1 / statistics.median(whole[lever.name, batch]), 4),
                    # of the UNet, in a step's time; the peak is what one large matrix product reaches in the same precision
                    "teraflops": round(known["gigaflops"] / step / 1e3, 3),
                    "share_of_peak": round(known["gigaflops"] * 1e9 / step / known["peak"], 3),
                    "gain": round(statistics.median(gains), 2),
                    "gains_of_the_rounds": [round(gain, 2) for gain in gains],
                    **effects[lever.name],
                })  # fmt: skip
        return rows

    def _open(self, lever: Lever) -> Any:
        """The generator with the lever's options; the last `stay_open` ones stay open."""
        options = {
            **lever.load,
            **({"vae": self._tiny()} if lever.tiny else {}),
            **({"lora": self._lora()} if lever.lora else {}),
        }
        key = repr(sorted(options.items()))
        if key not in self._opened:
            while len(self._opened) >= self.stay_open:
                del self._opened[next(iter(self._opened))]
            generator = Arc2Face.from_pretrained(self.model, device=self.device, **options)
            if self.latent_side is not None:
                generator.unet.register_to_config(sample_size=self.latent_side)
                generator.image_size = 8 * self.latent_side
            self._opened[key] = generator
        return self._opened[key]

    @torch.inference_mode()
    def _turn(self, generator: Any, lever: Lever, batch: int, condition_ND: NDArray[np.float32]) -> tuple[float, float]:
        """Seconds of a step and of a decoding, a picture."""
        step = seconds(
            lambda: self._denoise(generator, lever, condition_ND[:batch], self.timed_steps), self.gpu, self.runs
        )
        side = int(generator.unet.config.sample_size)
        latent = torch.randn(batch, int(generator.unet.config.in_channels), side, side, device=self.device)
        decoding = seconds(lambda: decode(generator.vae, latent, lever.at_once), self.gpu, self.runs)
        return step / (self.timed_steps * batch), decoding / batch

    def _denoise(
        self, generator: Arc2Face, lever: Lever, condition_ND: NDArray[np.float32], steps: int
    ) -> torch.Tensor:
        side, channels = int(generator.unet.config.sample_size), int(generator.unet.config.in_channels)
        seeds = list(range(len(condition_ND)))
        return denoise(
            generator.unet,
            make_scheduler(lever.scheduler, generator.schedule, steps, self.device),
            initial_noise(seeds, (channels, side, side)).to(self.device),
            generator.encode(condition_ND),
            generator.empty_prompt(),
            lever.guidance,
            step_generators(seeds),
        )

    @torch.inference_mode()
    def _effect(self, generator: Any, lever: Lever, condition_ND: NDArray[np.float32], encoder: Any) -> dict[str, Any]:
        """What the lever does to the pictures, against the first lever's; empty for random networks of another work."""
        final = self._denoise(generator, lever, condition_ND, min(lever.steps, self.whole_steps))
        latent, pictures = final.float().cpu(), to_uint8(decode(generator.vae, final, lever.at_once))
        if not self.reference:
            self.reference = {"latent": latent, "pictures": pictures}
        if lever.tiny or lever.lora:  # their weights are random here and draw nothing
            return {}
        wanted = self.reference["latent"]
        difference = np.abs(pictures.astype(int) - self.reference["pictures"].astype(int))
        effect = {
            "latents_relative_l2": float(f"{torch.linalg.norm(latent - wanted) / torch.linalg.norm(wanted):.3g}"),
            "mean_difference_of_255": round(float(difference.mean()), 3),
        }
        if encoder is not None:
            unit = sphere.normalize(encoder.embed(pictures))
            similarity = (unit * sphere.normalize(condition_ND)).sum(1).mean()
            effect["similarity_to_condition"] = round(float(similarity), 4)
        return effect

    def _flops(self, generator: Arc2Face) -> float:
        if "flops" not in self.__dict__:
            side, unet = int(generator.unet.config.sample_size), generator.unet
            latent = torch.zeros(1, int(unet.config.in_channels), side, side, device=self.device, dtype=unet.dtype)
            with FlopCounterMode(display=False) as counter, torch.inference_mode():
                unet(latent, torch.tensor(1, device=self.device), generator.empty_prompt().to(unet.dtype))
            self.flops = float(counter.get_total_flops())
        return self.flops

    def _peak(self, dtype: torch.dtype) -> float:
        known = self.__dict__.setdefault("peaks", {})
        if dtype not in known:
            size = PEAK_SIZE if dtype == torch.float32 or self.gpu or cpu_has_bfloat16() else 512
            a = torch.randn(size, size, device=self.device).to(dtype)
            known[dtype] = 2 * size**3 / seconds(lambda: a @ a, self.gpu, 3)
        return float(known[dtype])

    def _tiny(self) -> Path:
        """The published tiny autoencoder's shape, random weights."""
        import diffusers

        folder = self.model.parent / "tiny"
        if not folder.exists():
            torch.manual_seed(0)
            diffusers.AutoencoderTiny().save_pretrained(folder)
        return folder

    def _lora(self) -> Path:
        """The published LCM-LoRA's shape, random weights so small that the pictures stay in range.

        Rank 64 on every layer of the UNet's blocks that attends, projects or convolves.
        """
        folder = self.model.parent / "lora"
        path = folder / "pytorch_lora_weights.safetensors"
        if not path.exists():
            unet = load_unet(self.model / "arc2face", torch.float32)
            torch.manual_seed(0)
            state = {}
            for name, module in unet.named_modules():
                weight = getattr(module, "weight", None)
                if weight is None or weight.ndim not in (2, 4) or ("blocks" not in name and "mid_block" not in name):
                    continue
                out, into, *kernel = weight.shape
                rank = min(LORA_RANK, out, into)
                key = "lora_unet_" + name.replace(".", "_")
                state[f"{key}.lora_down.weight"] = 1e-3 * torch.randn(rank, into, *kernel)
                state[f"{key}.lora_up.weight"] = 1e-3 * torch.randn(out, rank, *(1 for _ in kernel))
                state[f"{key}.alpha"] = torch.tensor(float(rank))
            folder.mkdir(exist_ok=True)
            save_file(state, path)
        return path


def _calls(lever: Lever) -> float:
    """Runs of the UNet a step and picture, in the mean over the noise levels."""
    return 1 if lever.guidance.scale == 1 else 1 + (lever.guidance.interval[1] - lever.guidance.interval[0])


def _batches(lever: Lever, batches: list[int]) -> list[int]:
    """Without those at which decoding in slices is decoding at once."""
    return [batch for batch in batches if batch > lever.at_once]


def conditions(model: Path, learned: str | None, count: int) -> NDArray[np.float32]:
    """`count` unit embeddings: people of a prior (`embedded` or a file of `fit-prior`), else random directions."""
    if learned is not None:
        fitted = prior.load(priors.SHIPPED if learned == "embedded" else Path(learned))
        return CandidateStream(fitted, recipe.load("embedded", {}).identities, seed=0).draw(0)[:count]
    dimension = int(files.read_json(model / "synthface.json")["dimension"])
    return sphere.normalize(np.random.default_rng(0).standard_normal((count, dimension)))


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--model", type=Path, help="a trained generator; default: full size, random weights")
    parser.add_argument("--encoder", help="the recogniser whose embeddings it reads")
    parser.add_argument("--prior", help="draw the conditions from it: embedded, or a file; default: random directions")
    parser.add_argument("--side", type=int, help="pixels; default: 256 at full size on a CPU, else the model's own")
    parser.add_argument("--batches", type=int, nargs="+", help="default: 1 and 2 on a CPU, 1, 4 and 16 on a GPU")
    parser.add_argument("--whole-steps", type=int, default=4, help="of the pictures that the effects are judged by")
    parser.add_argument("--checkpoint", type=Path, help="keep the random checkpoint here, or take it from here")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every lever, of which the median counts")
    parser.add_argument("--runs", type=int, default=1, help="timed runs a turn, of which the best counts")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="torch.compile too; it compiles for minutes; default: on a GPU",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    gpu = chosen.device != "cpu"
    batches = chosen.batches or ([1, 4, 16] if gpu else [1, 2])
    folder = Path(tempfile.mkdtemp(prefix="arc2face-"))
    try:
        model = chosen.model or full_size_checkpoint(chosen.checkpoint or folder)
        side = chosen.side or (256 if chosen.model is None and not gpu else None)
        bench = Bench(
            model, chosen.device, side, chosen.runs, timed_steps=2, whole_steps=chosen.whole_steps,
            stay_open=16 if chosen.model else 1,
        )  # fmt: skip
        encoder = None
        if chosen.encoder:
            from synthface.encoder import open_encoder

            encoder = open_encoder(chosen.encoder, device=chosen.device)
        condition_ND = conditions(model, chosen.prior, max(batches))
        # a trained model's latents are its own autoencoder's, and random numbers would spoil its UNet
        tried = [
            lever
            for lever in levers(gpu, gpu if chosen.compile is None else chosen.compile)
            if not ((lever.tiny or lever.lora) and chosen.model)
        ]
        rows = bench.rows(tried, batches, condition_ND, encoder, chosen.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    name = (
        "arc2face_levers"
        + ("" if chosen.model is None else f"_{chosen.model.resolve().parent.name}")
        + ("_gpu" if gpu else "")
    )
    measure.report(
        name,
        {
            "model": "full size, random weights" if chosen.model is None else str(chosen.model),
            "device": torch.cuda.get_device_name() if gpu else "cpu",
            "cpu": {"capability": torch.backends.cpu.get_cpu_capability(), "bfloat16": cpu_has_bfloat16()},
            "pixels": side,
            "steps_of_the_compared_pictures": chosen.whole_steps,
            "guidance": GUIDANCE,
            "rounds": chosen.rounds,
            "unet_gigaflops": round(bench.flops / 1e9, 2),
            "rows": rows,
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
