"""`synthface parametric`: people who are computed, as training data, verification sets and contact sheets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synthface.cli.options import debug_option, emit, json_option

_PAIRS = 6_000


@click.group("parametric")
def command() -> None:
    """Faces from an analytic model: no network, no photograph, exact labels.

    \b
    Examples:
      synthface parametric people --ids 1000 --per-id 20 --out people
      synthface parametric benchmarks --out benchmarks
      synthface parametric sheet --out sheet.png
    """


def workers_option(function: Any) -> Any:
    return click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes. Default: one a core.")(
        function
    )


@command.command("people")
@click.option("--ids", type=int, required=True, metavar="N", help="People.")
@click.option("--per-id", type=int, required=True, metavar="K", help="Photographs of each.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The RecordIO folder.")
@click.option("--crowd", default="train", show_default=True, metavar="NAME", help="Crowds share nobody.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other people.")
@workers_option
@json_option
@debug_option
def people(ids: int, per_id: int, out: Path, crowd: str, seed: int, workers: int | None, as_json: bool) -> None:
    """A training set of parametric people, with landmarks and pose in its manifest. Interrupted, it goes on.

    \b
    Example:
      synthface parametric people --ids 1000 --per-id 20 --out people
    """
    from synthface.dataset import open_dataset
    from synthface.parametric import source

    source.make_people(out, ids, per_id, crowd=crowd, seed=seed, workers=workers)
    made = open_dataset(out)
    content = {"dataset": str(out), "people": made.num_classes, "pictures": len(made)}
    emit(as_json, content, f"{out}: {len(made):,} pictures of {made.num_classes:,} parametric people")


@command.command("benchmarks")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for NAME.bin.")
@click.option("--pairs", type=int, default=_PAIRS, show_default=True, metavar="N", help="Pairs of each set.")
@click.option("--set", "names", multiple=True, metavar="NAME", help="Only this set (repeatable).")
@workers_option
@json_option
@debug_option
def benchmarks(out: Path, pairs: int, names: tuple[str, ...], workers: int | None, as_json: bool) -> None:
    """Five verification sets of people whom no training has seen, as insightface's .bin.

    mixed (as LFW), frontal_profile (CFP-FP), cross_pose (CPLFW), age_gap_30 (AgeDB-30), cross_age (CALFW).

    \b
    Example:
      synthface parametric benchmarks --pairs 600 --out benchmarks
    """
    from synthface.parametric import benchmarks as sets

    made = sets.ensure(out, names or tuple(sets.SETS), pairs, workers=workers)
    emit(as_json, {"pairs": pairs, "sets": [str(path) for path in made]}, "\n".join(str(path) for path in made))


@command.command("sheet")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The PNG.")
@click.option("--ids", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="People, a row each.")
@click.option(
    "--per-id", type=click.IntRange(1), default=10, show_default=True, metavar="K", help="Photographs of each."
)
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="Number of the first person.")
@click.option("--crowd", default="train", show_default=True, metavar="NAME", help="Crowds share nobody.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other people.")
@debug_option
def sheet(out: Path, ids: int, per_id: int, first: int, crowd: str, seed: int) -> None:
    """A contact sheet: a row for each person.

    \b
    Example:
      synthface parametric sheet --ids 8 --per-id 10 --out sheet.png
    """
    import cv2
    import numpy as np

    from synthface import files
    from synthface.parametric import population, render

    person = np.repeat(np.arange(first, first + ids), per_id)
    picture = np.tile(np.arange(per_id), ids)
    drawn = render(
        population.identities(seed, crowd, person),
        population.nuisances(seed, crowd, person, picture),
        population.sensor_seeds(seed, crowd, person, picture),
    )
    rows = drawn.image_NHWC.reshape(ids, per_id, *drawn.image_NHWC.shape[1:])
    image = np.concatenate([np.concatenate(list(row), 1) for row in rows])
    files.write_bytes(out, cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    click.echo(str(out))
