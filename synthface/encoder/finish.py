"""The end of `embed`: rows → the embedding file, with labels, indices and facts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.encoder import formats
from synthface.encoder.sources import Sources
from synthface.encoder.store import Store
from synthface.identity import average
from synthface.progress import Progress, say


def finish(store: Store, sources: Sources, out: Path, one_a_person: bool) -> dict[str, Any]:
    """The file from the finished rows; gives the facts that are stored with it."""
    tally = store.tally
    people = len(np.unique(store.column("labels"))) if sources.labelled or one_a_person else None
    facts = {
        "task": store.task,
        "one_a_person": one_a_person,
        "embeddings": people if one_a_person else tally.rows,
        "dimension": store.layout.dimension,
        "people": people,
        **tally.facts(),
        "passed_over": {reason: count for reason, count in sorted(sources.skipped.items()) if count},
    }
    target, columns = store, {"indices": store.column("indices")}
    if sources.labelled:
        columns["labels"] = store.column("labels")
    if one_a_person:
        target, columns = _averaged(store, sources.labelled)
    if sources.labelled and not store.layout.columns:
        say(f"{out} has no place for the labels; .npz and .safetensors have.")
    if tally.skipped:
        files.write_bytes(out.with_name(f"{out.name}.skipped.tsv"), (store.folder / "skipped").read_bytes())
    if out.suffix == ".npy":
        files.write_json(_facts_file(out), facts)
    target.finish(out, columns, facts)
    return facts


def _averaged(store: Store, labelled: bool) -> tuple[Store, dict[str, NDArray[np.int64]]]:
    """A store of one row a person, made anew from the rows, and its columns."""
    folder = store.folder / "people"
    shutil.rmtree(folder, ignore_errors=True)
    means = Store(folder, store.task, store.layout)
    labels, counts = [], []
    with Progress(store.tally.rows, "embeddings", "averaging") as progress:
        for people in average.by_person(store.rows(), store.column("labels")):
            means.append(people.mean_PD, people.label_P, people.count_P, [])
            means.tally.rows += len(people.label_P)
            labels.append(people.label_P)
            counts.append(people.count_P)
            progress.update(int(people.count_P.sum()))
    means.mark()
    means.save()
    columns = {"counts": np.concatenate(counts)}
    if labelled:
        columns["labels"] = np.concatenate(labels)
    return means, columns


def facts_of(out: Path) -> dict[str, Any] | None:
    """What a file of ours tells of itself; None for files of others."""
    if out.suffix != ".npy":
        return formats.read_facts(out)
    if not _facts_file(out).exists():
        return None
    facts: dict[str, Any] = files.read_json(_facts_file(out))
    return facts


def _facts_file(out: Path) -> Path:
    """Beside a .npy, which has no place for facts."""
    return out.with_name(f"{out.name}.json")
