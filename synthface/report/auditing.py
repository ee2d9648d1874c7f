"""`audit`: a dataset in, its figures out, as JSON, Markdown and pictures.

material.py      embeddings, made once, with the pictures behind them
looks.py         light, sharpness, skin tone, pose and expression, by proxies
demographics.py  balance of groups that the user labelled
style.py         is the style of real pictures of the same people covered?
networks.py      LPIPS and FID, where they are asked for
figures.py, worst_pairs.py, tables.py    what is written beside audit.json
The mathematics lives in synthface/identity/audit.py.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.encoder import open_detector
from synthface.encoder.faces import FaceFinder
from synthface.encoder.open import find
from synthface.errors import InputError, MissingWeightsError, UsageError
from synthface.identity import audit as identity_audit
from synthface.identity import audit_balance, audit_rates
from synthface.identity.audit import Audit
from synthface.identity.embeddings import open_embeddings
from synthface.progress import say
from synthface.recipe import Recipe
from synthface.report import demographics as groups
from synthface.report import figures, looks, material, networks, style, tables, worst_pairs
from synthface.report.material import Material
from synthface.run import RunDirectory
from synthface.zoo import shipped

if TYPE_CHECKING:
    import pyarrow

FORMAT = "synthface.audit/1"
JSON, MARKDOWN = "audit.json", "audit.md"
_CROP = 112
# lower and upper end of the histograms; what lies outside falls into the last bin
_RANGES = {"luminance": (0.0, 255.0), "sharpness": (0.0, 3_000.0), "tone": (-90.0, 90.0), "yaw": (-90.0, 90.0),
           "pitch": (-90.0, 90.0), "roll": (-90.0, 90.0), "mouth": (0.2, 1.8)}  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What is asked for beside the dataset.

    references: embedding files, or pictures, of real people. same_people: they show the very people of the dataset, who
    were rendered from their embeddings; likeness is then the aim and no leak. encoder: instead of the recipe's verifier.
    demographics: a table of labels. networks: LPIPS and FID as well, and with same_people D_intra by Inception. device: as
    elsewhere.
    """

    references: tuple[Path, ...] = ()
    same_people: bool = False
    encoder: str | None = None
    demographics: Path | None = None
    networks: bool = False
    device: str | None = None


def audit(dataset: Path, recipe: Recipe, out: Path, wish: Wish | None = None) -> dict[str, Any]:
    """Measures a RecordIO dataset, class folders or a labelled embedding file; gives the content of `out`/audit.json.

    Raises InputError for datasets without people, for references of another encoder and for a table of other people,
    UsageError for networks where there are no pictures, MissingWeightsError and MissingPackageError when networks are asked
    for that are not here.
    """
    wish, began = wish or Wish(), time.perf_counter()
    if wish.same_people and not wish.references:
        raise UsageError("--same-people says whom the references show, and there is none.", "Add --reference PICTURES.")
    if wish.networks:
        if material.are_embeddings([dataset]):
            raise UsageError("LPIPS and FID look at pictures; the dataset is an embedding file.", "Give the pictures.")
        networks.demand()
    labels = _labels(dataset, wish)
    judge = wish.encoder or recipe.encoder.verifier or recipe.encoder.model
    data = _open(dataset, recipe, judge, out, wish)
    references = _references(recipe, judge, out, wish)
    try:
        untold = None if references is None else material.encoders_untold(data, references)
        if untold is not None:
            say(
                f"{untold.capitalize()}: similarities of two encoders mean nothing. Give pictures, or files that `synthface embed` made."
            )
        compared = None if references is None else references.rows
        measured = identity_audit.audit(data.rows, recipe.audit, recipe.seed, compared, files.make_directory(out))
        content = _content(dataset, recipe, data, references, measured, wish, labels, untold)
        if wish.networks:
            content["networks"] = _by_networks(recipe, dataset, data, references, wish)
        _draw(out, content, data, references, measured, wish)
    finally:
        for one in (data, references):
            if one is not None:
                one.close()
    content["seconds"] = round(time.perf_counter() - began, 2)
    files.write_text(out / MARKDOWN, tables.markdown(content))
    files.write_json(out / JSON, content)
    return content


