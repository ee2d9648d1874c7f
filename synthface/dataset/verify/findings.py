"""What `verify` finds, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning", "note"]
SHOWN = 5  # keys that a finding names

# name → what it means; the names are stable, for scripts
NAMES = {
    "damaged records": "the bytes of the .rec file are no sequence of records",
    "truncated tail": "the .rec file ends inside a record, or before records that its index tells of",
    "padding not empty": "bytes between records are not zero: a length is wrong, or the file was written over",
    "record without header": "a record is too short for its IRHeader",
    "index missing": "there is no .idx file",
    "index damaged": "lines of the .idx file are not key and offset",
    "index stale": "the .idx file is of another .rec file",
    "missing key 0": "no record has key 0, with which insightface's and AdaFace's readers begin",
    "header record": "the record at key 0 tells of other numbers of pictures or people than there are",
    "identity records": "the key ranges of people contradict the labels of the pictures",
    "ids unlike keys": "some records carry another id than their key while most carry it",
    "labels no class numbers": "labels that are not whole numbers from 0 on",
    "all labels equal": "every picture has the same label",
    "labels with holes": "class numbers without a picture",
    "label range": "labels beyond the number of classes",
    "property missing": "there is no file `property` with classes, height and width",
    "property wrong": "`property` contradicts the records",
    "list wrong": "the .lst file contradicts the records",
    "manifest wrong": "manifest.parquet contradicts the records",
    "checksum wrong": "a picture's bytes are not those that the manifest tells of",
    "does not decode": "a picture cannot be decoded",
    "size differs": "a picture has another size than `property` or the others",
    "no JPEG": "pictures in another format than JPEG",
    "duplicates": "the same bytes more than once under one label",
    "duplicates across labels": "the same bytes under several labels",
    "channels swapped": "skin is blue rather than red: BGR was stored as RGB; a suspicion, look at `synthface preview`",
    "no pictures": "the dataset is empty",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: name (see NAMES), level, sentence, remedy, how often, and the first keys concerned."""

    name: str
    level: Level
    message: str
    fix: str = ""
    count: int = 1
    keys: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert self.name in NAMES, self.name

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "keys": list(self.keys)}


@dataclass
class Report:
    """What was looked at and what was found. `ok`: no finding of level error."""

    path: str
    images: int = 0
    identities: int = 0
    records: int = 0
    bytes: int = 0
    height: int | None = None
    width: int | None = None
    images_per_identity: dict[str, float] | None = None
    grey_share: float | None = None  # pictures without colour
    checked: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not any(finding.level == "error" for finding in self.findings)

    def add(self, name: str, level: Level, message: str, fix: str = "", *, count: int = 1, keys: Any = ()) -> None:
        """Appends a finding; of `keys` the first few are kept."""
        self.findings.append(Finding(name, level, message, fix, count, tuple(int(key) for key in keys[:SHOWN])))

    def has(self, name: str) -> bool:
        return any(finding.name == name for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        content = {**vars(self), "findings": [finding.as_json() for finding in self.findings]}
        return {"ok": self.ok, **content, "seconds": round(self.seconds, 3)}
