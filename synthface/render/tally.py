"""What happened at the gate, counted: of a shard, and of all shards together."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.errors import PartlyDoneError
from synthface.render.gate import KEPT, REASONS, VALUES, table

_HOPELESS_IMAGES, _HOPELESS_PEOPLE = 100, 5  # given up without a single one kept, before all is given up

# lower edge, upper edge and number of the bins in which each value is counted; what lies outside falls into the last bin
_BINS = {
    "center_similarity": (-1.0, 1.0, 100),
    "reference_similarity": (-1.0, 1.0, 100),
    "detection_score": (0.0, 1.0, 50),
    "yaw": (-90.0, 90.0, 90),
    "pitch": (-90.0, 90.0, 90),
    "roll": (-90.0, 90.0, 90),
    "sharpness": (0.0, 5_000.0, 100),
    "duplicate_similarity": (-1.0, 1.0, 100),
}


@dataclass
class Tally:
    """Counts of one shard, from several threads. short_by: why images were given up, by the reason of their last attempt."""

    people: int = 0
    wanted: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    short_by: Counter[str] = field(default_factory=Counter)
    missing: list[tuple[int, int, str]] = field(default_factory=list)
    _values: list[NDArray[np.float32]] = field(default_factory=list)
    _kept: list[NDArray[np.bool_]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def judged(self, reasons: list[str], value_MG: NDArray[np.float32]) -> None:
        """A round: the reason against each picture and its VALUES."""
        with self._lock:
            self.rejected.update(reason for reason in reasons if reason != KEPT)
            self._values.append(value_MG)
            self._kept.append(np.array([reason == KEPT for reason in reasons]))

    def kept_so_far(self) -> tuple[int, int]:
        """How many of how many judged pictures were kept, whether or not their identities are done."""
        with self._lock:
            kept = sum(int(kept_M.sum()) for kept_M in self._kept)
        return kept, kept + self.rejected.total()

    def finished(self, identity: int, wanted: int, kept: int, missing: dict[int, str]) -> None:
        """An identity is done."""
        self.people += 1
        self.wanted += wanted
        self.kept += kept
        self.short_by.update(missing.values())
        self.missing += [(identity, index, reason) for index, reason in sorted(missing.items())]

    def refuse_hopeless(self) -> None:
        """As the function of this name, from what has been finished so far."""
        with self._lock:
            rejected = Counter(self.rejected)
        refuse_hopeless(self.people, self.wanted, self.kept, rejected)

    def content(self) -> dict[str, Any]:
        """For the shard's JSON; a function of the pictures alone."""
        value_MG = np.concatenate(self._values) if self._values else np.empty((0, len(VALUES)), np.float32)
        kept_M = np.concatenate(self._kept) if self._kept else np.empty(0, bool)
        return {
            "images": self.kept,
            "images_wanted": self.wanted,
            "attempts": self.kept + self.rejected.total(),
            "rejected": ordered(self.rejected),
            "short": ordered(self.short_by),
            "missing": [list(entry) for entry in sorted(self.missing)],
            "distributions": {
                name: distribution(value_MG[:, column], kept_M, *_BINS[name])
                for column, name in enumerate(VALUES)
                if not np.isnan(value_MG[:, column]).all()
            },
        }


def refuse_hopeless(people: int, images: int, kept: int, rejected: Mapping[str, int]) -> None:
    """Raises PartlyDoneError when so many people are done and not one of their images was kept: none will be."""
    if kept == 0 and images >= _HOPELESS_IMAGES and people >= _HOPELESS_PEOPLE:
        raise PartlyDoneError(
            f"None of the first {images:,} images passed the gate, in {sum(rejected.values()):,} attempts:{table(rejected)}",
            "\nLook at what the generator draws, or lower the gate's limits in another run directory.",
        )


def distribution(
    value_M: NDArray[np.float32], kept_M: NDArray[np.bool_], low: float, high: float, bins: int
) -> dict[str, Any]:
    """Histograms of a value over the kept and the rejected pictures, where it is known."""
    result: dict[str, Any] = {"low": low, "high": high, "bins": bins}
    for name, chosen_M in (("kept", kept_M), ("rejected", ~kept_M)):
        known = np.sort(value_M[chosen_M & ~np.isnan(value_M)].astype(np.float64))  # sorted: a sum without an order
        counts, _ = np.histogram(np.clip(known, low, high), bins=bins, range=(low, high))
        result[name] = {
            "count": len(known),
            "sum": float(known.sum()),
            "min": float(known[0]) if len(known) else None,
            "max": float(known[-1]) if len(known) else None,
            "histogram": counts.tolist(),
        }
    return result


def ordered(counter: Counter[str]) -> dict[str, int]:
    """Counts by reason in the order of REASONS."""
    return {reason: counter[reason] for reason in REASONS if counter[reason]}


def together(contents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The contents of many shards as one; the list of missing images is left to the shards."""
    total: dict[str, Any] = {"images": 0, "images_wanted": 0, "attempts": 0}
    rejected: Counter[str] = Counter()
    short: Counter[str] = Counter()
    spread: dict[str, Any] = {}
    for content in contents:
        for name in total:
            total[name] += content[name]
        rejected.update(content["rejected"])
        short.update(content["short"])
        for name, part in content["distributions"].items():
            spread[name] = _added(spread[name], part) if name in spread else part
    return {**total, "rejected": ordered(rejected), "short": ordered(short), "distributions": spread}


def _added(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    result = {key: a[key] for key in ("low", "high", "bins")}
    for name in ("kept", "rejected"):
        x, y = a[name], b[name]
        lows, highs = ([part[key] for part in (x, y) if part[key] is not None] for key in ("min", "max"))
        result[name] = {
            "count": x["count"] + y["count"],
            "sum": x["sum"] + y["sum"],
            "min": min(lows) if lows else None,
            "max": max(highs) if highs else None,
            "histogram": [p + q for p, q in zip(x["histogram"], y["histogram"], strict=True)],
        }
    return result
