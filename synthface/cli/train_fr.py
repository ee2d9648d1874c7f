"""`synthface train-fr`: a dataset into a face recogniser, and the recogniser into a table."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

import click

from synthface import files
from synthface.cli import verification_sets
from synthface.cli.options import debug_option, emit, json_option, recipe_options, resolve, run_option
from synthface.errors import UsageError
from synthface.run import RunDirectory


@click.command("train-fr")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="RecordIO folder or folder of class folders; several are joined. Default: the run's dataset.",
)
@click.option("--resume", is_flag=True, help="Insist on going on from the run's checkpoint (as happens by itself).")
@click.option("--restart", is_flag=True, help="Remove the run's training and begin again, with other values too.")
@click.option("--backbone", metavar="NAME", help="ir_50, ir_se_50, r50, mobilefacenet, small, timm/<name>, …")
@click.option("--epochs", type=int, metavar="N", help="Passes over the data.")
@click.option("--batch-size", type=int, metavar="N", help="Images a step over all processes.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option("--workers", type=int, metavar="N", help="Threads that read, decode and augment.")
@click.option("--compile/--no-compile", default=None, help="Compile the network; pays off after some minutes.")
@click.option("--benchmarks", type=click.Path(), metavar="DIR", help="Folder of verification sets for the table.")
@click.option("--dry-run", is_flag=True, help="Only tell pictures, steps, parameters and multiplications.")
@click.option(
    "--images-per-second",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="With --dry-run: the speed of one device, for the time.",
)
@recipe_options
@run_option
@json_option
@debug_option
def command(
    data: tuple[str, ...],
    resume: bool,
    restart: bool,
    backbone: str | None,
    epochs: int | None,
    batch_size: int | None,
    device: str | None,
    workers: int | None,
    compile: bool | None,
    benchmarks: str | None,
    dry_run: bool,
    images_per_second: float | None,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> None:
    """Train a face recogniser on a dataset, then measure it on verification sets.

    Writes RUN/fr: checkpoints/last.pt, model.pt, log.jsonl and result.json. Stopped by Ctrl-C, SIGTERM or a power cut,
    the same command goes on where the last checkpoint was.

    \b
    Examples:
      synthface train-fr
      synthface train-fr --data faces_webface_112x112 --recipe casia-control --run casia
      synthface train-fr --data run/dataset --data real --set 'train.data_weights=[1, 2]' --run mixed
      synthface train-fr --data run/dataset --backbone timm/vit_tiny_patch16_224 --device cuda:1 --run vit
      synthface train-fr --recipe casia-control --dry-run --images-per-second 2000
      torchrun --nproc-per-node 8 --no-python -- synthface train-fr --run big --benchmarks bins
    """
    if resume and restart:
        raise UsageError("--resume and --restart exclude each other.", "Give one of them, or neither.")
    if images_per_second is not None and not dry_run:
        raise UsageError("--images-per-second belongs to --dry-run.", "Training prints its own speed.")
    run = RunDirectory(run_path)
    flags = {
        "train.data": list(data) or None,
        "train.backbone": backbone,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.device": device,
        "evaluate.device": device,
        "train.workers": workers,
        "train.compile": compile,
        "evaluate.benchmarks": benchmarks,
    }
    recipe = resolve(recipe_name, overrides, run, flags)

    if dry_run:
        from fr_train import rehearsal

        content = rehearsal.rehearse(recipe, run.dataset, images_per_second)
        emit(as_json, content, rehearsal.told(content))
        return
    from fr_train import devices, train
    from fr_train.training.state import fingerprint

    devices.choose(recipe.train.device)
    sources = train.open_data(recipe, run.dataset if recipe.train.data else run.made_dataset())
    with contextlib.ExitStack() as stack:
        if restart and train.is_main_process() and run.fr.exists():  # before `enter`, which would refuse other values
            with files.exclusive(run.path / ".lock", f"the run directory {run.path}"):
                train.forget(run.fr)
        if train.is_main_process():
            stack.enter_context(run.enter("train-fr", recipe, fingerprint(sources)))
        go_on: train.GoOn = "resume" if resume else "restart" if restart else "auto"
        sets = functools.partial(verification_sets.folder, recipe)  # made when the training has ended
        result = train.train_and_evaluate(recipe, sources, run.fr, sets, go_on)
    if train.is_main_process():
        emit(as_json, result, _text(result))


def _text(result: dict[str, Any]) -> str:
    facts = result["training"]
    loss = "" if facts["loss"] is None else f", loss {facts['loss']:.3f}"
    lines = [
        f"{facts['backbone']} with {facts['head']}: {facts['classes']:,} people, {facts['pictures']:,} pictures, "
        f"{facts['steps']:,} steps{loss}.",
        f"The recogniser is {facts['model']}.",
    ]
    if result["evaluation"] is not None:
        from fr_train import table

        lines.append("\n" + table.markdown([result["evaluation"]]))
    return "\n".join(lines)
