"""Which verification sets are meant, where they lie, and where to get those that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthface.errors import InputError

_INSIGHTFACE = (
    "insightface's training archives carry it (faces_webface_112x112 and faces_emore in "
    "github.com/deepinsight/insightface, recognition/_datasets_)"
)
_PARAMETRIC = "`synthface parametric benchmarks --out FOLDER` makes it"
WHERE = {  # set → where to get it
    "lfw": _INSIGHTFACE,
    "cfp_fp": _INSIGHTFACE,
    "cfp_ff": _INSIGHTFACE,
    "cplfw": _INSIGHTFACE,
    "agedb_30": _INSIGHTFACE,
    "calfw": _INSIGHTFACE,
    "vgg2_fp": _INSIGHTFACE,
    "mixed": _PARAMETRIC,
    "frontal_profile": _PARAMETRIC,
    "cross_pose": _PARAMETRIC,
    "age_gap_30": _PARAMETRIC,
    "cross_age": _PARAMETRIC,
}
TITLES = {
    "lfw": "LFW",
    "cfp_fp": "CFP-FP",
    "cfp_ff": "CFP-FF",
    "cplfw": "CPLFW",
    "agedb_30": "AgeDB-30",
    "calfw": "CALFW",
    "vgg2_fp": "VGG2-FP",
    "mixed": "Mixed",
    "frontal_profile": "Frontal-profile",
    "cross_pose": "Cross-pose",
    "age_gap_30": "Age gap 30",
    "cross_age": "Cross-age",
}


@dataclass
class Found:
    """Sets by name, in the order of the table, and the wanted ones that are absent with where to get them."""

    sets: dict[str, Path] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def title(name: str) -> str:
    return TITLES.get(name, name)


def find(places: Sequence[str | Path], names: Sequence[str]) -> Found:
    """The `.bin` files that `places` (files or folders) mean.

    Of a folder, the sets called `names` are taken and the missing ones noted as absent; when it has none of them, all
    its sets are taken. Raises InputError when a place does not exist, a folder has no `.bin`, or two sets share a name.
    """
    found = Found()
    for place in map(Path, places):
        if place.is_dir():
            files = {file.stem: file for file in sorted(place.glob("*.bin"))}
            if not files:
                raise InputError(
                    f"There is no verification set (*.bin) in {place}.",
                    f"Put {', '.join(f'{name}.bin' for name in names)} there; {_INSIGHTFACE}.",
                )
            wanted = [name for name in names if name in files]
            for name in wanted or files:
                _add(found, name, files[name])
            for name in names if wanted else ():
                if name not in files:
                    found.absent[name] = WHERE.get(name, "it is not a set that is known here")
        elif place.is_file():
            _add(found, place.stem, place)
        else:
            raise InputError(f"There is no verification set {place}.", "Name a .bin file or a folder of them.")
    for name in found.sets:
        found.absent.pop(name, None)
    return found


def _add(found: Found, name: str, path: Path) -> None:
    if name in found.sets and found.sets[name] != path:
        raise InputError(
            f"Two verification sets are called '{name}': {found.sets[name]} and {path}.",
            "Evaluate them one after the other, or rename one file.",
        )
    found.sets[name] = path
