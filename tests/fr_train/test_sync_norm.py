"""Batch norm over several processes is the batch norm of the joined batch: outputs, statistics and gradients."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn

from fr_train.training.sync_norm import convert

PROCESSES, EACH = 2, 12


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.LeakyReLU(0.1),
        nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8, affine=False), nn.PReLU(8),
        nn.Flatten(), nn.Linear(8 * 5 * 5, 6), nn.BatchNorm1d(6),
    )  # fmt: skip
    return nn.Sequential(*layers).double()


def loss(network: nn.Module, part: slice) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(1)
    x_BCHW = torch.randn(PROCESSES * EACH, 3, 15, 15, dtype=torch.float64, generator=drawn)
    weight_BD = torch.randn(PROCESSES * EACH, 6, dtype=torch.float64, generator=drawn)
    mean: torch.Tensor = (network(x_BCHW[part]) * weight_BD[part]).sum(1).tanh().mean()
    return mean


def compare(rank: int, meeting: str) -> None:
    """In one of the processes: raises where it does not agree with the joined batch."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    alone = network()
    shared = nn.parallel.DistributedDataParallel(convert(copy.deepcopy(alone), torch.device("cpu")))
    loss(alone, slice(None)).backward()
    loss(shared, slice(rank * EACH, (rank + 1) * EACH)).backward()
    for (name, expected), found in zip(alone.named_parameters(), shared.module.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-10, atol=1e-13, msg=name)
    for (name, expected), found in zip(alone.named_buffers(), shared.module.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14, msg=name)
    distributed.destroy_process_group()


def test_two_processes_have_the_gradients_and_statistics_of_the_joined_batch_to_the_last_digits(tmp_path: Path) -> None:
    multiprocessing.spawn(compare, (str(tmp_path / "meeting"),), PROCESSES)
