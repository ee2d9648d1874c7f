"""The gate: which pictures are kept.

A round of a sitting is judged as a whole. Against its own person: the conditioning encoder's similarity to the center,
and whether another center is nearer; the verifier's similarity to the reference, which is the normalised mean over the
first attempts at the first images, whether or not they were kept. Against each other: a picture is a duplicate of an
earlier kept one, where earlier means an earlier round, or a lower image of the same round. Nothing depends on the order in
which pictures were drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.identity.nearest import Centers
from synthface.recipe.pictures import GateRecipe
from synthface.render.sitting import Shot, Sitting

Floats = NDArray[np.float32]
# reason → what is said of it, in the order in which a rejected picture is looked at; the first that applies is counted
REASONS = {
    "no_face": "no face was found",
    "detection_score": "detection score below gate.min_detection_score",
    "yaw": "turned further than gate.max_yaw",
    "pitch": "tilted further than gate.max_pitch",
    "sharpness": "less sharp than gate.min_sharpness",
    "center_similarity": "less like its center than gate.min_center_similarity",
    "nearest_center": "more like another center",
    "reference_similarity": "less like its reference than gate.min_reference_similarity",
    "duplicate": "nearly the same as another picture of the person",
}
VALUES = ("center_similarity", "reference_similarity", "detection_score", "yaw", "pitch", "roll", "sharpness",
          "duplicate_similarity")  # fmt: skip
KEPT = ""


class Gate:
    """Judges rounds. It remembers nothing itself: that is the sitting's matter."""

    def __init__(self, settings: GateRecipe, centers: Centers) -> None:
        self.settings, self.centers = settings, centers
        self._looks = any(
            limit is not None for limit in (settings.min_detection_score, settings.max_yaw, settings.max_pitch)
        )

    def judge(self, sitting: Sitting, shots: Sequence[Shot]) -> tuple[list[str], NDArray[np.float32]]:
        """The reason against each shot of a whole round, in the order of its images, and VALUES (M, 8), NaN: not known.

        An empty reason means kept. Updates the sitting's reference and its memory of kept pictures.
        """
        value = {name: np.full(len(shots), np.nan) for name in VALUES}
        for m, shot in enumerate(shots):
            if shot.detection_score is not None:
                value["detection_score"][m] = shot.detection_score
            if shot.pose is not None:
                value["yaw"][m], value["pitch"][m], value["roll"][m] = shot.pose
            if shot.sharpness is not None:
                value["sharpness"][m] = shot.sharpness
        unlike_M = self._against_center(sitting, shots, value)
        verified_MV = _stacked([shot.verified_V for shot in shots])
        self._against_reference(sitting, shots, verified_MV, value)
        reasons = self._reasons(shots, value, unlike_M)
        self._against_each_other(sitting, verified_MV, value, reasons)
        return reasons, np.column_stack([value[name] for name in VALUES]).astype(np.float32)

    def _against_center(
        self, sitting: Sitting, shots: Sequence[Shot], value: dict[str, NDArray[Any]]
    ) -> NDArray[np.bool_]:
        """Fills center_similarity; where another center is nearer."""
        stolen_M = np.zeros(len(shots), bool)
        embedding_MD = _stacked([shot.embedding_D for shot in shots])
        if embedding_MD is None:
            return stolen_M
        known = np.flatnonzero([shot.embedding_D is not None for shot in shots])
        identity_K = np.full(len(known), sitting.identity)
        own_K = self.centers.own_similarity(embedding_MD[known], identity_K)
        value["center_similarity"][known] = own_K
        if self.settings.nearest_center:
            stolen_M[known] = self.centers.nearer_to_another(embedding_MD[known], identity_K, own_K)
        return stolen_M

    def _against_reference(
        self, sitting: Sitting, shots: Sequence[Shot], verified_MV: Floats | None, value: dict[str, NDArray[Any]]
    ) -> None:
        if sitting.round == 0 and verified_MV is not None:
            first_RV = [
                shot.verified_V for shot in shots[: self.settings.reference_images] if shot.verified_V is not None
            ]
            sitting.reference_V = _mean_direction(first_RV)
        if sitting.reference_V is None or verified_MV is None:
            return
        for m, shot in enumerate(shots):
            if shot.verified_V is not None:
                value["reference_similarity"][m] = np.einsum(
                    "v,v->", shot.verified_V, sitting.reference_V, dtype=np.float64
                )

    def _reasons(self, shots: Sequence[Shot], value: dict[str, NDArray[Any]], stolen_M: NDArray[np.bool_]) -> list[str]:
        settings = self.settings
        no_crop_M = np.array([shot.crop_HWC is None for shot in shots])
        not_seen_M = np.isnan(value["detection_score"])
        checks = {
            "no_face": no_crop_M | (not_seen_M if self._looks else False),
            "detection_score": _below(value["detection_score"], settings.min_detection_score),
            "yaw": _below(-np.abs(value["yaw"]), None if settings.max_yaw is None else -settings.max_yaw),
            "pitch": _below(-np.abs(value["pitch"]), None if settings.max_pitch is None else -settings.max_pitch),
            "sharpness": _below(value["sharpness"], settings.min_sharpness),
            "center_similarity": _below(value["center_similarity"], settings.min_center_similarity),
            "nearest_center": stolen_M,
            "reference_similarity": _below(value["reference_similarity"], settings.min_reference_similarity),
        }
        reasons = [KEPT] * len(shots)
        for m in range(len(shots)):
            reasons[m] = next((name for name, failed_M in checks.items() if failed_M[m]), KEPT)
        return reasons

    def _against_each_other(
        self, sitting: Sitting, verified_MV: Floats | None, value: dict[str, NDArray[Any]], reasons: list[str]
    ) -> None:
        """In the order of the images: refuses duplicates of what was kept before, remembers what is kept now."""
        limit = self.settings.max_duplicate_similarity
        if limit is None or verified_MV is None:
            return
        before = len(sitting.kept_KV)
        all_AV = np.concatenate([np.stack(sitting.kept_KV), verified_MV]) if before else verified_MV
        similarity_MA = verified_MV @ all_AV.T
        kept = list(range(before))
        for m, reason in enumerate(reasons):
            if reason != KEPT:
                continue
            nearest = similarity_MA[m, kept].max() if kept else np.nan
            value["duplicate_similarity"][m] = nearest
            if nearest > limit:
                reasons[m] = "duplicate"
            else:
                kept.append(before + m)
                sitting.kept_KV.append(verified_MV[m])


