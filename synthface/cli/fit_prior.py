"""`synthface fit-prior`: embeddings in, the distribution of real identities out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from synthface.cli.options import debug_option, emit, json_option, recipe_options, resolve, run_option
from synthface.run import RunDirectory


@click.command(
    "fit-prior",
    help="Learn the distribution of real identities from EMB..., embedding files of one encoder.\n\n"
    ".npy (N, d), or .npz or .safetensors with `embeddings` (N, d) and optional `labels` (N,); several files are one set. "
    "They are read once, in chunks.\n\n"
    "\b\nExamples:\n"
    "  synthface fit-prior webface.npz --encoder antelopev2 --out prior.safetensors\n"
    "  synthface fit-prior part-*.npy --set prior.components=300 --plot explained.png\n"
    "  synthface fit-prior webface.npz --set prior.mixture_components=20",
)
@click.argument("embeddings", nargs=-1, required=True, metavar="EMB...")
@click.option("--out", type=click.Path(path_type=Path), help="The prior's file. Default: prior.safetensors in the run.")
@click.option(
    "--encoder",
    help="Name of the encoder that made the embeddings, by default what they say; sample-ids refuses another.",
)
@click.option("--seed", type=int, help="Recipe value `seed`.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw the explained variance (the paper's Fig. 8c) as PNG."
)
@recipe_options
@run_option
@json_option
@debug_option
def command(
    embeddings: tuple[str, ...],
    out: Path | None,
    encoder: str | None,
    seed: int | None,
    plot: Path | None,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> None:
    from synthface.identity import density, figures, origin
    from synthface.identity.embeddings import open_embeddings
    from synthface.identity.fit import fit_prior
    from synthface.identity.prior import EXPLAINED_AT

    run = RunDirectory(run_path)
    recipe = resolve(recipe_name, overrides, None if out else run, {"seed": seed})
    rows = open_embeddings(embeddings, recipe.encoder.dimension)
    encoder = encoder or origin.common_encoder(rows.paths)
    target = out or run.prior
    with _directory(target.parent) as folder:
        if not out:
            run.refuse_other_values("fit-prior", recipe, {"encoder": encoder})
        prior = fit_prior(rows, recipe.prior, encoder=encoder, seed=recipe.seed, scratch=folder)
        mean, std = density.similarity_of_draws(density.CandidateStream(prior, recipe.identities, recipe.seed))
        decisive = {"encoder": encoder, "inputs_sha256": prior.facts["inputs_sha256"]}
        with contextlib.nullcontext() if out else run.enter("fit-prior", recipe, decisive):
            prior.save(target)
    if plot:
        figures.explained_variance(prior, plot)
    explained = {str(k): prior.explained_variance(k) for k in EXPLAINED_AT if k <= len(prior.eigenvalue_K)}
    facts: dict[str, Any] = {
        "prior": str(target),
        "encoder": encoder,
        "rows": prior.facts["rows"],
        "people": prior.facts["people"],
        "fit_on": prior.facts["fit_on"],
        "dimension": prior.dimension,
        "components": len(prior.eigenvalue_K),
        "explained_variance": explained,
        "effective_dimension": prior.effective_dimension,
        "similarity_of_two_draws": {"mean": mean, "std": std},
        "within_class": None
        if prior.within is None
        else {
            "similarity_of_two_photographs": 1 - prior.within.variance,
            "shrinkage": prior.within.shrinkage,
            "degrees_of_freedom": prior.within.degrees,
        },
        "inputs_sha256": prior.facts["inputs_sha256"],
    }
    emit(as_json, facts, _text(facts))


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[Path]:
    """The directory `path`, made where it is missing; what was made is removed again when the block fails and it is empty.

    A place that cannot be written is thus told before the embeddings are read.
    """
    from synthface import files

    missing = [place for place in (path, *path.parents) if not place.exists()]
    files.make_directory(path)
    try:
        yield path
    except BaseException:
        with contextlib.suppress(OSError):
            for place in missing:
                place.rmdir()
        raise


def _text(facts: dict[str, Any]) -> str:
    explained = "  ".join(f"{k}: {share:.1%}" for k, share in facts["explained_variance"].items())
    lines = [
        f"{facts['prior']}: {facts['people']:,} {'people' if facts['fit_on'] == 'centers' else 'images'} "
        f"from {facts['rows']:,} embeddings of dimension {facts['dimension']}, {facts['components']} components"
        + (f", made by '{facts['encoder']}'" if facts["encoder"] else ""),
        f"explained variance by components   {explained or 'fewer than 50 components'}",
        f"effective dimension                {facts['effective_dimension']:.1f}",
        "similarity of two random draws     {mean:.3f} ± {std:.3f}".format(**facts["similarity_of_two_draws"]),
    ]
    if facts["within_class"]:
        within = facts["within_class"]
        lines.append(
            f"similarity of two photographs      {within['similarity_of_two_photographs']:.3f} of one person, learned "
            f"(shrinkage {within['shrinkage']:.3f}, {within['degrees_of_freedom']:,} degrees of freedom)"
        )
    return "\n".join(lines)
