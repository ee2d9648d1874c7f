"""With train.sync_batch_norm, two processes train as one does on the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fr_train import checkpoints
from fr_train.training.log import read_log

STEPS = 3
SETTINGS = [
    "train.backbone=small",
    "train.embedding_size=32",
    "train.batch_size=48",
    "train.epochs=3",
    "train.milestones=[]",
    "train.schedule=step",
    "train.warmup_epochs=0",
    "train.learning_rate=0.00001",  # at which rounding is not amplified from step to step
    "train.scale=16",
    "train.t_alpha=1",  # the statistics of the norms are the last batch's, so that half a batch has others
    "train.precision=no",
    "train.device=cpu",
    "train.clip_grad_norm=500",
    "train.sync_batch_norm=true",
    "evaluate.names=[lfw]",
]


def arguments(people: Path, run: Path) -> list[str]:
    chosen = [part for setting in SETTINGS for part in ("--set", setting)]
    return ["train-fr", "--data", str(people), "--run", str(run), "--json", *chosen]


def under_torchrun(processes: int, people: Path, run: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command as its help shows it, in so many processes that talk by gloo."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    command += ["--no-python", "--", str(Path(sys.executable).parent / "synthface"), *arguments(people, run), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the losses of the CPU are compared")
def test_two_processes_under_torchrun_reach_the_losses_of_one_with_the_same_batches(
    people: Path, tmp_path: Path, synthface: object
) -> None:
    assert callable(synthface)
    alone = synthface(*arguments(people, tmp_path / "one"))
    assert alone.code == 0, alone.err
    two = under_torchrun(2, people, tmp_path / "two")
    assert two.returncode == 0, two.stderr
    assert "Warning" not in two.stderr, two.stderr

    first, second = (read_log(tmp_path / run / "fr" / "log.jsonl") for run in ("one", "two"))
    assert [line["step"] for line in second] == list(range(1, STEPS + 1))
    for figure in ("loss", "mean_norm", "mean_target_cosine"):
        mine, theirs = ([line[figure] for line in lines] for lines in (first, second))
        np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5, err_msg=figure)
    one, other = (checkpoints.read(tmp_path / run / "fr" / "checkpoints" / "last.pt") for run in ("one", "two"))
    for key in ("batch_mean", "batch_std"):  # AdaFace's statistics of the norms are those of the whole batch
        torch.testing.assert_close(other["head"][key], one["head"][key], rtol=1e-4, atol=1e-5)
    for key, value in one["model"].items():
        if "running" in key:
            assert distance(other["model"][key], value) < 1e-3, key
    # rounding moves one activation in ten thousand across zero, whose gradient is then another one; twice the gradient
    # would be at a distance of 1. That the mathematics agrees to ten digits is shown in float64, in test_sync_norm.py
    for key, held in one["optimizer"]["state"].items():
        momentum = held["momentum_buffer"]
        if momentum.norm() > 1e-3:
            assert distance(other["optimizer"]["state"][key]["momentum_buffer"], momentum) < 0.1, key


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The length of the difference, relative to the expected one's."""
    return float((found - expected).norm() / expected.norm())


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the sentences of the CPU are compared")
def test_a_batch_that_processes_cannot_share_is_a_sentence(people: Path, tmp_path: Path) -> None:
    found = under_torchrun(2, people, tmp_path / "run", "--batch-size", "9")
    assert found.returncode != 0
    assert "A batch of 9 cannot be shared equally by 2 processes." in found.stderr
