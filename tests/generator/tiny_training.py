"""A tiny generator's training: what the tests of training share."""

from __future__ import annotations

from pathlib import Path

import torch
from generator_samples import tensors

from synthface import recipe as recipes
from synthface.generator.training.pairs import open_pairs
from synthface.generator.training.train import train_generator

TINY = {
    "train_generator.mode": "scratch",
    "train_generator.resolution": 32,
    "train_generator.unet": {"channels": [16, 32], "attention": [False, True], "head_size": 16},
    "train_generator.text": {"width": 64, "layers": 1, "tokens": 2},
    "train_generator.vae": {"channels": [8, 16], "latent_channels": 2, "steps": 4, "batch_size": 4},
    "train_generator.learning_rate": 1e-3,
    "train_generator.warmup_steps": 2,
    "train_generator.batch_size": 4,
    "train_generator.steps": 6,
    "train_generator.log_every": 1,
    "train_generator.checkpoint_every": 2,
    "train_generator.sample_every": 0,
    "train_generator.precision": "no",
    "train_generator.device": "cpu",
    "generator.num_inference_steps": 2,
}


HALF = {"train_generator.precision": "bf16"}


def train(world: Path, out: Path, **changes):
    recipe = recipes.build({}, {**TINY, **changes})
    return train_generator(recipe, open_pairs(world / "faces", [world / "faces.npz"]), out)


def same(a: Path, b: Path) -> bool:
    first, second = tensors(a), tensors(b)
    return set(first) == set(second) and all(torch.equal(first[key], second[key]) for key in first)
