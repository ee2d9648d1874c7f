"""A small world of embeddings with known people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from identity_world import World, make_world
from numpy.typing import NDArray

from synthface.identity import fit
from synthface.identity.embeddings import open_embeddings
from synthface.identity.prior import Prior
from synthface.recipe.people import PriorRecipe


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