def passed(content: dict[str, Any]) -> bool:
    """Whether the gate of leakage was passed, and not where it is undecided; True where nothing was compared."""
    leakage = content["leakage"]
    return leakage is None or bool(leakage["gate"]["passed"])


def _open(dataset: Path, recipe: Recipe, judge: str, out: Path, wish: Wish) -> Material:
    if material.are_embeddings([dataset]):
        return material.embedded_files([dataset])
    return _pictures((dataset,), recipe, judge, out, "embeddings", wish.device)


def _references(recipe: Recipe, judge: str, out: Path, wish: Wish) -> Material | None:
    if not wish.references:
        return None
    if material.are_embeddings(wish.references):
        return material.embedded_files(wish.references)
    return _pictures(wish.references, recipe, judge, out, "references", wish.device)


def _pictures(paths: Sequence[Path], recipe: Recipe, judge: str, out: Path, what: str, device: str | None) -> Material:
    chosen = recipe.encoder.model_copy(update={"model": judge, "dimension": None})
    return material.pictures(paths, chosen, files.make_directory(out / "embeddings"), what, device)


def _content(
    dataset: Path,
    recipe: Recipe,
    data: Material,
    references: Material | None,
    measured: Audit,
    wish: Wish,
    labels: groups.Labels | None,
    untold: str | None,
) -> dict[str, Any]:
    table, identity_N = _manifest(dataset, data)
    likeness = _input_output(table)
    content = {
        "format": FORMAT,
        "dataset": str(dataset),
        "encoder": _judge(dataset, recipe, data, likeness),
        "skipped": data.skipped,
        **measured.content,
        "references": [str(path) for path in wish.references],
        "references_encoder": None if references is None else references.encoder,
        "encoders_untold": untold,
        "style_recall": None,
        "networks": None,
    }
    content["looks"] = _looks(recipe, data, table, measured, wish)
    content["input_output"] = likeness
    content["demographics"] = None if labels is None else _demographics(labels, measured, identity_N)
    if wish.same_people:
        assert references is not None
        content["leakage"], content["same_people"] = None, content["leakage"]
        content["style_recall"] = style.recall(recipe, data, references, identity_N)
    label_C = measured.people.label_C
    content["label_noise"]["worst"] = [
        {"picture": data.name(d.row), "label": int(label_C[d.own_class]), "similarity": d.own,
         "nearer_label": int(label_C[d.other_class]), "its_similarity": d.other}
        for d in measured.doubts
    ]  # fmt: skip
    if content["leakage"] is not None:
        assert references is not None
        if untold is not None:
            content["leakage"]["gate"] |= {"passed": None, "undecided": untold}
        content["leakage"]["worst"] = [
            {"picture": data.name(p.row), "reference": references.name(p.reference), "similarity": p.similarity}
            for p in measured.leaks
        ]
    return content


def _judge(dataset: Path, recipe: Recipe, data: Material, likeness: dict[str, Any] | None) -> dict[str, Any]:
    """Who judges: name and SHA-256, None where an embedding file does not tell.

    `independent`: whether it is another encoder than the one that conditioned the pictures, by its weights where they are
    known and else by its name; None where neither the run's record nor the manifest tells of conditions (`likeness`), so
    that photographs are not said to be drawn.
    """
    encoder: dict[str, Any] = {"name": None, "sha256": None, **(data.encoder or {})}
    decisive = _rendered_by(dataset)
    if not decisive and not (likeness and likeness["center_similarity"]):
        return {**encoder, "independent": None}
    name = str(decisive.get("encoder.model", recipe.encoder.model))
    sha256 = decisive.get("encoder_sha256") or _sha256(name)
    return {**encoder, "independent": encoder["name"] != name if sha256 is None else encoder["sha256"] != sha256}


def _rendered_by(dataset: Path) -> dict[str, Any]:
    """What decided the pictures, where the dataset is that of a run directory which was rendered; else nothing."""
    run = RunDirectory(dataset.parent)
    if dataset.resolve() != run.dataset.resolve():
        return {}
    decisive: dict[str, Any] = run.record()["stages"].get("render", {}).get("decisive", {})
    return decisive


def _sha256(model: str) -> str | None:
    """The hash of a network's weights, None where they are not here."""
    try:
        return None if model == shipped.DRY else files.sha256_file(find(model))
    except (InputError, MissingWeightsError):
        return None


