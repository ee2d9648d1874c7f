"""A training step of a recogniser and its inference: ours against the plain float32 eager loop, in turns within one run.

The peer is AdaFace's own code, `net.py` and `head.py` of a checkout of github.com/mk-minchul/AdaFace, in the loop that its
trainer comes to: float32, NCHW, PyTorch's SGD. Without a checkout the same layers and steps are written with our
modules, outside of channels_last and autocast. Ours is the step of `train-fr` itself on the same batches. On a GPU the peer
also runs in float16 autocast, its `--use_16bit`.

The peak is what the machine's largest matrix products reach in the same dtype and with as many threads; a step costs three
forward passes of 2 × multiplications.

    git clone https://github.com/mk-minchul/AdaFace
    python benchmarks/fr_training.py --adaface AdaFace --keep
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import measure
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fr_train import backbones, heads
from fr_train.data.loader import Batch
from fr_train.models import TorchEmbedder
from fr_train.rehearsal import cost
from fr_train.training.loop import Training
from fr_train.training.recogniser import normalised
from synthface.recipe.recognition import TrainRecipe

CLASSES = 10_572  # of CASIA-WebFace
MARGIN = {"margin": 0.4, "h": 0.333, "scale": 64.0, "t_alpha": 0.01}
Step = Callable[[], object]


class Pictures:
    """As much of a dataset as a training asks for before its first batch."""

    def __init__(self, number: int) -> None:
        self.labels_N = np.arange(number) % CLASSES
        self.sizes, self.num_classes = [number], CLASSES

    def __len__(self) -> int:
        return len(self.labels_N)

    def key(self, index: int) -> str:
        return str(index)


def peak_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """What 4096 × 4096 products reach."""
    one = torch.randn(4096, 4096, device=device).to(dtype)

    def product() -> None:
        one @ one
        _wait(device)

    return 2 * 4096**3 / measure.seconds(product, repeat=5, warm_up=2) / 1e9


def batch_of(size: int) -> Batch:
    rng = np.random.default_rng(0)
    image_BHWC = rng.integers(0, 256, (size, 112, 112, 3), np.uint8)
    return Batch(image_BHWC, rng.integers(0, CLASSES, size), np.arange(size), ())


def our_step(name: str, batch: Batch, folder: Path, precision: str, compile: bool, device: str) -> tuple[Step, str]:
    """`train-fr`'s step without its data, and the precision that it chose."""
    size = len(batch.label_B)
    recipe = TrainRecipe(
        backbone=name, batch_size=size, precision=precision, device=device, compile=compile, milestones=()
    )
    training = Training(recipe, Pictures(max(10 * CLASSES, size)), folder, 0, False)  # type: ignore[arg-type]
    return lambda: training._step(batch, False), training.accelerator.mixed_precision


def peers_step(name: str, batch: Batch, checkout: Path | None, device: torch.device, half: bool) -> Step:
    """The loop of AdaFace's trainer without Lightning: uint8 is made float beforehand, as its loader does."""
    label_B = torch.from_numpy(batch.label_B).to(device)
    image_BCHW = ((torch.from_numpy(batch.image_BHWC).permute(0, 3, 1, 2).float() - 127.5) / 127.5).contiguous()
    network, margin = _adaface(name, checkout) if checkout else _plain(name)
    network, margin = network.to(device).train(), margin.to(device).train()
    norms = [p for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) for p in m.parameters()]
    known = {id(parameter) for parameter in norms}
    rest = [p for p in [*network.parameters(), *margin.parameters()] if id(p) not in known]
    optimizer = torch.optim.SGD([{"params": rest, "weight_decay": 5e-4}, {"params": norms}], lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler(device.type, enabled=half)

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.float16, enabled=half):
            embedding_BD, norm_B1 = network(image_BCHW.to(device, non_blocking=True))
            loss = F.cross_entropy(margin(embedding_BD, norm_B1, label_B), label_B)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return float(loss.detach())

    return step


