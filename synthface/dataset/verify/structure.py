"""Everything about a RecordIO folder that can be told without decoding a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.dataset import index, layout, listing, manifest, recordio
from synthface.dataset.layout import Layout
from synthface.dataset.record_file import Headers, RecordFile, map_file, scan, swallowed, with_keys
from synthface.dataset.records import identity_contradiction
from synthface.dataset.verify.findings import Report
from synthface.errors import InputError


@dataclass(frozen=True)
class Structure:
    """A dataset as far as it can be read: its records, headers, which of them are pictures, their labels.

    damage: where the records end in damage; cut: that nothing follows it, so that the tail may be cut off.
    index_good: the `.idx` file is right. label_N: float64, as stored. stated: the file `property`. expected_N: CRC-32 of the manifest, or None.
    copies_N: which pictures the manifest declares to be copies of an earlier one.
    """

    file: RecordFile
    headers: Headers
    parts: Layout
    damage: recordio.Damage | None
    cut: bool
    index_good: bool
    label_N: NDArray[np.float64]
    num_classes: int
    stated: layout.Property | None
    expected_N: NDArray[np.int64] | None
    copies_N: NDArray[np.bool_]

    @property
    def key_N(self) -> NDArray[np.int64]:
        return self.file.key_R[self.parts.picture_N]


def examine(path_rec: Path, report: Report) -> Structure:
    """Looks at everything but the pictures, adding what it finds to `report`."""
    folder = path_rec.parent
    view = map_file(path_rec)
    found, damage = scan(view)
    cut = damage is not None and damage.cut and not record_follows(view, damage.offset)
    file = with_keys(path_rec, found, "")
    told = right_index(path_rec, file, damage, report)
    if told is None and len(inside := swallowed(file)):
        report.add(
            "damaged records", "error",
            f"{len(inside):,} records begin inside of other ones, the first at byte {inside[0]:,}: lengths are wrong.",
            "Copy the file again.", count=len(inside),
        )  # fmt: skip
    if damage is not None:
        _tell_damage(report, damage, cut, len(found), folder)
    if told is not None:
        file = RecordFile(path_rec, told[0], (told[1], *told[2]), "")
    _check_padding(file, report)
    headers = file.headers()
    parts = layout.sort_out(file.key_R, headers)
    with np.errstate(invalid="ignore"):  # a damaged label may be a signalling NaN, which stays a NaN
        label_N = headers.label_R[parts.picture_N].astype(np.float64)
    report.records, report.bytes = len(found), len(view)
    report.images = len(label_N)
    _check_headers(file, headers, parts, report)
    labels_good = _check_label_values(file, parts, label_N, report)
    told_property = _read_property(folder, parts, report)
    num_classes = _check_classes(folder, parts, told_property, label_N, labels_good, report)
    _check_list(path_rec, file, parts, label_N, report)
    expected_N, copies_N = _check_manifest(path_rec, file.key_R[parts.picture_N], label_N, report)
    report.checked += ["records", "index", "header", "labels", "property"]
    return Structure(
        file, headers, parts, damage, cut, told is not None, label_N, num_classes, told_property, expected_N, copies_N
    )


def record_follows(view: memoryview, offset: int) -> bool:
    """Whether a whole record begins somewhere behind `offset`."""
    words = np.frombuffer(view, "<u4", len(view) // 4)
    for place in np.flatnonzero(words[offset // 4 + 1 :] == recordio.MAGIC) + offset // 4 + 1:
        try:
            recordio.record_at(view, int(place) * 4)
        except recordio.Damage:
            continue
        return True
    return False


def right_index(
    path_rec: Path, scanned: RecordFile, damage: recordio.Damage | None, report: Report
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.bool_]]] | None:
    """Keys, offsets, and lengths with wholeness by the index, or None where it does not fit the scanned records."""
    path_idx = path_rec.with_suffix(".idx")
    fix = "`--repair` writes it anew."
    try:
        key_R, offset_R = index.read(path_idx)
    except FileNotFoundError:
        report.add("index missing", "error", f"There is no {path_idx.name}.", fix)
        return None
    except (index.BadIndex, OSError) as error:
        report.add("index damaged", "error", f"{path_idx.name}: {error}.", fix)
        return None
    problem = ""
    place_R = np.minimum(np.searchsorted(scanned.offset_R, offset_R), max(len(scanned) - 1, 0))
    wrong_R = np.ones(len(key_R), bool) if not len(scanned) else scanned.offset_R[place_R] != offset_R
    if len(np.unique(key_R)) != len(key_R):
        problem = "it names keys twice"
    elif wrong_R.any():
        problem = f"{wrong_R.sum():,} of its {len(key_R):,} lines point to where no whole record begins"
    elif len(np.unique(offset_R)) < len(scanned):
        problem = f"it lacks {len(scanned) - len(np.unique(offset_R)):,} of {len(scanned):,} records"
    if not problem:
        return key_R, offset_R, (scanned.length_R[place_R], scanned.whole_R[place_R])
    ends_early = damage is None and len(scanned) < len(key_R) and bool((offset_R >= len(scanned.view)).any())
    if ends_early and not layout.complete(scanned.key_R, scanned.headers()):
        report.add(
            "truncated tail", "error",
            f"{path_rec.name} ends before {int((offset_R >= len(scanned.view)).sum()):,} records of its index.",
            "Copy the file again, or `--repair` to keep what is there.",
        )  # fmt: skip
    if damage is None or damage.cut:
        report.add("index stale", "error", f"{path_idx.name} does not fit {path_rec.name}: {problem}.", fix)
    return None


def _tell_damage(report: Report, damage: recordio.Damage, cut: bool, whole: int, folder: Path) -> None:
    if cut:
        report.add(
            "truncated tail", "error", f"The file ends inside a record, behind {whole:,} whole ones ({damage}).",
            "Copy the file again, or `--repair` to cut the incomplete record off.",
        )  # fmt: skip
    else:
        report.add(
            "damaged records", "error", f"Behind {whole:,} whole records the file is damaged: {damage}.",
            "Copy the file again; what lies behind the damage is not looked at.",
        )  # fmt: skip


def _check_padding(file: RecordFile, report: Report) -> None:
    """The bytes that fill a record up to four must be zero."""
    rows = np.flatnonzero(file.whole_R & (file.length_R % 4 != 0))
    words = np.frombuffer(file.view, "<u4", len(file.view) // 4)
    last_R = words[(file.offset_R[rows] + 8 + file.length_R[rows]) // 4]
    wrong = rows[(last_R >> (8 * (file.length_R[rows] % 4)).astype(np.uint32)) != 0]
    if len(wrong):
        report.add(
            "padding not empty", "error", f"{len(wrong):,} records are followed by bytes that are not zero.",
            "Their lengths are damaged; copy the file again.", count=len(wrong), keys=file.key_R[wrong],
        )  # fmt: skip


def _check_headers(file: RecordFile, headers: Headers, parts: Layout, report: Report) -> None:
    short = np.flatnonzero(headers.begin_R < 0)
    if len(short):
        report.add(
            "record without header", "error", f"{len(short):,} records are too short for their headers.",
            "It is no picture dataset, or damaged.", count=len(short), keys=file.key_R[short],
        )  # fmt: skip
    if not len(file):
        report.add("no pictures", "error", "The dataset is empty.", "Pack something.")
    elif not (file.key_R == 0).any() or (parts.header is None and len(parts.identity_C)):
        report.add(
            "missing key 0", "error",
            "No header record stands at key 0; insightface's and AdaFace's readers begin there.",
            "`--repair` writes header and identity records where pictures have keys 1 … N, ordered by person.",
        )  # fmt: skip
    elif parts.header is not None and (problem := layout.contradiction(file.key_R, headers)):
        report.add("header record", "error", f"The header record is wrong: {problem}.", "Take another copy.")
    elif not len(parts.picture_N):
        report.add("no pictures", "error", "The dataset holds no pictures.", "Pack something.")
    unlike = np.flatnonzero(headers.id_R != file.key_R.astype(np.uint64))
    if 0 < len(unlike) <= len(file) // 10:
        report.add(
            "ids unlike keys", "warning", f"{len(unlike):,} records carry another id than their key.",
            "The index or those records may be damaged.", count=len(unlike), keys=file.key_R[unlike],
        )  # fmt: skip


def _check_label_values(file: RecordFile, parts: Layout, label_N: NDArray[np.float64], report: Report) -> bool:
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~((label_N >= 0) & (label_N <= layout.EXACT) & (label_N == np.floor(label_N))))
    if len(bad):
        report.add(
            "labels no class numbers", "error", f"{len(bad):,} labels are no class numbers, such as {label_N[bad[0]]:g}.",
            "Give every person a number from 0 on.", count=len(bad), keys=file.key_R[parts.picture_N[bad]],
        )  # fmt: skip
    return not len(bad)


def _read_property(folder: Path, parts: Layout, report: Report) -> layout.Property | None:
    try:
        told = layout.read_property(folder)
    except InputError as error:
        report.add("property wrong", "error", error.problem, error.fix)
        return None
    if told is None:
        report.add(
            "property missing", "warning" if parts.header is not None else "note",
            "There is no file `property`; the size of the first picture is taken as everybody's.",
            "Write one line: classes,height,width.",
        )  # fmt: skip
    return told


def _check_classes(
    folder: Path, parts: Layout, told: layout.Property | None, label_N: NDArray[np.float64], good: bool, report: Report
) -> int:
    """Labels against header, `property` and identity records; gives the number of classes."""
    people = len(parts.identity_C) if parts.header is not None else None
    announced = people if people is not None else told.num_classes if told else None
    if told is not None and people is not None and told.num_classes != people:
        report.add(
            "property wrong", "error",
            f"`property` tells of {told.num_classes:,} classes, the header record of {people:,}.",
            f"Write {people},{told.height},{told.width} into {folder / 'property'}.",
        )  # fmt: skip
    if not good or not len(label_N):
        return announced or 0
    whole_N = label_N.astype(np.int64)
    largest = int(whole_N.max())
    classes = announced if announced is not None else largest + 1
    count_C = np.bincount(whole_N, minlength=classes)
    report.identities = int((count_C > 0).sum())
    present = count_C[count_C > 0]
    report.images_per_identity = {
        "min": int(present.min()), "median": float(np.median(present)), "mean": round(float(present.mean()), 3),
        "max": int(present.max()),
    }  # fmt: skip
    if report.identities == 1 and len(label_N) > 1:
        report.add(
            "all labels equal", "warning" if classes == 1 else "error",
            f"All {len(label_N):,} pictures have label {largest}"
            + (f", where {classes:,} classes are announced." if classes != largest + 1 or classes > 1 else "."),
            "Such a dataset cannot train a recogniser. Where identity records or a list tell people apart, number by them.",
        )  # fmt: skip
    elif len(holes := np.flatnonzero(count_C[: largest + 1] == 0)) or largest + 1 < classes:
        missing = len(holes) + max(classes - largest - 1, 0)
        first = holes[0] if len(holes) else largest + 1
        report.add(
            "labels with holes", "error", f"{missing:,} of {max(classes, largest + 1):,} classes have no picture, the "
            f"first of them {first}.", f"`synthface pack {folder} --out NEW` numbers people without holes.",
            count=missing,
        )  # fmt: skip
    if largest >= classes:
        beyond = int((whole_N >= classes).sum())
        report.add(
            "label range", "error", f"{beyond:,} pictures have labels beyond the {classes:,} classes announced, up to "
            f"{largest}.", f"`synthface pack {folder} --out NEW` numbers people anew.", count=beyond,
        )  # fmt: skip
    if parts.header is not None and (wrong := identity_contradiction(parts, whole_N)):
        report.add(
            "identity records", "error", f"The identity records contradict the labels: {wrong}.",
            "One of the two is wrong; take another copy.",
        )  # fmt: skip
    return classes


def _check_list(path_rec: Path, file: RecordFile, parts: Layout, label_N: NDArray[np.float64], report: Report) -> None:
    path = path_rec.with_suffix(".lst")
    if not path.exists():
        return
    fix = "Trainers do not read it; make it again, or remove it."
    try:
        key_M, label_M = listing.read_labels(path)
    except InputError as error:
        report.add("list wrong", "warning", error.problem, error.fix)
        return
    key_N = file.key_R[parts.picture_N]
    differ = listing.differences(key_M, label_M, key_N, label_N)
    if differ is None:
        report.add("list wrong", "warning", f"{path.name} lists {len(key_M):,} other keys than the records have.", fix)
    elif len(differ):
        report.add(
            "list wrong", "error", f"{path.name} and the records differ in {len(differ):,} labels.",
            "One of the two is wrong; take another copy.", count=len(differ), keys=key_N[differ],
        )  # fmt: skip


def _check_manifest(
    path_rec: Path, key_N: NDArray[np.int64], label_N: NDArray[np.float64], report: Report
) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_]]:
    """Keys and labels against the manifest; gives its checksums, and which pictures it declares to be copies."""
    none = None, np.zeros(len(key_N), bool)
    path = next((p for p in (path_rec.parent / manifest.NAME, path_rec.with_suffix(".parquet")) if p.exists()), None)
    if path is None:
        return none
    try:
        table = manifest.read_for(path, key_N, ["label", "identity", "index", "crc32"])
    except InputError as error:
        report.add("manifest wrong", "error", error.problem, error.fix)
        return none
    report.checked.append("manifest")
    differ = np.flatnonzero(table["label"].to_numpy() != label_N)
    if len(differ):
        report.add(
            "manifest wrong", "error", f"Manifest and records differ in {len(differ):,} labels.",
            "One of the two is damaged; take another copy.", count=len(differ), keys=key_N[differ],
        )  # fmt: skip
    identity_N, index_N = table["identity"].to_numpy(), table["index"].to_numpy()
    order_N = np.lexsort((index_N, identity_N))
    copies_N = np.zeros(len(key_N), bool)
    again = (np.diff(identity_N[order_N]) == 0) & (np.diff(index_N[order_N]) == 0)
    copies_N[order_N[1:][again]] = True
    return table["crc32"].to_numpy().astype(np.int64), copies_N
