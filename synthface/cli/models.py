"""`synthface models`: the public weights: list, pull, verify."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from synthface.cli.options import debug_option, emit, json_option
from synthface.errors import UsageError
from synthface.progress import say
from synthface.zoo import CATALOGUE, Model, entry, models_of
from synthface.zoo import places as places_of


@click.group(
    "models",
    help="The public weights: what there is and on what terms, pull, verify.\n\n"
    "They lie in $SYNTHFACE_MODELS, else in synthface/models of the user's cache. $HF_ENDPOINT names a mirror, "
    "HF_HUB_OFFLINE=1 forbids the network. Nothing is downloaded but by `pull`.\n\n"
    "\b\nExamples:\n"
    "  synthface models list\n"
    "  synthface models pull arc2face sd15-base arcface scrfd\n"
    "  synthface models pull --recipe arc2face-0.5m --yes\n"
    "  synthface models verify",
)
def command() -> None:
    pass


@command.command(
    "list",
    help="The public models; with NAME..., all that is known of these: source, revision, files, terms.\n\n"
    "\b\nExamples:\n  synthface models list\n  synthface models list arc2face --json",
)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@json_option
@debug_option
def list_(names: tuple[str, ...], as_json: bool) -> None:
    chosen = [entry(name) for name in names] or list(CATALOGUE.values())
    content = {"folder": str(places_of.root()), "models": [_content(model) for model in chosen]}
    if names:
        emit(as_json, content, "\n\n".join(_details(model) for model in chosen))
        return
    from synthface.zoo.pull import amount

    width = max(len(model.name) for model in chosen)
    lines = [
        f"{model.name:<{width}}  {'here' if not places_of.missing(model) else 'absent':<6}  {amount(model.size):>7}  "
        f"{model.summary}\n{'':<{width + 19}}{model.licence}"
        for model in chosen
    ]
    emit(as_json, content, "\n".join([*lines, f"They lie in {places_of.root()}."]))


@command.command(
    "pull",
    help="Bring models here. Source, size, licence and terms are shown first and must be agreed to, with --yes where "
    "nobody can be asked. An interrupted pull goes on; every file is checked by its hash.\n\n"
    "\b\nExamples:\n"
    "  synthface models pull arcface scrfd\n"
    "  synthface models pull --recipe arc2face-0.5m --yes\n"
    "  synthface models pull arc2face --from /media/weights",
)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--recipe", "recipe_name", metavar="NAME|FILE", help="Everything that this recipe uses.")
@click.option("--from", "source", type=click.Path(path_type=Path), help="A local folder that holds the files.")
@click.option("--yes", is_flag=True, help="Agree to the terms.")
@json_option
@debug_option
def pull(names: tuple[str, ...], recipe_name: str | None, source: Path | None, yes: bool, as_json: bool) -> None:
    from synthface.zoo.pull import bring
    from synthface.zoo.pull import pull as pull_model

    wanted = [entry(name) for name in names]
    if recipe_name is not None:
        from synthface import recipe as recipes

        wanted += [CATALOGUE[name] for name in models_of(recipes.load(recipe_name)) if name not in names]
    if not wanted and recipe_name is None:
        raise UsageError("Which models?", "Give names (`synthface models list` shows them) or --recipe NAME.")
    # files that lie there by hand are no agreement to the terms
    new = [model for model in wanted if places_of.missing(model) and not places_of.was_pulled(model)]
    if new:
        _agree(new, yes)
    pulled = {model.name: bring(model, source) if source else pull_model(model) for model in wanted}
    places = {model.name: str(places_of.weights(model.name)) for model in wanted}
    lines = [f"{name}: {places[name]}{'' if pulled[name] else ' (was here)'}" for name in places]
    emit(as_json, {"pulled": pulled, "places": places}, "\n".join(lines) or "The recipe uses no public models.")


@command.command(
    "verify",
    help="Compare every file with its hash: the catalogue's, else the one recorded at the first pull.\n\n"
    "Exit code 1 when a file is missing, cut off or changed.\n\n"
    "\b\nExamples:\n  synthface models verify\n  synthface models verify arc2face --json",
)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@json_option
@debug_option
def verify(names: tuple[str, ...], as_json: bool) -> int:
    from synthface.zoo.pull import verify as verify_model

    chosen = [entry(name) for name in names] or [
        model for model in CATALOGUE.values() if len(places_of.missing(model)) < len(model.files)
    ]
    states = {model.name: verify_model(model) for model in chosen}
    bad = [name for name, files in states.items() if not {*files.values()} <= {"right", "recorded"}]
    lines = [f"{state:<9} {name}/{path}" for name, files in states.items() for path, state in files.items()]
    if bad:
        lines.append(f"Mend with: synthface models pull {' '.join(bad)}")
    emit(as_json, {"models": states, "ok": not bad}, "\n".join(lines) or f"There are none in {places_of.root()}.")
    return 1 if bad else 0


def _agree(models: Sequence[Model], yes: bool) -> None:
    """Shows what will be brought and on what terms. Raises UsageError without agreement."""
    say("\n\n".join(_details(model) for model in models))
    if yes:
        return
    names = ", ".join(model.name for model in models)
    fix = "Say --yes to agree to the terms above."
    if not sys.stdin.isatty():
        raise UsageError(f"Nobody can be asked whether the terms of {names} are agreed to.", fix)
    if not click.confirm("\nPull them on these terms?", err=True):
        raise UsageError(f"The terms of {names} were not agreed to; nothing was pulled.", fix)


def _details(model: Model) -> str:
    from synthface.zoo.pull import amount

    files = "\n".join(f"    {amount(file.size):>12}  {file.path}" for file in model.files)
    return (
        f"{model.name}: {model.summary}\n"
        f"  source    {model.url or f'{places_of.endpoint()}/{model.repository}'}, revision {model.revision}\n"
        f"  licence   {model.licence}\n"
        f"  terms     {model.terms}\n"
        f"  goes to   {places_of.folder(model)}\n"
        f"  files     {amount(model.size)} in all\n{files}"
    )


def _content(model: Model) -> dict[str, Any]:
    missing = [file.path for file in places_of.missing(model)]
    known = places_of.record(model)["files"]
    return {
        "name": model.name,
        "role": model.role,
        "summary": model.summary,
        "repository": model.repository,
        "revision": model.revision,
        "licence": model.licence,
        "terms": model.terms,
        "place": str(places_of.folder(model)),
        "here": not missing,
        "missing": missing,
        "bytes": model.size,
        "files": [
            {
                "path": file.path,
                "bytes": known.get(file.path, {}).get("size", file.size),
                "sha256": file.sha256 or known.get(file.path, {}).get("sha256"),
            }
            for file in model.files
        ],
    }
