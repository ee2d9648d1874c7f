"""What a checkpoint holds, and going on from it.

There is no generator state in it: every random number is a function of (seed, step) or (seed, epoch, position), and
each step seeds PyTorch's generators anew. Learning rates are functions of the step. What remains is what is learned
(weights, running statistics, momentum, averaged weights, loss scale) and how far the training has come.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from fr_train import checkpoints
from fr_train.data.sources import Sources
from fr_train.training.recogniser import Recogniser
from synthface.errors import InputError, RunConflictError
from synthface.recipe.recognition import TrainRecipe


@dataclass
class TrainState:
    """All that changes while a training runs. `step` counts finished optimiser steps."""

    model: Recogniser
    optimizer: torch.optim.Optimizer
    scaler: Any = None  # the fp16 loss scaler
    average: AveragedModel | None = None
    step: int = 0
    seconds: float = 0.0  # that the steps took, those before an interruption too
    machine: dict[str, Any] = field(default_factory=dict)  # where the last of them was made
    corrupt: set[int] = field(default_factory=set)  # pictures that could not be decoded

    def backbone(self) -> nn.Module:
        """The network that is the result: with averaged weights where the recipe asks for them."""
        return self.model.backbone if self.average is None else self.average.module

    def finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters())

    def save(self, path: Path, recipe: TrainRecipe, seed: int, sources: Sources) -> None:
        """Writes the checkpoint, whole or not at all."""
        content = {
            **network(recipe, self.model.backbone),
            "head": self.model.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "machine": self.machine,
            "corrupt": sorted(self.corrupt),
            "conditions": conditions(recipe, seed, sources),
        }
        checkpoints.save(path, content)

    def restore(self, path: Path, recipe: TrainRecipe, seed: int, sources: Sources) -> None:
        """Takes up the checkpoint. Raises InputError when it is absent, damaged or without a training's state,
        RunConflictError when it belongs to other data or another recipe."""
        content = checkpoints.read(path)
        if not isinstance(content.get("conditions"), dict):
            raise InputError(
                f"{path} holds a network and not the state of a training.", "Resume from fr/checkpoints/last.pt."
            )
        _check(path, content["conditions"], conditions(recipe, seed, sources))
        try:
            self._take(content)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} does not fit its own recipe: {str(error).splitlines()[0]}.",
                "The file is damaged; begin again with --restart.",
            ) from error

    def _take(self, content: dict[str, Any]) -> None:
        self.model.backbone.load_state_dict(content["model"])
        self.model.head.load_state_dict(content["head"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.scaler is not None and content["scaler"] is not None:
            self.scaler.load_state_dict(content["scaler"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.step, self.corrupt = int(content["step"]), set(content["corrupt"])
        self.seconds, self.machine = float(content["seconds"]), dict(content["machine"])


def network(recipe: TrainRecipe, backbone: nn.Module) -> dict[str, Any]:
    """The part of a checkpoint that evaluation needs."""
    return {
        "backbone": recipe.backbone,
        "embedding_size": recipe.embedding_size,
        "color": recipe.color,
        "model": backbone.state_dict(),
    }


def conditions(recipe: TrainRecipe, seed: int, sources: Sources) -> dict[str, Any]:
    """Whatever decides the course of a training: the recipe's decisive values, the seed, and the data."""
    return {"seed": str(seed), **recipe.decisive(), **fingerprint(sources)}


def fingerprint(sources: Sources) -> dict[str, Any]:
    """What tells one set of training data from another, without reading the pictures.

    The lengths of the encoded pictures, in order, tell other people of the same numbers, and data sets that changed places.
    """
    return {
        "classes": sources.num_classes,
        "pictures": len(sources),
        "labels": _digest(sources.labels_N),
        "picture_lengths": _digest(np.concatenate([sources.sizes, sources.length_N])),
    }


def _digest(values_N: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(values_N, np.int64).tobytes(), digest_size=8).hexdigest()


def _check(path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    lines = [
        f"\n  {key}: {then.get(key)!r} in the checkpoint, {now.get(key)!r} now"
        for key in sorted(then | now)
        if then.get(key) != now.get(key)
    ]
    if lines:
        raise RunConflictError(
            f"The training in {path} ran under other conditions:{''.join(lines)}",
            "\nGive those again, or start another training with --run or --restart.",
        )
