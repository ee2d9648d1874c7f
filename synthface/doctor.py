"""What this machine has and lacks for synthface, and what to do about each lack."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from synthface import run
from synthface.devices import cores
from synthface.zoo.needs import Lack

_CORE = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "timm", "insightface", "onnxruntime",
         "faiss-cpu", "scikit-learn", "numpy", "pyarrow", "opencv-python", "simplejpeg")  # fmt: skip
_OPTIONAL = {"ray": "ray", "submitit": "slurm", "webdataset": "webdataset", "lmdb": "lmdb", "tensorboard": "tensorboard",
             "datasets": "hf"}  # fmt: skip
_CPU_FEATURES = {
    "avx2": "fast float32",
    "avx512f": "faster float32",
    "avx512_vnni": "8-bit products: the identity screen",
    "avx512_bf16": "bfloat16 networks",
    "amx_bf16": "bfloat16 networks, several times faster",
    "amx_int8": "8-bit products, several times faster",
}


@dataclass(frozen=True)
class Finding:
    """One fact: `state` is ok, note (works, could be better) or lack (something will not run)."""

    subject: str
    state: str
    value: str
    advice: str = ""


@dataclass(frozen=True)
class Weights:
    """Which weights are here: of the chosen recipe, of every recipe that ships (by name), and of the public models."""

    present: Sequence[str] = ()
    lacking: Sequence[Lack] = ()
    lacking_for: Mapping[str, Sequence[Lack]] = field(default_factory=dict)
    pulled: Sequence[str] = ()


def examine(place: Path, weights: Weights) -> dict[str, Any]:
    """All findings: versions, processor, memory, GPUs, disk at `place`, optional packages and weights."""
    findings = [
        *_packages(),
        *_processor(),
        *_gpus(),
        *_disk(place),
        *_weights(weights),
        *_recipes(weights.lacking_for),
    ]
    return {
        "machine": run.machine(),
        "findings": [asdict(finding) for finding in findings],
        "ok": not any(finding.state == "lack" for finding in findings),
    }


def _packages() -> list[Finding]:
    found = [Finding("python", "ok", sys.version.split()[0])]
    for name in _CORE:
        version = _version(name)
        if version is None and name == "faiss-cpu":
            version = _version("faiss-gpu") or _version("faiss-gpu-cu12")
        advice = "" if version else f"pip install {name}"
        found.append(Finding(name, "ok" if version else "lack", version or "absent", advice))
    for name, extra in _OPTIONAL.items():
        version = _version(name)
        advice = "" if version else f"only when you use it: pip install 'synthface[{extra}]'"
        found.append(Finding(name, "ok" if version else "note", version or "absent", advice))
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> list[Finding]:
    found = [Finding("processor", "ok", f"{run.processor_name()}, {cores()} cores")]
    flags = _cpu_flags()
    if flags:
        have = [name for name in _CPU_FEATURES if name in flags]
        found.append(Finding("processor features", "ok" if have else "note", ", ".join(have) or "none of use here",
                             "" if "avx512_bf16" in flags or "amx_bf16" in flags
                             else "no bfloat16 units: networks run in float32 on this CPU"))  # fmt: skip
    import psutil

    gib = psutil.virtual_memory().total / 2**30
    advice = "" if gib >= 7.5 else "the full Arc2Face needs about 8 GiB; the embedded models run in 4"
    return [*found, Finding("memory", "ok" if gib >= 7.5 else "note", f"{gib:.0f} GiB", advice)]


def _cpu_flags() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return set()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def _gpus() -> list[Finding]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        advice = ("no CUDA device is visible; the embedded models run on the CPU, research-grade data wants a GPU"
                  if built else "this torch is built without CUDA")  # fmt: skip
        return [Finding("gpu", "note", "none", advice)]
    found = []
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        capability = f"compute {properties.major}.{properties.minor}"
        found.append(
            Finding(
                f"cuda:{number}", "ok", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {capability}"
            )
        )
    return found


def _disk(place: Path) -> list[Finding]:
    existing = place.resolve()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free / 2**30
    found = [Finding("disk", "ok" if free >= 10 else "note", f"{free:.0f} GiB free at {existing}",
                     "" if free >= 10 else "0.5M images take about 4 GiB, the public weights about 8")]  # fmt: skip
    if not os.access(existing, os.W_OK):
        found.append(Finding("run directory", "lack", f"{existing} cannot be written", "choose another with --run"))
    return found


def _weights(weights: Weights) -> list[Finding]:
    found = []
    if weights.present:
        found.append(Finding("weights", "ok", f"here, of the recipe's: {', '.join(weights.present)}"))
    if weights.pulled:
        found.append(Finding("public weights", "ok", f"pulled: {', '.join(weights.pulled)}"))
    else:
        found.append(Finding("public weights", "note", "none pulled", "`synthface models list` shows them"))
    return found + [Finding(lack.subject, "lack", lack.why, lack.fix) for lack in weights.lacking]


def _recipes(lacking_for: Mapping[str, Sequence[Lack]]) -> list[Finding]:
    """A line for each recipe: whether it could run here."""
    found = []
    for name, lacking in lacking_for.items():
        if not lacking:
            found.append(Finding(f"recipe {name}", "ok", "nothing is missing"))
            continue
        absent = ", ".join(lack.subject for lack in lacking)
        found.append(
            Finding(f"recipe {name}", "note", f"lacks {absent}", f"synthface doctor --recipe {name} tells more")
        )
    return found
