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
    """Sets by name, in the order of the table, the wanted ones that are absent with where to get them, and, of the sets,
    those that only happened to lie beside wanted ones."""

    sets: dict[str, Path] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)


def title(name: str) -> str:
    return TITLES.get(name, name)


def where(name: str) -> str:
    """Where to get a set."""
    return WHERE.get(name, "it is not a set that is known here")


def lack(place: Path | None) -> str | None:
    """Why there is nothing to measure on in a folder, as a clause; None when there is."""
    if place is None:
        return "No folder of verification sets is named"
    if not place.exists():
        return f"There is no folder {place}"
    return f"There is no verification set (*.bin) in {place}" if place.is_dir() and not _bins(place) else None


def find(places: Sequence[str | Path], names: Sequence[str], *, only_named: bool = False) -> Found:
    """The `.bin` files that `places` (files or folders) mean.

    Of a folder, the sets called `names` come first and all others after them, unless `only_named` leaves the latter out;
    names that no file has are absent. Sets that lie beside named ones are noted: they are no part of the table's mean.
    Raises InputError when a place does not exist, a folder has no `.bin`, or two sets share a name.
    """
    found = Found()
    explicit: set[str] = set()
    for place in map(Path, places):
        if place.is_dir():
            files = _bins(place)
            if not files:
                raise InputError(
                    f"There is no verification set (*.bin) in {place}.",
                    f"Put {', '.join(f'{name}.bin' for name in names)} there; {_INSIGHTFACE}.",
                )
            wanted = [name for name in names if name in files]
            others = [] if wanted and only_named else [name for name in files if name not in names]
            for name in (*wanted, *others):
                _add(found, name, files[name])
            found.absent |= {name: where(name) for name in names if name not in files}
            found.beside += others if wanted else []
        elif place.is_file():
            _add(found, place.stem, place)
            explicit.add(place.stem)
        else:
            raise InputError(f"There is no verification set {place}.", "Name a .bin file or a folder of them.")
    for name in found.sets:  # another of the places has it
        found.absent.pop(name, None)
    found.beside = [name for name in found.beside if name not in explicit]
    return found


def _bins(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(folder.glob("*.bin"))}


def _add(found: Found, name: str, path: Path) -> None:
    if name in found.sets and found.sets[name] != path:
        raise InputError(
            f"Two verification sets are called '{name}': {found.sets[name]} and {path}.",
            "Evaluate them one after the other, or rename one file.",
        )
    found.sets[name] = path