def table(counts: Mapping[str, int]) -> str:
    """Counts by reason, one line each, most frequent first."""
    lines = sorted(counts.items(), key=lambda item: -item[1])
    return "".join(f"\n  {count:>9,}  {REASONS.get(reason, reason)}" for reason, count in lines)


def _below(value_M: NDArray[Any], limit: float | None) -> NDArray[np.bool_]:
    """Where a value is below the limit, or is not known though there is a limit."""
    if limit is None:
        return np.zeros(len(value_M), bool)
    failed_M: NDArray[np.bool_] = ~(value_M.astype(np.float32) >= np.float32(limit))
    return failed_M


def _stacked(rows: Sequence[Floats | None]) -> Floats | None:
    """(M, d) with zeros for absent rows; None where all are absent."""
    known = next((row for row in rows if row is not None), None)
    if known is None:
        return None
    return np.stack([np.zeros_like(known) if row is None else row for row in rows])


def _mean_direction(rows: Sequence[Floats]) -> Floats | None:
    """The normalised mean; None for no rows, or when they cancel out."""
    if not rows:
        return None
    mean_V = np.mean(np.stack(rows).astype(np.float64), axis=0)
    length = float(np.sqrt(np.einsum("v,v->", mean_V, mean_V)))
    return None if length < 1e-6 else (mean_V / length).astype(np.float32)
