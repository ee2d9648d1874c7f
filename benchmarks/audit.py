"""Audit of embeddings against the loop over classes that this field's scripts run, on the same rows in one process.

The peer is what the public evaluation scripts of such datasets do, with numpy in place of torch: for each person the matrix of
similarities, its upper triangle, and the rows' similarity to the mean; uniqueness by comparing each center with those before
it; impostor pairs by visiting pairs of people until as many are collected; the nearest center and the nearest reference of
each picture by one product a picture. Both sides compute the same figures from the same array in memory or file, with the
same number of BLAS threads, in turns; the figures are compared.

    python benchmarks/audit.py --keep
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
import numpy as np

from synthface.identity.audit import audit
from synthface.identity.embeddings import open_embeddings
from synthface.identity.separability import equal_error_rate
from synthface.recipe.audit import AuditRecipe

THRESHOLD = 0.3


def world(people: int, each: int, dimension: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows, `each` pictures a person at a mean cosine of about .6 to each other."""
    rng = np.random.default_rng(seed)
    center = rng.standard_normal((people, dimension), np.float32)
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    noise = rng.standard_normal((people * each, dimension), np.float32) * np.float32(0.8 / dimension**0.5)
    rows = np.repeat(center, each, axis=0) + noise
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), np.repeat(np.arange(people), each)


def loop_over_classes(rows: np.ndarray, labels: np.ndarray, references: np.ndarray, impostors: int) -> dict[str, Any]:
    """The same figures, one person after the other."""
    classes = np.unique(labels)
    genuine, centers, own, consistent = [], [], np.empty(len(rows)), []
    for label in classes:
        members = np.flatnonzero(labels == label)
        x = rows[members]
        similarity = x @ x.T
        genuine.extend(similarity[np.triu_indices(len(x), 1)].tolist())
        center = x.mean(axis=0)
        center /= np.linalg.norm(center)
        own[members] = x @ center
        consistent.append((own[members] > THRESHOLD).mean())
        centers.append(center)
    center_CD = np.stack(centers)
    unique = sum(k == 0 or (center_CD[:k] @ center_CD[k]).max() < THRESHOLD for k in range(len(center_CD)))
    rng, impostor = np.random.default_rng(0), []
    while len(impostor) < impostors:
        a, b = rng.choice(len(classes), 2, replace=False)
        impostor.extend((rows[labels == classes[a]] @ rows[labels == classes[b]].T).ravel().tolist())
    noise, nearest = 0, np.empty(len(rows), np.float32)
    for k, row in enumerate(rows):
        noise += int((center_CD @ row).argmax() != labels[k])
        nearest[k] = (references @ row).max()
    g, i = np.array(genuine), np.array(impostor)
    return {
        "unique": unique / len(classes),
        "consistency": float(np.mean(consistent)),
        "genuine_mean": float(g.mean()),
        "eer": equal_error_rate(g, i),
        "label_noise": noise / len(rows),
        "leakage_p99": float(np.quantile(nearest, 0.99)),
    }


def ours(file: Path, references: Path, settings: AuditRecipe) -> dict[str, Any]:
    content = audit(open_embeddings([file]), settings, 0, open_embeddings([references])).content
    return {
        "unique": content["uniqueness"]["share"],
        "consistency": content["consistency"]["share"],
        "genuine_mean": content["separability"]["genuine"]["mean"],
        "eer": content["separability"]["eer"],
        "label_noise": content["label_noise"]["share"],
        "leakage_p99": content["leakage"]["p99"],
    }


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--people", type=int, default=2_000)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--references", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    rows, labels = world(chosen.people, chosen.each, chosen.dimension, seed=0)
    references, _ = world(chosen.references, 1, chosen.dimension, seed=1)
    settings = AuditRecipe(threshold=THRESHOLD, impostor_images=2_000)
    impostors = 2_000 * 1_999 // 2
    times: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as place:
        file, real = Path(place) / "rows.npz", Path(place) / "references.npy"
        np.savez(file, embeddings=rows, labels=labels)
        np.save(real, references)
        before = measure.peak_mib()
        for _ in range(chosen.rounds):
            begin = time.perf_counter()
            mine = ours(file, real, settings)
            middle = time.perf_counter()
            peers = loop_over_classes(rows, labels, references, impostors)
            times[0].append(middle - begin)
            times[1].append(time.perf_counter() - middle)
    measure.report(
        "audit",
        {
            "pictures": len(rows),
            "people": chosen.people,
            "references": chosen.references,
            "dimension": chosen.dimension,
            "impostor_pairs": impostors,
            "seconds": [round(t, 2) for t in times[0]],
            "peer_seconds": [round(t, 2) for t in times[1]],
            "ratio": round(statistics.median(p / m for m, p in zip(*times, strict=True)), 2),
            "embeddings_per_second": round(len(rows) / statistics.median(times[0])),
            "figures": mine,
            "peer_figures": peers,
            "peak_mib_before": round(before),
            "peak_mib": round(measure.peak_mib()),
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
