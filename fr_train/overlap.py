"""Are people of a benchmark in the training data? Nearest-neighbour similarity of every benchmark face (ours).

Class means hide such leaks: one stray photograph of a benchmark person inside another class moves no mean. So every
training image is compared with every benchmark image, in one pass that keeps only the nearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_train.data.decode import decode_into
from fr_train.data.sources import Source, open_source
from fr_train.embed import EmbeddedSet
from fr_train.models import Embedder
from synthface.errors import InputError
from synthface.progress import Progress, say

LEVELS = (0.4, 0.5, 0.6, 0.7)
_SHOWN = 20  # nearest pairs listed


@dataclass(frozen=True)
class TrainingImages:
    """Batches of (a name or key of each image, image_BHWC uint8 RGB of the network's size), and their number if known."""

    batches: Iterable[tuple[Sequence[Any], NDArray[np.uint8]]]
    total: int | None = None


def training_images(path: str | Path, image_size: int, batch_size: int) -> TrainingImages:
    """The pictures of a RecordIO folder or class folder in their order; what cannot be decoded is named and left out.

    Raises InputError when there is no dataset, or it holds no pictures.
    """
    source = open_source(Path(path))
    return TrainingImages(_decoded(source, image_size, batch_size), len(source.labels_N))


def _decoded(source: Source, image_size: int, batch_size: int) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
    number = len(source.labels_N)
    for start in range(0, number, batch_size):
        indices = range(start, min(start + batch_size, number))
        image_BHWC = np.empty((len(indices), image_size, image_size, 3), np.uint8)
        keys: list[str] = []
        for index, payload in zip(indices, source.payloads(indices), strict=True):
            try:
                decode_into(payload, image_BHWC[len(keys)])
                keys.append(source.key(index))
            except ValueError:
                say(f"Skipped: {source.key(index)} cannot be decoded.")
        if keys:
            yield keys, image_BHWC[: len(keys)]


@dataclass
class _Nearest:
    """Of each benchmark image, the largest cosine similarity so far and the training image it belongs to."""

    unit_ID: NDArray[np.float32]
    similarity_I: NDArray[np.float32]
    key_I: NDArray[np.object_]

    def see(self, unit_BD: NDArray[np.float32], keys: Sequence[Any]) -> None:
        similarity_IB = self.unit_ID @ unit_BD.T
        best_I = similarity_IB.argmax(axis=1)
        similarity_I = similarity_IB[np.arange(len(best_I)), best_I]
        closer_I = similarity_I > self.similarity_I
        self.similarity_I[closer_I] = similarity_I[closer_I]
        self.key_I[closer_I] = [keys[best] for best in best_I[closer_I]]


def audit(model: Embedder, training: TrainingImages, embedded: Sequence[EmbeddedSet]) -> dict[str, Any]:
    """Per benchmark: how similar the nearest training face of each of its faces is, beside what to expect without overlap.

    `expected_maximum` is the largest similarity that a face has to M strangers when similarities between strangers are
    normal with the mean and spread of the benchmark's own different pairs: mean + std · Φ⁻¹(1 − 1/M). `suspects` are
    faces whose nearest training face is at least as similar as the median same pair. Memory does not grow with M.
    """
    nearest = [_start(one.embedding_ID) for one in embedded]
    seen = 0
    with Progress(training.total, "images", "training data") as progress:
        for keys, image_BHWC in training.batches:
            unit_BD = _unit(model(image_BHWC))
            for one in nearest:
                one.see(unit_BD, keys)
            seen += len(keys)
            progress.update(len(keys))
    if seen == 0:
        raise InputError("The training data for the overlap audit holds no images.", "Name a dataset with images.")
    sets = {one.name: _describe(one, found, seen) for one, found in zip(embedded, nearest, strict=True)}
    return {"training_images": seen, "benchmarks": sets}


def _describe(one: EmbeddedSet, nearest: _Nearest, seen: int) -> dict[str, Any]:
    from scipy.stats import norm

    unit_ID = nearest.unit_ID
    pair_N = np.einsum("nd,nd->n", unit_ID[0::2], unit_ID[1::2])
    same_N, different_N = pair_N[one.issame_N], pair_N[~one.issame_N]
    similarity_I = nearest.similarity_I
    described: dict[str, Any] = {
        "faces": len(similarity_I),
        "mean": float(similarity_I.mean()),
        "p50": float(np.percentile(similarity_I, 50)),
        "p99": float(np.percentile(similarity_I, 99)),
        "max": float(similarity_I.max()),
        "share_above": {str(level): float((similarity_I > level).mean()) for level in LEVELS},
        "expected_maximum": None,
        "same_person_p50": None,
        "suspects": None,
    }
    if len(different_N) > 1:
        far_out = float(norm.isf(1 / max(seen, 2)))
        described["expected_maximum"] = float(different_N.mean() + far_out * different_N.std())
    if len(same_N):
        described["same_person_p50"] = float(np.median(same_N))
        described["suspects"] = float((similarity_I >= np.median(same_N)).mean())
    order = np.argsort(-similarity_I, kind="stable")[:_SHOWN]
    described["nearest"] = [
        {"face": int(face), "training": nearest.key_I[face], "similarity": float(similarity_I[face])} for face in order
    ]
    return described


def _start(embedding_ID: NDArray[np.float32]) -> _Nearest:
    number = len(embedding_ID)
    return _Nearest(_unit(embedding_ID), np.full(number, -np.inf, np.float32), np.full(number, None, object))


def _unit(embedding_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    norm_N1 = np.linalg.norm(embedding_ND, axis=1, keepdims=True)
    unit_ND: NDArray[np.float32] = (embedding_ND / np.where(norm_N1 == 0, 1, norm_N1)).astype(np.float32)
    return unit_ND
