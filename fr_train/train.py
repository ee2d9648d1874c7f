"""Training and what surrounds it: whether to go on, and the table at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from fr_train.data.sources import Sources, open_sources
from synthface import files
from synthface.errors import InputError
from synthface.progress import say
from synthface.recipe import Recipe

GoOn = Literal["auto", "resume", "restart"]


def train_and_evaluate(
    recipe: Recipe, sources: Sources, folder: Path, benchmarks: Callable[[], Path | None], go_on: GoOn = "auto"
) -> dict[str, Any]:
    """Trains by `recipe.train` into `folder`, then measures the last epoch on the sets in the folder that `benchmarks` gives.

    Gives what result.json holds: the training's facts, and the evaluation or None where there are no sets.
    `auto` goes on from the folder's checkpoint if there is one, `resume` demands one, `restart` removes what is there.
    A finished training is not repeated, only measured. Of several processes the first one measures; the others give
    the training's facts. result.json is written before the measuring, which may fail, and again with its table.
    """
    from fr_train.training.loop import train

    resume = _whether_to_resume(folder, go_on)
    result: dict[str, Any] = {"training": train(recipe.train, sources, folder, recipe.seed, resume)}
    if is_main_process():
        path = folder / "result.json"
        if not path.exists():  # whatever befalls the measuring, the training's facts are kept
            files.write_json(path, {**result, "evaluation": None})
        result["evaluation"] = _evaluate(recipe, Path(result["training"]["model"]), benchmarks())
        files.write_json(path, result)
    return result


def open_data(recipe: Recipe, default: Path) -> Sources:
    """The recipe's training data, or the dataset at `default`."""
    paths: Sequence[str | Path] = recipe.train.data or (default,)
    return open_sources(paths, recipe.train.data_weights)


def is_main_process() -> bool:
    """Whether this process is the only one, or the first that torchrun or accelerate started."""
    return os.environ.get("RANK", "0") == "0"


def forget(folder: Path) -> None:
    """Removes what a training wrote into `folder`, and the folder itself when nothing else is in it."""
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in (folder / "log.jsonl", folder / "model.pt", folder / "result.json", *folder.glob("nan_batch_*.json")):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _whether_to_resume(folder: Path, go_on: GoOn) -> bool:
    checkpoint = folder / "checkpoints" / "last.pt"
    if go_on == "restart":
        if is_main_process():
            forget(folder)
        return False
    if checkpoint.exists():
        say(f"Going on from {checkpoint}.")
        return True
    if go_on == "resume":
        raise InputError(f"There is no checkpoint {checkpoint} to resume from.", "Leave --resume out to begin.")
    return False


def _evaluate(recipe: Recipe, model: Path, place: Path | None) -> dict[str, Any] | None:
    from fr_train import benchmarks, models
    from fr_train.evaluate import evaluate

    lack = benchmarks.lack(place)
    if place is None or lack is not None:
        say(f"{lack}, so the recogniser is not measured. Give evaluate.benchmarks=FOLDER with these sets:")
        for name in recipe.evaluate.names:
            say(f"  {benchmarks.title(name)} ({name}.bin): {benchmarks.where(name)}")
        return None
    network = models.open_model(model, device=recipe.evaluate.device)
    own = recipe.evaluate.benchmarks is not None  # else it is the cache, where other recipes keep their sets, too
    return evaluate(network, [place], recipe.evaluate, seed=recipe.seed, only_named=not own)
