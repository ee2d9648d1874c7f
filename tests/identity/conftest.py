"""A small world of embeddings with known people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from synthface.identity import fit
from synthface.identity.embeddings import open_embeddings
from synthface.identity.prior import Prior
from synthface.recipe.people import PriorRecipe

World = tuple[NDArray[np.float32], NDArray[np.int64]]


def make_world(people: int, dimension: int, seed: int = 0, photographs: int = 4, spread: float = 0.5) -> World:
    """Unit rows of `people` × `photographs`, anisotropic centers, in random order, with labels that have holes."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((dimension, dimension)) * np.linspace(1.5, 0.3, dimension)
    center = rng.standard_normal((people, dimension)) @ axes + 0.3
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    label = np.repeat(np.arange(people) * 3 + 5, photographs)
    noise = (
        rng.standard_normal((len(label), dimension)) * np.linspace(1.3, 0.5, dimension) * spread / np.sqrt(dimension)
    )
    rows = np.repeat(center, photographs, axis=0) + noise
    order = rng.permutation(len(label))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[order].astype(np.float32), label[order].astype(np.int64)


@pytest.fixture(scope="session")
def world() -> World:
    return make_world(people=600, dimension=48)


@pytest.fixture(scope="session")
def world_file(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world") / "people.npz"
    np.savez(path, embeddings=world[0], labels=world[1])
    return path


@pytest.fixture(scope="session")
def prior(world_file: Path) -> Prior:
    return fit.fit_prior(open_embeddings([world_file]), PriorRecipe(mixture_components=3, mixture_dimensions=8))


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes arrays in one of the three formats."""

    def write(name: str, embeddings: NDArray[np.floating], labels: NDArray[np.integer] | None = None) -> Path:
        path = tmp_path / name
        arrays = {"embeddings": embeddings} | ({} if labels is None else {"labels": labels})
        if path.suffix == ".npy":
            np.save(path, embeddings)
        elif path.suffix == ".npz":
            (np.savez_compressed if "compressed" in name else np.savez)(path, **arrays)
        else:
            from safetensors.numpy import save_file

            save_file(arrays, path)
        return path

    return write
