"""Checkpoints that are whole or absent, from which training goes on exactly.

    checkpoints/STAGE-00001000/  network.safetensors, average.safetensors, optimizer.pt, state.json

A checkpoint is written under a temporary name and renamed when it is complete. Random numbers need no place in it:
all of them are functions of the seed and the step.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from synthface import files
from synthface.errors import InputError, RunConflictError
from synthface.generator.training.average import Average
from synthface.generator.weights import read_state_dict

_NAME = re.compile(r"(?P<stage>[a-z]+)-(?P<step>\d{8})")


def save(
    folder: Path,
    stage: str,
    step: int,
    network: torch.nn.Module,
    average: Average,
    optimizer: Any,
    scaler: Any,
    facts: dict[str, Any],
    keep: int,
) -> Path:
    """Writes the checkpoint of `step` and removes all but the `keep` latest of the stage."""
    from safetensors.torch import save_file

    target = folder / f"{stage}-{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    files.make_directory(folder)
    with files.writing(target):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        weights = {key: value.detach().cpu().contiguous() for key, value in network.named_parameters()}
        save_file(weights, temporary / "network.safetensors")
        averaged = {key: value.cpu().contiguous() for key, value in average.average.items()}
        save_file(averaged, temporary / "average.safetensors")
        scaled = None if scaler is None else scaler.state_dict()  # of float16's loss
        torch.save({"optimizer": optimizer.state_dict(), "scaler": scaled}, temporary / "optimizer.pt")
        files.write_json(temporary / "state.json", {"stage": stage, "step": step, **facts})
        for file in temporary.iterdir():
            with open(file, "rb+") as opened:
                os.fsync(opened.fileno())
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
        files.fsync_directory(folder)
        for old in found(folder, stage)[:-keep]:
            shutil.rmtree(old)
    return target


def found(folder: Path, stage: str) -> list[Path]:
    """The stage's checkpoints, oldest first."""
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    mine = [(int(match["step"]), path) for match, path in matches if match and match["stage"] == stage]
    return [path for _, path in sorted(mine)]


def restore(
    folder: Path,
    stage: str,
    network: torch.nn.Module,
    average: Average,
    optimizer: Any,
    scaler: Any,
    facts: dict[str, Any],
) -> int:
    """Loads the stage's latest checkpoint; gives its step, 0 when there is none.

    Raises RunConflictError when it was made with other `facts`, InputError when it is damaged.
    """
    checkpoints = found(folder, stage)
    if not checkpoints:
        return 0
    latest = checkpoints[-1]
    state = files.read_json(latest / "state.json")
    different = [
        f"{key}: {state[key]!r} there, {value!r} now"
        for key, value in facts.items()
        if key in state and state[key] != value  # a key of a later version says what was not there to be chosen
    ]
    if different:
        raise RunConflictError(
            f"{latest} was trained with other values: {'; '.join(different)}.",
            "Give those values again, or start in another folder with --out.",
        )
    _copy(dict(network.named_parameters()), read_state_dict(latest / "network.safetensors"), latest)
    _copy(average.average, read_state_dict(latest / "average.safetensors"), latest)
    try:
        rest = torch.load(latest / "optimizer.pt", map_location="cpu", weights_only=True)
        optimizer.load_state_dict(rest["optimizer"])
        if scaler is not None and rest["scaler"] is not None:
            scaler.load_state_dict(rest["scaler"])
    except Exception as error:  # a damaged file raises whatever the unpickler met
        raise InputError(
            f"{latest / 'optimizer.pt'} is damaged.", f"Remove {latest}: an older one is taken."
        ) from error
    return int(state["step"])


@torch.no_grad()
def _copy(own: dict[str, torch.Tensor], values: dict[str, torch.Tensor], place: Path) -> None:
    if set(own) != set(values) or any(own[key].shape != values[key].shape for key in own):
        raise InputError(f"{place} belongs to other networks.", "Start in another folder with --out.")
    for key, value in own.items():
        value.copy_(values[key])