def _manifest(dataset: Path, data: Material) -> tuple[pyarrow.Table | None, NDArray[np.int64]]:
    """The manifest's rows of the embedded pictures, or None; and the identity of each row: the manifest's, or the label."""
    from synthface.dataset import open_dataset

    assert data.rows.labels_N is not None
    table = None if data.sources is None else open_dataset(dataset).manifest()
    if table is None:
        return None, data.rows.labels_N
    table = table.take(data.picture_N)
    return table, table["identity"].to_numpy().astype(np.int64)


def _looks(recipe: Recipe, data: Material, table: pyarrow.Table | None, measured: Audit, wish: Wish) -> dict[str, Any]:
    """Proxy → its spread, or None where nothing is known; `images`: how many pictures' pixels were looked at.

    `pose_from`: the manifest, which tells of every picture, or the recipe's detector, which searches those `images`.
    """
    columns: dict[str, NDArray[np.floating]] = {}
    class_N = measured.people.class_N
    row_M = audit_rates.drawn_rows(len(data.rows), recipe.audit.looks, recipe.seed, "looks")
    found: dict[str, Any] = {"images": len(row_M) if data.sources is not None else 0}
    if data.sources is not None:
        columns = looks.look_at(lambda rows: data.crops(rows, _CROP), row_M)
    for name in looks.Look._fields:
        found[name] = audit_balance.measured(columns[name], class_N[row_M], *_RANGES[name]) if columns else None
    known, pose_from = {} if table is None else looks.from_manifest(table), "manifest"
    if data.sources is not None and all(np.isnan(value_N).all() for value_N in known.values()):
        finder = _finder(recipe, wish)
        known, pose_from = {}, "detector"
        if finder is not None:
            known, class_N = looks.search(lambda rows: data.crops(rows, _CROP), row_M, finder), class_N[row_M]
    found["pose_from"] = pose_from if known else None
    for name in looks.POSES:
        found[name] = audit_balance.measured(known[name], class_N, *_RANGES[name]) if known else None
    if found["tone"] is not None:
        found["tones"] = _tones(columns["tone"], measured.people.class_N[row_M])
    return found


def _finder(recipe: Recipe, wish: Wish) -> FaceFinder | None:
    """The recipe's face detector; None where it names none, or its weights are not here, which is said."""
    try:
        detector = open_detector(recipe.encoder, device=wish.device)
    except MissingWeightsError as error:
        say(f"Pose and expression are left out: {error.problem} {error.fix}")
        return None
    return None if detector is None else FaceFinder.from_recipe(detector, recipe.encoder)


def _tones(angle_M: NDArray[np.floating], class_M: NDArray[np.int64]) -> dict[str, Any]:
    """Balance of the people's mean tones, by name."""
    known_M = ~np.isnan(angle_M)
    person_P, place_K, count_P = np.unique(class_M[known_M], return_inverse=True, return_counts=True)
    mean_P = np.bincount(place_K, angle_M[known_M], len(person_P)) / count_P
    return audit_balance.balance([audit_balance.tone(angle) for angle in mean_P.tolist()], count_P)


def _input_output(table: pyarrow.Table | None) -> dict[str, Any] | None:
    """Similarity of each picture to its person's center and to the mean of the person's first attempts, as rendering measured it.

    Not Arc2Face's (section 4.1) of input and output: the input is a variation of the center.
    """
    if table is None:
        return None
    found = {}
    for name, value_N in looks.similarities(table).items():
        known_K = value_N[~np.isnan(value_N)]
        found[name] = audit_rates.described(known_K)
    return found


def _labels(dataset: Path, wish: Wish) -> groups.Labels | None:
    """The table of labels, read, and known to be of the dataset's people, before anything is embedded."""
    from synthface.dataset import open_dataset

    if wish.demographics is None:
        return None
    if material.are_embeddings([dataset]):
        label_N, names, table = open_embeddings([dataset]).labels_N, None, None
    else:
        pictures = open_dataset(dataset)
        label_N, names = pictures.labels_N, getattr(pictures, "names", None)
        table = pictures.manifest(["identity"])
    labels = groups.read(wish.demographics, names)
    if label_N is not None:
        labels.demand(label_N, label_N if table is None else table["identity"].to_numpy())
    return labels


