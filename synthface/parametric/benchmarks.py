"""Five verification sets of people whom no training has seen, in the manner of the field's five (ours).

    mixed            as LFW        photographs as they come
    frontal_profile  as CFP-FP     one looks at the camera, one to the side
    cross_pose       as CPLFW      40 degrees or more between the two
    age_gap_30       as AgeDB-30   30 years or more between the two
    cross_age        as CALFW      15 years or more between the two

Written as insightface's `.bin`. Each of ten folds holds as many pairs of one person as of two; the two are alike in
sex, skin and hair.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.errors import UsageError, did_you_mean
from synthface.parametric import population
from synthface.parametric.dimensions import identity_index
from synthface.parametric.population import LOOKS, WILD, Scene
from synthface.parametric.studio import Shoot, Studio
from synthface.progress import Progress
from synthface.seeds import generator

CROWD = "test"  # its people stand in no training set: those are of other crowds
SEED = 0  # of the released sets; another one makes other people
FOLDS = 10

_ALIKE = {"sex": 2.0, "skin_tone": 2.0, "hair_colour": 1.0, "hair_length": 1.0, "hair_curl": 1.0, "hairline": 0.5}
_CANDIDATES = 64  # people among whom the most alike is chosen
_PICTURES_A_SET = 1_000_000  # picture numbers that each set has to itself: no photograph is in two sets
_PROTOCOL = 4  # of the pickle: what insightface's readers open


@dataclass(frozen=True)
class Pairing:
    """How the two photographs of a pair are taken."""

    first: Scene
    second: Scene


SETS: dict[str, Pairing] = {
    "mixed": Pairing(WILD, WILD),
    "frontal_profile": Pairing(Scene(turned=(0, 10)), Scene(turned=(55, 75), pitch=(-10, 10))),
    "cross_pose": Pairing(Scene(yaw=(-60, -20), pitch=(-15, 15)), Scene(yaw=(20, 60), pitch=(-15, 15))),
    "age_gap_30": Pairing(Scene(turned=(0, 25), age=(18, 40)), Scene(turned=(0, 25), age=(70, 78))),
    "cross_age": Pairing(Scene(turned=(0, 30), age=(18, 35)), Scene(turned=(0, 30), age=(50, 70))),
}


@dataclass(frozen=True)
class Pairs:
    """N pairs: who is on the first and on the second photograph, and whether they are one person."""

    first_N: NDArray[np.int64]
    second_N: NDArray[np.int64]
    issame_N: NDArray[np.bool_]


def ensure(
    folder: str | os.PathLike[str], names: Sequence[str], pairs: int, *, workers: int | None = None
) -> list[Path]:
    """Makes those sets that `folder` does not hold yet, and gives all their files, `NAME.bin`.

    A set is written whole or not at all; an interrupted call goes on with the first that is absent. Beside each stands
    NAME.json, which says what it was made of; a set that was made otherwise is made again. Raises UsageError for a name
    that is none of SETS and a number of pairs that ten balanced folds cannot share.
    """
    for name in names:
        if name not in SETS:
            hint = did_you_mean(name, list(SETS)) or f"There are {', '.join(SETS)}."
            raise UsageError(f"There is no parametric verification set '{name}'.", hint)
    if pairs < 2 * FOLDS or pairs % (2 * FOLDS):
        raise UsageError(
            f"{pairs} pairs do not make {FOLDS} equal folds with as many pairs of one person as of two.",
            f"Ask for a multiple of {2 * FOLDS}.",
        )
    place = files.make_directory(folder)
    absent = [name for name in names if not _is_made(place / f"{name}.bin", name, pairs)]
    if absent:
        with (
            Studio(workers) as studio,
            Progress(2 * pairs * len(absent), "pictures", "making verification sets") as progress,
        ):
            for name in absent:
                _make(place / f"{name}.bin", name, pairs, studio, progress)
    return [place / f"{name}.bin" for name in names]


def draw_pairs(name: str, pairs: int) -> Pairs:
    """Half of every fold's pairs are one person, half are two who look alike; a fold lists the former first."""
    people = max(2 * FOLDS, pairs // 2)
    rng = generator(SEED, "parametric benchmark", name, pairs)
    identity_ND = population.identities(SEED, CROWD, np.arange(people))
    look_NL = np.stack([weight * identity_ND[:, identity_index(key)] for key, weight in _ALIKE.items()], 1)
    male_N = identity_ND[:, identity_index("sex")] > 0
    issame_N = np.tile(np.repeat([True, False], pairs // (2 * FOLDS)), FOLDS)
    first_N = np.resize(rng.permutation(people), pairs)
    second_N = first_N.copy()
    for n in np.flatnonzero(~issame_N):
        one = first_N[n]
        others = rng.choice(people, size=min(_CANDIDATES, people - 1), replace=False)
        others = others[others != one]
        alike = others[male_N[others] == male_N[one]]
        others = alike if len(alike) else others
        second_N[n] = others[np.argmin(np.linalg.norm(look_NL[others] - look_NL[one], axis=1))]
    return Pairs(first_N, second_N, issame_N)


def _make(path: Path, name: str, pairs: int, studio: Studio, progress: Progress) -> None:
    drawn, pairing = draw_pairs(name, pairs), SETS[name]
    first_picture = list(SETS).index(name) * _PICTURES_A_SET
    sides: list[list[bytes]] = []
    for side, (person_N, scene) in enumerate(((drawn.first_N, pairing.first), (drawn.second_N, pairing.second))):
        shoot = Shoot(SEED, CROWD, person_N, first_picture + 2 * np.arange(pairs) + side, scene)
        codes = []
        for photograph in studio.take(shoot):
            codes.append(photograph.jpeg)
            progress.update(1)
        sides.append(codes)
    images = [image for pair in zip(*sides, strict=True) for image in pair]
    content = pickle.dumps((images, drawn.issame_N.tolist()), protocol=_PROTOCOL)
    files.write_bytes(path, content)
    files.write_json(path.with_suffix(".json"), _facts(name, pairs))


def _facts(name: str, pairs: int) -> dict[str, object]:
    facts = {
        "set": name,
        "pairs": pairs,
        "seed": SEED,
        "looks": LOOKS,
        **{k: str(v) for k, v in asdict(SETS[name]).items()},
    }
    digest = hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()
    return {**facts, "fingerprint": digest}


def _is_made(path: Path, name: str, pairs: int) -> bool:
    mark = path.with_suffix(".json")
    return path.is_file() and mark.is_file() and files.read_json(mark) == _facts(name, pairs)