def _adaface(name: str, checkout: Path) -> tuple[nn.Module, nn.Module]:
    net, head = (_module(checkout / f"{part}.py") for part in ("net", "head"))
    with contextlib.redirect_stdout(io.StringIO()):
        margin = head.build_head("adaface", 512, CLASSES, m=0.4, t_alpha=0.01, h=0.333, s=64.0)
    return net.build_model(name), margin


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"adaface_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _WithNorm(nn.Module):
    """Our backbone with AdaFace's two outputs: unit embeddings and their former lengths."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedding_BD = self.backbone(image_BCHW)
        norm_B1 = torch.norm(embedding_BD, 2, 1, True)
        return embedding_BD / norm_B1, norm_B1


class _Logits(nn.Module):
    def __init__(self, head: heads.MarginHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, unit_BD: torch.Tensor, norm_B1: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        return self.head.logits(unit_BD, norm_B1, label_B)


def _plain(name: str) -> tuple[nn.Module, nn.Module]:
    return _WithNorm(backbones.build(name)), _Logits(heads.build("adaface", 512, CLASSES, **MARGIN))


def inference(name: str, batch: Batch, checkout: Path | None, device: torch.device) -> dict[str, Step]:
    """Embedding the batch: the network of `evaluate` (float32), the same under bfloat16, and the peer."""
    embedder = TorchEmbedder(backbones.build(name), name, device=str(device))
    image_BHWC = torch.from_numpy(batch.image_BHWC).to(device)
    plain = (_adaface(name, checkout) if checkout else _plain(name))[0].to(device).eval()
    image_BCHW = ((image_BHWC.permute(0, 3, 1, 2).float() - 127.5) / 127.5).contiguous()

    def half() -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            embedder.module.eval()(normalised(image_BHWC, "rgb"))

    def peer() -> None:
        with torch.no_grad():
            plain(image_BCHW)

    return {"peer_float32": peer, "float32": lambda: embedder(batch.image_BHWC), "bfloat16": half}


def in_turns(steps: dict[str, Step], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each step in so many rounds after one unmeasured one."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            _wait(device)
            start = time.perf_counter()
            step()
            _wait(device)
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def described(times: dict[str, list[float]], size: int, operations: float, peaks: dict[str, float]) -> dict[str, Any]:
    """Images a second of each, ratio to the peer round by round, and share of the peak of its dtype."""
    result: dict[str, Any] = {}
    for name, found in times.items():
        rate = size / statistics.median(found)
        peak = peaks[next((dtype for dtype in peaks if name.endswith(dtype)), "float32")]
        result[name] = {
            "images_per_second": round(rate, 2),
            "seconds_of_each_round": [round(one, 3) for one in found],
            "gflops": round(rate * operations / 1e9, 1),
            "share_of_peak": round(rate * operations / 1e9 / peak, 3),
        }
        if name != "peer_float32":
            ratios = [peer / mine for peer, mine in zip(times["peer_float32"], found, strict=True)]
            result[name]["ratio_to_peer_float32"] = round(statistics.median(ratios), 2)
    return result


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--backbone", default="ir_se_50")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--adaface", type=Path, help="a checkout of AdaFace; without it its loop on our modules")
    parser.add_argument("--float32", action="store_true", help="also our own step in float32")
    parser.add_argument("--compile", action="store_true", help="also the compiled step")
    chosen = parser.parse_args()
    device, batch, name = torch.device(chosen.device), batch_of(chosen.batch_size), chosen.backbone
    peaks = {"float32": peak_gflops(device, torch.float32), "bfloat16": peak_gflops(device, torch.bfloat16)}
    if device.type == "cuda":
        peaks["float16"] = peak_gflops(device, torch.float16)
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(sys.stderr):
        folder = Path(place)
        steps = {"peer_float32": peers_step(name, batch, chosen.adaface, device, half=False)}
        if device.type == "cuda":
            steps["peer_float16"] = peers_step(name, batch, chosen.adaface, device, half=True)
        if chosen.float32:
            steps["float32"], _ = our_step(name, batch, folder, "no", False, chosen.device)
        steps["bfloat16"], precision = our_step(name, batch, folder, "auto", False, chosen.device)
        if chosen.compile:
            steps["compiled_bfloat16"], _ = our_step(name, batch, folder, "auto", True, chosen.device)
        training = in_turns(steps, chosen.rounds, device)
        steps.clear()
        embedding = in_turns(inference(name, batch, chosen.adaface, device), chosen.rounds, device)
    forward = 2 * cost(name, 512)[1]
    result = {
        "backbone": name,
        "batch_size": chosen.batch_size,
        "classes": CLASSES,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "peer": "AdaFace's net.py and head.py" if chosen.adaface else "AdaFace's loop on our modules",
        "auto_precision": precision,
        "peak_gflops": {dtype: round(value) for dtype, value in peaks.items()},
        "training": described(training, chosen.batch_size, 3 * forward, peaks),
        "inference": described(embedding, chosen.batch_size, forward, peaks),
        "peak_mib": round(measure.peak_mib()),
    }
    measure.report("fr_training" if device.type == "cpu" else "fr_training_gpu", result, chosen.keep)


if __name__ == "__main__":
    main()
