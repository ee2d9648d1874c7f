"""Which variation a training set teaches: how alike recognisers find two pictures of a person that differ in one thing.

Computed people stand for a plain portrait, and again with one group of nuisances as photographs have it: pose, expression,
light, crop, camera. Where a recogniser of one training set finds them less alike than that of another, its set taught it less
about that variation. The first recogniser is the yardstick.

    python benchmarks/nuisances.py computed=table2/parametric-500/fr/model.pt synthetic=table2/synthetic-500/fr/model.pt --keep
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
from numpy.typing import NDArray

from fr_train.models import open_model
from synthface.identity.sphere import normalize
from synthface.parametric import population
from synthface.parametric.dimensions import NUISANCES, nuisance_index, plain_nuisance
from synthface.parametric.render import render

SEED, CROWD = 9, "nuisances"
GROUPS: dict[str, tuple[str, ...]] = {
    "yaw": ("yaw",),
    "pitch and roll": ("pitch", "roll"),
    "crop and distance": ("crop_", "distance"),
    "expression": (
        "smile", "jaw_open", "lips_parted", "pucker", "sadness", "brow_raise", "frown", "blink", "gaze_",
    ),
    "age": ("age",),
    "grooming": ("beard_growth", "makeup", "hair_"),
    "glasses": ("glasses",),
    "covered": ("mask", "occluder"),
    "light": ("light_",),
    "surroundings": ("background_", "clothes_"),
    "colour": ("white_balance", "tint", "saturation"),
    "exposure": ("exposure", "contrast"),
    "blur and noise": ("blur", "motion", "noise", "resolution", "jpeg"),
}  # fmt: skip

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def indices(prefixes: tuple[str, ...]) -> list[int]:
    """The places of a group in the nuisance vector."""
    return [nuisance_index(name) for name in NUISANCES if name.startswith(prefixes)]


def pictures(people: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.uint8]]]:
    """Plain portraits (P, 112, 112, 3), and the same people with each group as photographs have it; `all`: everything."""
    person_P = np.arange(people)
    identity_PD = population.identities(SEED, CROWD, person_P)
    usual_PM, wild_PM = (
        population.nuisances(SEED, CROWD, person_P, np.full(people, k), population.WILD) for k in (0, 1)
    )
    plain_PM = np.repeat(plain_nuisance(1), people, axis=0)
    kept = indices(GROUPS["age"] + GROUPS["grooming"])  # as these people usually look
    plain_PM[:, kept] = usual_PM[:, kept]
    drawn = {}
    for k, (name, prefixes) in enumerate({**GROUPS, "all": ("",)}.items()):
        vector_PM, group = plain_PM.copy(), indices(prefixes)
        vector_PM[:, group] = wild_PM[:, group]
        drawn[name] = render(identity_PD, vector_PM, person_P + 1_000 * (k + 1)).image_NHWC
    return render(identity_PD, plain_PM, person_P).image_NHWC, drawn


def likeness(embed: Embed, plain: NDArray[np.uint8], drawn: dict[str, NDArray[np.uint8]]) -> dict[str, float]:
    """Mean similarity to the plain portrait for each group."""

    def embedded(image_PHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return normalize(
            np.concatenate([embed(part) for part in np.array_split(image_PHWC, -(-len(image_PHWC) // 50))])
        )

    plain_PD = embedded(plain)
    return {
        name: round(float(np.einsum("pd,pd->p", plain_PD, embedded(image)).mean()), 4) for name, image in drawn.items()
    }


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL", help="recognisers; the first is the yardstick")
    parser.add_argument("--people", type=int, default=150)
    chosen = parser.parse_args()
    plain, drawn = pictures(chosen.people)
    named = dict(model.split("=", 1) for model in chosen.models)
    similarity: dict[str, dict[str, float]] = {
        name: likeness(open_model(Path(path)), plain, drawn) for name, path in named.items()
    }
    yardstick, *others = similarity
    lost: dict[str, Any] = {
        name: {
            group: round((1 - similarity[name][group]) / max(1 - similarity[yardstick][group], 1e-9), 2)
            for group in drawn
        }
        for name in others
    }
    measure.report(
        "nuisances",
        {"people": chosen.people, "similarity_to_the_plain_portrait": similarity, f"lost_as_{yardstick}_loses": lost},
        chosen.keep,
    )


if __name__ == "__main__":
    main()
