"""Which folder of verification sets a command measures on."""

from __future__ import annotations

from pathlib import Path

from synthface.recipe import Recipe


def folder(recipe: Recipe) -> Path | None:
    """The folder that the recipe names, there or not; None where it names none."""
    return None if recipe.evaluate.benchmarks is None else Path(recipe.evaluate.benchmarks)
