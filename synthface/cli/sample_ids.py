"""`synthface sample-ids`: people who do not exist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthface.cli.options import (
    debug_option,
    emit,
    json_option,
    recipe_options,
    resolve,
    run_option,
    tell_of_demonstration,
)
from synthface.recipe import Recipe
from synthface.run import RunDirectory

if TYPE_CHECKING:
    from synthface.identity.identities import Identities


@click.command(
    "sample-ids",
    help="Sample people who do not exist into identities.safetensors of the run directory.\n\n"
    "Candidates are drawn in a fixed seeded order; one is kept when its similarity to every kept identity and to every "
    "excluded real embedding is below the threshold. Asking for more later extends the file without changing it.\n\n"
    "\b\nExamples:\n"
    "  synthface sample-ids\n"
    "  synthface sample-ids --ids 10000 --prior prior.safetensors --threshold 0.3\n"
    "  synthface sample-ids --ids 20000 --exclude webface.npz --report",
)
@click.option("--ids", type=int, help="How many identities. Recipe value `identities.count`.")
@click.option("--threshold", type=float, help="Similarity below which two are different people (identities.threshold).")
@click.option("--prior", type=click.Path(), help="A prior made by fit-prior. Recipe value `prior.file`.")
@click.option("--exclude", multiple=True, metavar="EMB", help="Real people to stay away from (identities.exclude).")
@click.option("--seed", type=int, help="Recipe value `seed`.")
@click.option(
    "--report", is_flag=True, help="Also measure and plot the similarity of conditions (report/identities.png)."
)
@recipe_options
@run_option
@json_option
@debug_option
def command(
    ids: int | None,
    threshold: float | None,
    prior: str | None,
    exclude: tuple[str, ...],
    seed: int | None,
    report: bool,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> None:
    from synthface.identity import into_run

    run = RunDirectory(run_path)
    flags = {
        "identities.count": ids,
        "identities.threshold": threshold,
        "identities.exclude": list(exclude) or None,
        "prior.file": prior,
        "seed": seed,
    }
    recipe = resolve(recipe_name, overrides, run, flags)
    tell_of_demonstration(recipe.encoder.model)
    made = into_run.sample_into(run, recipe)
    content = _summary(made, run, recipe.identities.threshold)
    if report:
        content["report"] = _report(made, recipe, run)
    emit(as_json, content, _text(content, recipe.identities.count))


def _summary(made: Identities, run: RunDirectory, threshold: float) -> dict[str, Any]:
    statistics = made.facts["statistics"]
    return {
        "identities": len(made),
        "file": str(run.identities),
        "threshold": threshold,
        "candidates": made.next_candidate,
        "acceptance": made.acceptance,
        "largest_similarity": statistics["largest_similarity"],
        "largest_excluded_similarity": statistics["largest_excluded_similarity"],
        "similarity": {key: value for key, value in statistics["similarity"].items() if key != "histogram"},
        "capacity": statistics["capacity"],
    }


def _report(made: Identities, recipe: Recipe, run: RunDirectory) -> dict[str, Any]:
    """Similarity of conditions within and between identities, on at most 2,000 people × 10 images."""
    import numpy as np

    from synthface.identity import conditions, figures, perturb, priors, separability

    learned = priors.open_for(recipe, priors.locate(recipe, run))
    guard = conditions.Guard(perturb.Perturbation(learned, recipe.perturb, recipe.seed), made.center_ND)
    people, per_id = min(len(made), 2_000), min(max(recipe.render.per_id, 3), 10)
    drawn = list(guard.all_images(per_id, identities=people))
    condition_MD = np.concatenate([part.condition_MD for part in drawn])
    identity_M = np.concatenate([part.identity_M for part in drawn])
    genuine_G, impostor_I = separability.pair_scores(condition_MD, identity_M, recipe.seed)
    varied_M = np.concatenate([part.index_M for part in drawn]) >= int(recipe.perturb.center_first)
    to_center_M = np.einsum("md,md->m", condition_MD, made.center_ND[identity_M])[
        varied_M
    ]  # not the centers themselves
    picture = run.report / "identities.png"
    figures.identities(made, recipe.identities.threshold, genuine_G, impostor_I, picture)
    return {
        "identities": people,
        "images_per_identity": per_id,
        "intra_class": separability.summary(genuine_G),
        "inter_class": separability.summary(impostor_I) if len(impostor_I) else None,
        "to_center": separability.summary(to_center_M),
        "eer": separability.equal_error_rate(genuine_G, impostor_I) if len(impostor_I) else None,
        "d_prime": separability.d_prime(genuine_G, impostor_I) if len(impostor_I) else None,
        "refused": vars(guard.refusals),
        "figure": str(picture),
    }


def _fits(capacity: int | None) -> str:
    from synthface.identity.confirm import MOST

    if not capacity:
        return ""
    return f"; about {capacity:,} would fit in all" if capacity < MOST else f"; more than {MOST:,} would fit in all"


def _text(content: dict[str, Any], wanted: int) -> str:
    largest, spread = content["largest_similarity"], content["similarity"]
    lines = [
        f"{content['identities']:,} identities in {content['file']}"
        + (f" ({wanted:,} were asked for; the file holds more)" if wanted < content["identities"] else ""),
        f"{content['candidates']:,} candidates, {content['acceptance']:.1%} accepted" + _fits(content["capacity"]),
    ]
    if largest is not None:
        lines.append(
            f"confirmed by faiss: largest similarity of two identities {largest:.6f} < {content['threshold']:g}"
            f" (mean {spread['mean']:.3f} ± {spread['std']:.3f})"
        )
    if content["largest_excluded_similarity"] is not None:
        lines.append(f"nearest excluded person: {content['largest_excluded_similarity']:.6f}")
    if "report" in content:
        report = content["report"]
        for name, label in (("intra_class", "within an identity"), ("inter_class", "between identities")):
            if report[name]:
                part = report[name]
                lines.append(
                    f"conditions {label:<20} {part['mean']:.3f} ± {part['std']:.3f}"
                    f"   1 %: {part['quantiles']['0.01']:.3f}   median: {part['quantiles']['0.5']:.3f}"
                    f"   99 %: {part['quantiles']['0.99']:.3f}"
                )
        if report["eer"] is not None:
            lines.append(f"EER {report['eer']:.3%}   d′ {report['d_prime']:.2f}   figure {report['figure']}")
    return "\n".join(lines)
