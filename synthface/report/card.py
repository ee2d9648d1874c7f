"""The dataset's README.md: what it is, how to load it, whose terms it inherits, what it is worth, what it is not for."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from synthface import files
from synthface.report import licences, tables
from synthface.report.gather import Facts, gather
from synthface.report.page import environment
from synthface.run import RunDirectory
from synthface.zoo import shipped

NAME = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))  # fmt: skip


def write_card(run: RunDirectory, dataset: Path) -> Path:
    """Writes `dataset`/README.md from the records of `run`; gives its path. Parts that are not known are said to be so.

    `render` calls it when the dataset is packed, `audit` and `report` when they know more. Raises InputError when `run` is
    no run directory.
    """
    path = dataset / NAME
    files.write_text(path, card(gather(run.path)))
    return path


def card(facts: Facts) -> str:
    """The text of the card, with its head."""
    links = licences.chain(facts.recipe, facts.record, sampled=facts.sampled) if facts.recipe else []
    return environment(autoescape=False).get_template("card.md").render(
        head=yaml.safe_dump(_head(facts, links), sort_keys=False, allow_unicode=True).rstrip(),
        title=_title(facts),
        facts=facts,
        generated=_generated(facts),
        images=facts.dataset["images"] if facts.dataset else 0,
        identities=facts.dataset["identities"] if facts.dataset else 0,
        demonstration=facts.recipe is not None and facts.recipe.generator.model in shipped.GENERATORS,
        arc2face=facts.recipe is not None and facts.recipe.generator.model == "arc2face",
        judge=tables.judge(facts.audit, mark="`") if facts.audit else "",
        links=links,
        restricted=[(link.name, licences.reason(link)) for link in licences.restricted(links)],
        audit_table=tables.table(["figure", "value", "what it says"], tables.lines(facts.audit)) if facts.audit else "",
        balances=[(n, tables.table(["group", "people", "share", "pictures"], tables.group_rows(b))) for n, b in tables.balances(facts.audit)] if facts.audit else [],
        version=metadata.version("synthface"),
    )  # fmt: skip


def _title(facts: Facts) -> str:
    name = facts.recipe.name if facts.recipe else "dataset"
    people = "people who do not exist" if facts.sampled else "people"
    if not facts.dataset:
        return f"{name}: faces of {people}"
    return f"{name}: {facts.dataset['images']:,} pictures of {facts.dataset['identities']:,} {people}"


def _generated(facts: Facts) -> bool:
    """Whether it is recorded that the pictures were rendered here; packed ones may be photographs."""
    return facts.render is not None or "render" in facts.record.get("stages", {})


def _head(facts: Facts, links: list[licences.Link]) -> dict[str, Any]:
    """What Hugging Face reads."""
    licence = licences.hub_licence(links)
    head: dict[str, Any] = {"pretty_name": _title(facts), "license": licence}
    if licence == "other":
        head |= {"license_name": "inherited-terms", "license_link": "README.md#terms"}
    images = facts.dataset["images"] if facts.dataset else 0
    return {
        **head,
        "task_categories": ["image-classification", "image-feature-extraction"],
        "tags": [
            "face-recognition",
            "face-verification",
            *(["synthetic"] if _generated(facts) else []),
            "recordio",
            "synthface",
        ],
        "size_categories": [next((name for most, name in _SIZES if images < most), "n>10M" if images else "unknown")],
        "configs": [{"config_name": "manifest", "data_files": "manifest.parquet"}],
    }