def _demographics(labels: groups.Labels, measured: Audit, identity_N: NDArray[np.int64]) -> dict[str, Any]:
    people = measured.people
    identity_C = np.zeros(len(people), np.int64)
    identity_C[people.class_N] = identity_N
    return labels.balance(people.label_C, identity_C, people.count_C)


def _by_networks(
    recipe: Recipe, dataset: Path, data: Material, references: Material | None, wish: Wish
) -> dict[str, Any]:
    """LPIPS of pairs of one person; FID, and D_intra of the same people, against the references where they are pictures."""
    device, settings = networks.device_of(wish.device), recipe.audit
    found: dict[str, Any] = {"device": device, "lpips": _lpips(recipe, data, device), "fid": None, "style_recall": None}
    if references is not None and references.sources is not None:
        sides = []
        for one, what in ((data, "fid made"), (references, "fid real")):
            rows = audit_rates.drawn_rows(len(one.rows), settings.inception_images, recipe.seed, what)
            sides.append([image for image in one.crops(rows.tolist(), _CROP) if image is not None])
        made, real = sides
        inception = networks.Inception(device)
        distance = inception.distance(made, real, settings.batch_size)
        found["fid"] = {"distance": distance, "images": len(made), "real_images": len(real), "size": _CROP}
        if wish.same_people:
            identity_N = _manifest(dataset, data)[1]
            found["style_recall"] = style.inception_recall(recipe, inception, data, references, identity_N)
    return found


def _lpips(recipe: Recipe, data: Material, device: str) -> dict[str, Any] | None:
    """Pairwise LPIPS within people (Arc2Face, section 4.1: diversity), over pairs drawn by seed."""
    assert data.rows.labels_N is not None
    first_P, second_P = _pairs_of_one_person(data.rows.labels_N, recipe.audit.perceptual_pairs, recipe.seed)
    if not len(first_P):
        return None
    network, found = networks.Lpips(device), []
    for start in range(0, len(first_P), recipe.audit.batch_size):
        part = slice(start, start + recipe.audit.batch_size)
        pairs = zip(data.crops(first_P[part].tolist(), _CROP), data.crops(second_P[part].tolist(), _CROP), strict=True)
        whole = [(a, b) for a, b in pairs if a is not None and b is not None]
        if whole:
            found.append(network.distances(*(np.stack(side) for side in zip(*whole, strict=True))))
    distance_P = np.concatenate(found)
    return {"mean": float(distance_P.mean()), "std": float(distance_P.std()), "pairs": len(distance_P)}


def _pairs_of_one_person(
    label_N: NDArray[np.int64], most: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of `most` pairs, each of a picture drawn by seed and another one of the same person."""
    from synthface import seeds

    order_N = np.argsort(label_N, kind="stable")
    _, start_C, count_C = np.unique(label_N[order_N], return_index=True, return_counts=True)
    start_N, count_N = np.repeat(start_C, count_C), np.repeat(count_C, count_C)
    place_K = np.flatnonzero(count_N > 1)
    if not len(place_K):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rng = seeds.generator(seed, "perceptual pairs")
    place_P = rng.choice(place_K, min(most, len(place_K)), replace=False)
    within_P = place_P - start_N[place_P]
    other_P = (within_P + 1 + rng.integers(0, count_N[place_P] - 1)) % count_N[place_P]
    return order_N[place_P], order_N[start_N[place_P] + other_P]


def _draw(
    out: Path, content: dict[str, Any], data: Material, references: Material | None, measured: Audit, wish: Wish
) -> None:
    """The figures; adds their names to the content."""
    drawn = figures.draw(content, out)
    if references is not None and not wish.same_people and measured.leaks:
        rows, others = [p.row for p in measured.leaks], [p.reference for p in measured.leaks]
        crops, beside = data.crops(rows, _CROP), references.crops(others, _CROP)
        if any(crop is not None for crop in crops):
            worst_pairs.draw(crops, beside, [p.similarity for p in measured.leaks], out / "worst_pairs.png")
            drawn.append("worst_pairs.png")
    content["figures"] = drawn
