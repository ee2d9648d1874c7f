"""When all shards are there: pack → verify → contact sheet → README."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthface import files
from synthface.dataset import pack
from synthface.dataset.preview import write_contact_sheet
from synthface.dataset.verify import verify
from synthface.errors import SynthfaceError
from synthface.render import shards, tally
from synthface.render.plan import Plan
from synthface.render.rendering import Order, Part
from synthface.run import RunDirectory

_RECORDS = ("train.rec", "train.idx", "train.lst", "property", "manifest.parquet")
CONTACT_SHEET = "contact_sheet.png"
_SHEET_IDS, _SHEET_PER_ID = 8, 8
WriteCard = Callable[[RunDirectory, Path], object]


@dataclass(frozen=True)
class Finished:
    """The dataset. hash: over the bytes of its files; again: it was there already."""

    dataset: Path
    hash: str
    images: int
    identities: int
    again: bool


def finish(order: Order, planned: Plan, part: Part | None, write_card: WriteCard) -> Finished | None:
    """Makes the dataset of a plan whose shards are all whole; None when not a single image was kept.

    Of several parts that end together one packs, the others find it done. Raises SynthfaceError when the dataset does
    not verify.
    """
    directory = order.run
    contents = {shard.number: files.read_json(shards.marker(directory.shards, shard)) for shard in planned.shards}
    with (
        directory.enter("pack", order.recipe, order.extra, together=part is not None),
        files.exclusive(directory.shards / ".pack.lock", "the dataset", wait=True),
    ):
        files.write_json(directory.render_file, summary(planned, contents))
        if not any(content["images"] for content in contents.values()):
            return None
        source = _source(order, contents)
        known = directory.record()["stages"]["pack"].get("made")
        if known and known["source"] == source and dataset_files(directory.dataset) == known["files"]:
            return _finished(directory, known, again=True)
        known = _make(order, planned, contents, source)
        write_card(directory, directory.dataset)
        directory.note("pack", made=known)
        return _finished(directory, known, again=False)


def _make(order: Order, planned: Plan, contents: dict[int, dict[str, Any]], source: str) -> dict[str, Any]:
    directory = order.run
    records = [shards.record(directory.shards, s) for s in planned.shards if contents[s.number]["images"]]
    packed = pack(records, directory.dataset, order.recipe.pack, order.recipe.seed, overwrite=True)
    report = verify(directory.dataset)
    if not report.ok:
        wrong = "".join(f"\n  {f.name}: {f.message}" for f in report.findings if f.level == "error")
        raise SynthfaceError(
            f"The packed dataset {directory.dataset} does not verify:{wrong}",
            f"\n`synthface verify {directory.dataset}` tells more; the shards are kept.",
        )
    write_contact_sheet(directory.dataset, directory.dataset / CONTACT_SHEET, ids=_SHEET_IDS, per_id=_SHEET_PER_ID)
    return {
        "source": source,
        "files": dataset_files(directory.dataset),
        "images": packed.images,
        "identities": packed.identities,
        "findings": [finding.as_json() for finding in report.findings],
    }


def summary(planned: Plan, contents: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """What render.json holds: the counts and distributions of all shards, and what it took."""
    made = list(contents.values())
    return {
        "format": "synthface.render/1",
        "plan": planned.hash,
        "identities": planned.identities,
        "shards": len(made),
        **tally.together(made),
        "device_seconds": round(sum(content["seconds"] for content in made), 1),
        "hardware": sorted({content["hardware"] for content in made}),
        "kinds": sorted({content["kind"] for content in made}),
        "precisions": sorted({content["precision"] for content in made}),
    }


def dataset_files(dataset: Path) -> dict[str, str]:
    """SHA-256 of each file that makes the dataset; missing files are left out."""
    return {name: files.sha256_file(dataset / name) for name in _RECORDS if (dataset / name).is_file()}


def dataset_hash(hashes: dict[str, str]) -> str:
    """One hash of all of them."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _source(order: Order, contents: dict[int, dict[str, Any]]) -> str:
    """Hash of what the dataset is packed from: the shards' bytes and the recipe of packing."""
    parts = [[number, content["files"]] for number, content in sorted(contents.items())]
    text = json.dumps([parts, order.recipe.pack.decisive(), order.recipe.seed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _finished(directory: RunDirectory, known: dict[str, Any], again: bool) -> Finished:
    return Finished(directory.dataset, dataset_hash(known["files"]), known["images"], known["identities"], again)
