"""Audit of embeddings against the loop over classes that this field's scripts run, on the same rows in one process.

The peer goes through the people one after the other, with numpy's products inside: similarities of the person's pictures
to each other, to their mean, to all centers and to all references; a center against those before it; and pairs of people
drawn at random until there are as many impostor pairs. Everything is in memory, each person's rows lie together, and
results are collected as arrays. Both sides compute the same figures with the same number of BLAS threads, in turns within
one run; the figures stand side by side in the result. Ours begins with the files and ends with more: histograms, ROC,
diversity, packing, nearest centers, Fréchet distance and spread.

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


def loop_over_classes(people: list[np.ndarray], references: np.ndarray, impostors: int) -> dict[str, Any]:
    """The same figures, one person after the other. people: each one's rows."""
    genuine, centers, consistent, own = [], [], [], []
    for x in people:
        similarity = x @ x.T
        genuine.append(similarity[np.triu_indices(len(x), 1)])
        center = x.mean(axis=0)
        center /= np.linalg.norm(center)
        own.append(x @ center)
        consistent.append((own[-1] > THRESHOLD).mean())
        centers.append(center)
    center_CD = np.stack(centers)
    unique = sum(k == 0 or (center_CD[:k] @ center_CD[k]).max() < THRESHOLD for k in range(len(center_CD)))
    noise, nearest = 0, []
    for label, x in enumerate(people):
        noise += int(((x @ center_CD.T).argmax(axis=1) != label).sum())
        nearest.append((x @ references.T).max(axis=1))
    rng, impostor, found = np.random.default_rng(0), [], 0
    while found < impostors:
        a, b = rng.choice(len(people), 2, replace=False)
        impostor.append((people[a] @ people[b].T).ravel())
        found += len(impostor[-1])
    g, i = np.concatenate(genuine), np.concatenate(impostor)
    return {
        "unique": unique / len(people),
        "consistency": float(np.mean(consistent)),
        "genuine_mean": float(g.mean(dtype=np.float64)),
        "impostor_mean": float(i.mean(dtype=np.float64)),
        "eer": equal_error_rate(g, i),
        "label_noise": noise / sum(map(len, people)),
        "leakage_p99": float(np.quantile(np.concatenate(nearest), 0.99)),
    }


def ours(file: Path, references: Path, settings: AuditRecipe) -> dict[str, Any]:
    content = audit(open_embeddings([file]), settings, 0, open_embeddings([references])).content
    return {
        "unique": content["uniqueness"]["share"],
        "consistency": content["consistency"]["share"],
        "genuine_mean": content["separability"]["genuine"]["mean"],
        "impostor_mean": content["separability"]["impostor"]["mean"],
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
        begin = time.perf_counter()
        ours(file, real, settings)
        first, peak = time.perf_counter() - begin, measure.peak_mib()
        people = np.split(rows, range(chosen.each, len(rows), chosen.each))
        for _ in range(chosen.rounds):
            begin = time.perf_counter()
            mine = ours(file, real, settings)
            middle = time.perf_counter()
            peers = loop_over_classes(people, references, impostors)
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
            "first_call_seconds": round(first, 2),
            "seconds": [round(t, 2) for t in times[0]],
            "peer_seconds": [round(t, 2) for t in times[1]],
            "ratio": round(statistics.median(p / m for m, p in zip(*times, strict=True)), 2),
            "embeddings_per_second": round(len(rows) / statistics.median(times[0])),
            "figures": mine,
            "peer_figures": peers,
            "peak_mib_before": round(before),
            "peak_mib": round(peak),
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
