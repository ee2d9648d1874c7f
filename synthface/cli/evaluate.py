"""`synthface evaluate`: verification sets through a recogniser, into a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synthface.cli import verification_sets
from synthface.cli.options import debug_option, emit, json_option, recipe_options, resolve, run_option
from synthface.errors import UsageError
from synthface.recipe import Recipe
from synthface.run import RunDirectory


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("places", metavar="[BENCH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--with",
    "others",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Another model, such as another seed of the same training: adds mean ± std (repeatable).",
)
@click.option("--color", type=click.Choice(["rgb", "bgr"]), help="Channel order, where the file states a wrong one.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option("--batch-size", type=int, metavar="N", help="Images embedded at once.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Draw ROC curves and histograms there.")
@click.option(
    "--overlap",
    type=click.Path(path_type=Path),
    metavar="DATASET",
    help="Look for the benchmarks' people in this training data, with MODEL as the encoder.",
)
@click.option("--onnx", type=click.Path(path_type=Path), metavar="FILE", help="Also write MODEL as insightface ONNX.")
@click.option(
    "--safetensors",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write MODEL as float16 safetensors, which encoder.model takes.",
)
@recipe_options
@run_option
@json_option
@debug_option
def command(
    model: Path,
    places: tuple[Path, ...],
    others: tuple[Path, ...],
    color: str | None,
    device: str | None,
    batch_size: int | None,
    plots: Path | None,
    overlap: Path | None,
    onnx: Path | None,
    safetensors: Path | None,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> None:
    """Measure a face recogniser on verification sets, by insightface's protocol.

    MODEL is a checkpoint of train-fr, of AdaFace, CVLface or insightface, or an ONNX network. BENCH is an insightface
    .bin file or a folder of them; without it, the recipe's folder is taken, or its sets of computed people. The table
    goes to stdout.

    \b
    Examples:
      synthface evaluate run/fr/model.pt benchmarks/
      synthface evaluate adaface_ir101_webface4m.ckpt lfw.bin cfp_fp.bin --plots plots
      synthface evaluate w600k_r50.onnx benchmarks/ --json
      synthface evaluate seed0.pt benchmarks/ --with seed1.pt --with seed2.pt
      synthface evaluate w600k_r50.onnx lfw.bin --overlap run/dataset
      synthface evaluate run/fr/model.pt --onnx recogniser.onnx --safetensors recogniser.safetensors
    """
    recipe = resolve(
        recipe_name,
        overrides,
        RunDirectory(run_path),
        {"evaluate.device": device, "evaluate.batch_size": batch_size},
    )
    asked = {"onnx": onnx, "safetensors": safetensors}
    written = {kind: path for kind, path in asked.items() if path is not None}

    results = _measure([model, *others], places, recipe, color=color, plots=plots, overlap=overlap, written=written)
    content: dict[str, Any] = dict(results[0]) if results else {"model": str(model)}
    if len(results) > 1:
        from fr_train.evaluate import over_seeds

        content["others"], content["seeds"] = results[1:], over_seeds(results)
    content |= {kind: str(path) for kind, path in written.items()}
    from fr_train import table

    emit(
        as_json, content, table.markdown(results) if results else f"{' and '.join(map(str, written.values()))} written."
    )


def _measure(
    paths: list[Path],
    places: tuple[Path, ...],
    recipe: Recipe,
    *,
    color: str | None,
    plots: Path | None,
    overlap: Path | None,
    written: dict[str, Path],
) -> list[dict[str, Any]]:
    """The result of each model; the first one is also exported and audited where that is asked for.

    Without places and anything to write, the recipe's sets are taken. They may have to be made, which takes minutes: so
    only when the model has been opened.
    """
    from fr_train import models
    from fr_train.evaluate import evaluate

    results, cached = [], False
    for index, path in enumerate(paths):
        network = models.open_model(path, color, recipe.evaluate.device)
        if [other.stem for other in paths].count(path.stem) > 1:
            network.name = str(path)
        if index == 0:
            for kind, file in written.items():
                (models.export_onnx if kind == "onnx" else models.export_safetensors)(network, file)
            cached = not places and recipe.evaluate.benchmarks is None  # where other recipes keep their sets, too
            places = places or (() if written else (_own_sets(recipe),))
        if not places:
            break
        training = None
        if index == 0 and overlap is not None:
            from fr_train.overlap import training_images

            training = training_images(overlap, network.image_size, recipe.evaluate.batch_size)
        result = evaluate(
            network,
            places,
            recipe.evaluate,
            seed=recipe.seed,
            plots=plots if plots is None or len(paths) == 1 else plots / f"{index}",
            training=training,
            only_named=cached,
        )
        results.append(result)
    return results


def _own_sets(recipe: Recipe) -> Path:
    """The recipe's folder. Raises UsageError where it has none."""
    folder = verification_sets.folder(recipe)
    if folder is None:
        raise UsageError(
            "No verification set is named, neither here nor in the recipe.",
            "Give a .bin file or a folder of them after the model, or --set evaluate.benchmarks=FOLDER.",
        )
    return folder
