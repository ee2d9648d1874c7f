"""Everything that a run directory tells of itself, read from JSON, parquet and YAML. Any part may be missing.

Nothing is computed from pictures or embeddings here: a report of a directory that was copied without its records says the
same as one beside them. The sampled centers alone are hashed: are they the people who were rendered?
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthface import files
from synthface.errors import InputError, RecipeError
from synthface.identity import identities
from synthface.recipe import Recipe
from synthface.recipe import load as load_recipe
from synthface.report import auditing
from synthface.run import RunDirectory

_CURVE_POINTS = 400
CONTACT_SHEET = "contact_sheet.png"


@dataclass
class Facts:
    """What is known of a run; None and empty where a part is missing. `missing`: sentences about that.

    identities: the metadata of identities.safetensors. sampled: whether the people of the pictures are known to be those,
    and so nobody who exists; given: the embedding file that the recipe names in their place. render: render.json, or what the shards' markers add up to.
    dataset: counts from the manifest. fr, log: result.json and log.jsonl (thinned). generator_log: by stage.
    """

    run: RunDirectory
    recipe: Recipe | None = None
    recipe_text: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    identities: dict[str, Any] | None = None
    sampled: bool = False
    given: str | None = None
    render: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None
    contact_sheet: Path | None = None
    audit: dict[str, Any] | None = None
    worst_pairs: Path | None = None
    fr: dict[str, Any] | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    generator_log: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def gather(path: Path) -> Facts:
    """Reads a run directory. Raises InputError when it is none."""
    run = RunDirectory(path)
    if not path.is_dir() or not any(place.exists() for place in (run.record_file, run.recipe_file, run.dataset)):
        raise InputError(
            f"{path} is no run directory: it has neither recipe.yaml nor run.json nor a dataset.",
            "Name the directory that `synthface sample-ids`, `render` or `train-fr` worked in.",
        )
    facts = Facts(run)
    facts.record = _json(facts, run.record_file, "run.json: which values, versions and commands made this") or {}
    _recipe(facts)
    facts.identities = _identities(facts)
    named = facts.recipe.render.identities if facts.recipe else None
    facts.given = Path(named).name if named else None
    facts.sampled = facts.recipe is not None and facts.given is None and _rendered_the_sampled(facts)
    facts.render = _json(facts, run.render_file, None) or _shards(run.shards)
    if facts.render is None:
        facts.missing.append("No shards were rendered here: there are no counts of attempts and rejections.")
    facts.dataset = _dataset(facts)
    facts.contact_sheet = _file(run.dataset / CONTACT_SHEET)
    facts.audit = _json(facts, run.report / auditing.JSON, None)
    if facts.audit is None:
        facts.missing.append("The dataset has not been audited: `synthface audit` measures it.")
    elif "worst_pairs.png" in facts.audit["figures"]:
        facts.worst_pairs = _file(run.report / "worst_pairs.png")
    facts.fr = _json(facts, run.fr / "result.json", None)
    if facts.fr is None:
        facts.missing.append("No recogniser was trained here, or its training has not ended: `synthface train-fr`.")
    facts.log = thinned(_lines(run.fr / "log.jsonl"))
    for line in _lines(run.path / "generator-training" / "log.jsonl"):
        facts.generator_log.setdefault(str(line.get("stage", "generator")), []).append(line)
    facts.generator_log = {stage: thinned(lines) for stage, lines in facts.generator_log.items()}
    return facts


def thinned(lines: list[dict[str, Any]], points: int = _CURVE_POINTS) -> list[dict[str, Any]]:
    """At most so many lines: the means over equal spans of steps, at the last step of each."""
    if len(lines) <= points:
        return lines
    found = []
    for span in np.array_split(np.arange(len(lines)), points):
        part = [lines[k] for k in span.tolist()]
        numbers = {k for k, v in part[0].items() if isinstance(v, int | float) and not isinstance(v, bool)}
        means = {k: float(np.mean([line[k] for line in part if k in line])) for k in numbers}
        found.append({**part[-1], **means, "step": part[-1]["step"]})
    return found


def _json(facts: Facts, path: Path, told: str | None) -> dict[str, Any] | None:
    """The content of a file; None when it is missing (told: what it is, said then) or cannot be read (always said)."""
    if not path.is_file():
        if told is not None:
            facts.missing.append(f"There is no {told}.")
        return None
    try:
        content: dict[str, Any] = files.read_json(path)
    except InputError as error:
        facts.missing.append(f"{path.name} cannot be read: {error.problem}")
        return None
    return content


def _recipe(facts: Facts) -> None:
    try:
        facts.recipe = load_recipe(str(facts.run.recipe_file))
        facts.recipe_text = facts.run.recipe_file.read_text(encoding="utf-8")
    except (RecipeError, OSError) as error:
        told = error.problem if isinstance(error, RecipeError) else str(error.strerror)
        facts.missing.append(f"There is no recipe.yaml that can be read: {told}")


def _identities(facts: Facts) -> dict[str, Any] | None:
    path = facts.run.identities
    if not path.is_file():
        facts.missing.append("There is no identities.safetensors: who was sampled, and how, is not known here.")
        return None
    try:
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            content: dict[str, Any] = json.loads(file.metadata()["synthface"])
            content["count"] = int(file.get_slice("centers").get_shape()[0])
    except Exception as error:  # safetensors has errors of its own for damaged files
        facts.missing.append(f"identities.safetensors cannot be read: {str(error).splitlines()[0]}")
        return None
    return content


def _rendered_the_sampled(facts: Facts) -> bool:
    """Whether identities.safetensors is there, and run.json does not tell that others were rendered."""
    if facts.identities is None or facts.identities.get("format") != identities.FORMAT:
        return False
    decisive = facts.record.get("stages", {}).get("render", {}).get("decisive", {})
    rendered = decisive.get("identities_sha256")
    if rendered is None:
        return True
    from safetensors import safe_open

    groups = decisive.get("render.groups") or [{"ids": decisive.get("render.ids", 0)}]
    with safe_open(facts.run.identities, framework="numpy") as file:
        center_ND = np.ascontiguousarray(file.get_slice("centers")[: sum(group["ids"] for group in groups)])
    return bool(hashlib.sha256(center_ND.data).hexdigest() == rendered)


def _shards(folder: Path) -> dict[str, Any] | None:
    """The counts of all shards that have a marker: a rendering that is not finished yet."""
    made = []
    for path in sorted(folder.glob("?????.json")):
        with contextlib.suppress(InputError, KeyError, TypeError):
            content = files.read_json(path)
            made.append({name: content[name] for name in ("images", "images_wanted", "attempts", "rejected", "short", "seconds", "hardware")})  # fmt: skip
    if not made:
        return None
    total: dict[str, Any] = {name: sum(one[name] for one in made) for name in ("images", "images_wanted", "attempts")}
    for name in ("rejected", "short"):
        total[name] = dict(sum((Counter(one[name]) for one in made), Counter()))
    hardware = sorted({str(one["hardware"]) for one in made})
    return {**total, "shards": len(made), "device_seconds": sum(one["seconds"] for one in made), "hardware": hardware, "distributions": {}, "unfinished": True}  # fmt: skip


def _dataset(facts: Facts) -> dict[str, Any] | None:
    """Counts from the manifest, or from the audit where there is none."""
    from synthface.dataset import manifest

    folder = facts.run.dataset
    try:
        table = manifest.read(folder / manifest.NAME, ["label", "bytes"])
    except InputError as error:
        facts.missing.append(f"There is no packed dataset with a manifest: {error.problem}")
        return None
    label_N = table["label"].to_numpy()
    count_C = np.unique(label_N, return_counts=True)[1]
    spread = {"min": int(count_C.min()), "median": float(np.median(count_C)), "max": int(count_C.max())} if len(count_C) else {}  # fmt: skip
    return {
        "images": len(label_N),
        "identities": len(count_C),
        "bytes": int(table["bytes"].to_numpy().sum()),
        "images_per_identity": spread,
        "property": _property(folder / "property"),
    }


def _property(path: Path) -> str | None:
    """`112 × 112` from the file `property`."""
    with contextlib.suppress(OSError, ValueError):
        _, height, width = path.read_text(encoding="ascii").split(",")
        return f"{int(width)} × {int(height)}"
    return None


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a .jsonl that can be read and have a step; a torn one is left out."""
    found = []
    with contextlib.suppress(OSError):
        for text in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and "step" in line:
                    found.append(line)
    return found


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None
