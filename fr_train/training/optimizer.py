"""SGD as face recognition is trained, and its learning-rate schedules (timm)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from synthface.recipe.recognition import TrainRecipe


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: with `weight_decay`, and, without it, the parameters of norms, all biases, and what a timm model
    names in `no_weight_decay()` (position embeddings and class tokens)."""
    decayed: dict[str, nn.Parameter] = {}
    spared: dict[str, nn.Parameter] = {}
    unwanted = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, part in module.named_modules()
        if hasattr(part, "no_weight_decay")
        for name in part.no_weight_decay()
    }
    for prefix, part in module.named_modules():
        for name, parameter in part.named_parameters(recurse=False):
            full = f"{prefix}.{name}".lstrip(".")
            spare = _is_norm(part) or name.endswith("bias") or full in unwanted
            if parameter.requires_grad:
                (spared if spare else decayed)[full] = parameter
    return [
        {"params": list(decayed.values()), "weight_decay": weight_decay},
        {"params": list(spared.values()), "weight_decay": 0.0},
    ]


def _is_norm(part: nn.Module) -> bool:
    """Norms have no class in common, and some of timm's are nothing but modules, which their name tells."""
    return isinstance(part, nn.modules.batchnorm._NormBase) or "norm" in type(part).__name__.lower()


def build(module: nn.Module, recipe: TrainRecipe) -> torch.optim.SGD:
    """SGD with momentum; the update of all parameters is one fused kernel on CPU and CUDA."""
    groups = parameter_groups(module, recipe.weight_decay)
    device = next(module.parameters()).device.type
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, fused=device in ("cpu", "cuda") or None
    )


def schedule(optimizer: torch.optim.Optimizer, recipe: TrainRecipe, steps_per_epoch: int) -> Any:
    """timm's scheduler in units of optimiser steps: `step_update(s)` sets the rate of step s, counted from 0.

    step     × 0.1 from the first step of each milestone epoch on
    cosine   half a cosine to 0 at the end (SGDR, ICLR 2017, without restarts)
    poly     (1 − share done) ^ poly_power, insightface's choice with power 2

    Warm-up is linear over `warmup_epochs`. The rate is a function of the step alone, so there is no state to save.
    """
    from timm.scheduler import CosineLRScheduler, MultiStepLRScheduler, PolyLRScheduler

    total = recipe.epochs * steps_per_epoch
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total - 1)
    common: dict[str, Any] = {
        "t_in_epochs": False,
        "warmup_t": warmup,
        "warmup_lr_init": recipe.learning_rate / (warmup + 1),
    }
    if recipe.schedule == "step":  # timm applies milestone m at m − 1, and counts the warm-up in unless told
        milestones = [epoch * steps_per_epoch + 1 for epoch in recipe.milestones]
        return MultiStepLRScheduler(optimizer, milestones, decay_rate=0.1, warmup_prefix=False, **common)
    common |= {"t_initial": total - warmup, "warmup_prefix": True}
    if recipe.schedule == "cosine":
        return CosineLRScheduler(optimizer, **common)
    return PolyLRScheduler(optimizer, power=recipe.poly_power, **common)
