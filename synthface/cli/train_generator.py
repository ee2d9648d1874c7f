"""`synthface train-generator`: pictures and their embeddings in, a generator in the official layout out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from synthface.cli.options import debug_option, emit, json_option, recipe_options, resolve, run_option
from synthface.errors import UsageError
from synthface.run import RunDirectory


@click.command(
    "train-generator",
    help="Train a generator on DATASET and the embeddings that `synthface embed` made of it, in its order.\n\n"
    "Fine-tunes Stable Diffusion 1.5 as the paper does (train_generator.mode: finetune), or trains small networks from "
    "nothing (scratch), first their autoencoder, then the denoiser. The result is RUN/generator in the official layout; "
    "RUN/generator-training keeps checkpoints, log.jsonl and sample sheets. Stopped by Ctrl-C, SIGTERM or a power cut, "
    "the same command goes on where the last checkpoint was.\n\n"
    "\b\nExamples:\n"
    "  synthface embed faces --out faces.npz\n"
    "  synthface train-generator --data faces --embeddings faces.npz --set train_generator.mode=scratch\n"
    "  synthface train-generator --recipe train-arc2face --dry-run --images-per-second 5\n"
    "  synthface train-generator --data faces_webface --embeddings webface.npz --recipe train-arc2face --run own\n"
    "  torchrun --nproc-per-node 8 --no-python -- synthface train-generator --data faces_webface \\\n"
    "      --embeddings webface.npz --recipe train-arc2face --run own",
)
@click.option(
    "--data",
    metavar="DATASET",
    type=click.Path(),
    help="RecordIO folder or folder of class folders. Required but for --dry-run.",
)
@click.option(
    "--embeddings",
    multiple=True,
    metavar="EMB",
    help="Their embeddings, one row a picture (repeatable: several files are one set). Required but for --dry-run.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The generator's folder. Default: RUN/generator."
)
@click.option("--steps", type=int, help="Optimiser steps of the denoiser. Recipe value `train_generator.steps`.")
@click.option("--batch-size", type=int, help="Pictures a device and step. Recipe value `train_generator.batch_size`.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N. Recipe value `train_generator.device`.")
@click.option("--dry-run", is_flag=True, help="Only tell steps, pictures and disk.")
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
    data: str | None,
    embeddings: tuple[str, ...],
    out: Path | None,
    steps: int | None,
    batch_size: int | None,
    device: str | None,
    dry_run: bool,
    images_per_second: float | None,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> None:
    if images_per_second is not None and not dry_run:
        raise UsageError("--images-per-second belongs to --dry-run.", "Training prints its own speed.")
    run = RunDirectory(run_path)
    flags = {
        "train_generator.steps": steps,
        "train_generator.batch_size": batch_size,
        "train_generator.device": device,
    }
    recipe = resolve(recipe_name, overrides, None if out else run, flags)
    if dry_run:
        from synthface.generator.training import rehearsal

        content = rehearsal.rehearse(recipe, data, embeddings, images_per_second)
        emit(as_json, content, rehearsal.told(content))
        return
    if data is None or not embeddings:
        raise UsageError(
            f"There is nothing to train on without {'--data' if data is None else '--embeddings'}.",
            "Give both: --data DATASET and --embeddings EMB, which `synthface embed DATASET --out EMB` makes; without "
            "them --dry-run tells the cost.",
        )
    from synthface.generator.training.pairs import open_pairs
    from synthface.generator.training.train import train_generator

    pairs = open_pairs(data, embeddings)
    result = train_generator(recipe, pairs, out or run.path / "generator")
    if int(os.environ.get("RANK", "0")) == 0:
        emit(as_json, result, _text(result))


def _text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['generator']}: {result['steps']:,} steps on {result['pictures']:,} pictures of {result['people']:,} "
        f"people, {result['parameters'] / 1e6:.1f}M parameters in the UNet"
    ]
    if result["damaged"]:
        lines.append(f"{result['damaged']:,} pictures could not be decoded and were left out")
    for name, facts in (("autoencoder", result["autoencoder"]), ("denoiser", result)):
        if facts is not None and facts["images_per_second"] is not None:
            lines.append(
                f"{name}: loss {facts['loss']:.4f}, {facts['images_per_second']:,.1f} images/s on {result['device']}"
            )
    lines.append(f"Use it with --set generator.model={result['generator']}")
    return "\n".join(lines)
