"""What `import synthface` offers: a door for each step of the data's way, to the functions behind the commands.

Every door takes `recipe`, a recipe's name or file (default: the run directory's, else `embedded`), and `values`, which
override it by dotted key: `values={"identities.scale": 0.9}`. Errors are those of `synthface.errors`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthface import recipe as recipes
from synthface.dataset import open_dataset
from synthface.errors import SynthfaceError, UsageError
from synthface.identity import fit, into_run, origin, priors
from synthface.identity.embeddings import open_embeddings
from synthface.identity.identities import Identities
from synthface.identity.prior import Prior
from synthface.recipe import Recipe
from synthface.run import RunDirectory

if TYPE_CHECKING:
    import pyarrow

Place = str | os.PathLike[str]
Values = Mapping[str, Any]


def fit_prior(
    embeddings: Place | Sequence[Place],
    *,
    out: Place | None = None,
    encoder: str | None = None,
    seed: int | None = None,
    recipe: Place | None = None,
    values: Values | None = None,
) -> Prior:
    """Learns the distribution of real identities from embedding files, as `synthface fit-prior` does.

    embeddings: .npy, .npz or .safetensors; several are one set. out: a file to save the prior to. encoder: who made the
    embeddings, where they do not say so themselves.

    >>> prior = synthface.fit_prior("people.npz")
    >>> prior.dimension, prior.facts["people"]
    (64, 300)
    >>> round(prior.explained_variance(50), 2)
    0.94
    """
    paths = [embeddings] if isinstance(embeddings, str | os.PathLike) else list(embeddings)
    chosen = _recipe(recipe, values, {"seed": seed})
    rows = open_embeddings(paths, chosen.encoder.dimension)
    scratch = None if out is None else Path(out).parent
    prior = fit.fit_prior(
        rows, chosen.prior, encoder=encoder or origin.common_encoder(rows.paths), seed=chosen.seed, scratch=scratch
    )
    if out is not None:
        prior.save(out)
    return prior


def sample_identities(
    count: int | None = None,
    *,
    prior: Prior | Place | None = None,
    threshold: float | None = None,
    exclude: Place | Sequence[Place] = (),
    seed: int | None = None,
    run: Place | None = None,
    recipe: Place | None = None,
    values: Values | None = None,
) -> Identities:
    """Samples people who do not exist, as `synthface sample-ids` does; faiss has confirmed that they are different people.

    prior: one that was fitted, or its file; None: the run's own, else the one that ships. exclude: embedding files of real
    people to stay away from. run: the directory in which the people are kept and extended; None: in memory alone.
    Raises OutOfReachError when fewer than `count` fit.

    >>> people = synthface.sample_identities(100, prior="prior.safetensors", threshold=0.5)
    >>> people.center_ND.shape, people.center_ND.dtype
    ((100, 64), dtype('float32'))
    >>> people.facts["statistics"]["largest_similarity"] < 0.5
    True
    """
    directory = None if run is None else RunDirectory(run)
    flags = {
        "identities.count": count,
        "identities.threshold": threshold,
        "identities.exclude": _paths(exclude) or None,
        "prior.file": None if prior is None or isinstance(prior, Prior) else os.fspath(prior),
        "seed": seed,
    }
    chosen = _recipe(recipe, values, flags, directory)
    if directory is None:
        if not isinstance(prior, Prior):
            prior = priors.open_for(chosen, priors.locate(chosen))
        return into_run.sample_in_memory(prior, chosen)
    if isinstance(prior, Prior):
        raise UsageError(
            "A run directory records the file of its prior, and a prior in memory was given.",
            "Save it, `prior.save('prior.safetensors')`, and give the file's name.",
        )
    return into_run.sample_into(directory, chosen)


def render(
    run: Place = "run",
    *,
    ids: int | None = None,
    per_id: int | None = None,
    identities: Place | None = None,
    devices: Sequence[str] = (),
    seed: int | None = None,
    recipe: Place | None = None,
    values: Values | None = None,
) -> Dataset:
    """Photographs the run's people, packs and verifies the dataset, as `synthface render` does; gives the dataset.

    identities: people given as an embedding file, in place of the sampled ones: all of them, or the first `ids`. devices:
    for example ["cuda:0", "cuda:1"]. The same call goes on after an interruption.

    >>> dataset = synthface.render("run", ids=3, per_id=2)
    >>> len(dataset), dataset.num_classes
    (6, 3)
    """
    from synthface.render import people, rendering
    from synthface.render.finish import finish
    from synthface.report.card import write_card

    directory = RunDirectory(run)
    flags = {
        **people.asked_for(ids, per_id, identities),
        "render.devices": list(devices) or None,
        "seed": seed,
    }
    order = rendering.take_order(_recipe(recipe, values, flags, directory), directory)
    outcome = rendering.render(order)
    if outcome.failed:
        number, error = next(iter(outcome.failed.items()))
        raise SynthfaceError(
            f"{len(outcome.failed):,} of {len(outcome.plan.shards):,} shards failed, the first ({number:05d}) with: {error}",
            f"`synthface status {directory.path}` shows the tracebacks; the same call makes them again.",
        )
    if finish(order, outcome.plan, None, write_card) is None:
        raise SynthfaceError(
            "Not a single image passed the gate: there is no dataset.",
            f"`synthface status {directory.path}` tells why they were rejected; loosen the recipe's section gate.",
        )
    return Dataset(directory.dataset)


class Dataset(Sequence[tuple[NDArray[np.uint8], int]]):
    """The pictures of a RecordIO folder or of class folders: item i is (image, label), as PyTorch's DataLoader takes it.

    image: (H, W, 3) uint8 RGB; label: 0 … num_classes − 1. `path`; `labels_N` (N,) int64; `num_classes`.
    May be shared between threads and handed to workers.

    >>> dataset = synthface.Dataset("run/dataset")
    >>> image, label = dataset[0]
    >>> image.shape, label
    ((48, 48, 3), 0)
    >>> dataset.labels_N.tolist()
    [0, 0, 1, 1, 2, 2]
    """

    def __init__(self, path: Place) -> None:
        self._pictures = open_dataset(path)
        self.path = Path(path)

    @property
    def labels_N(self) -> NDArray[np.int64]:
        return self._pictures.labels_N

    @property
    def num_classes(self) -> int:
        return self._pictures.num_classes

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]  # negative numbers, and IndexError behind the end
        return self._pictures.image(row), int(self.labels_N[row])

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], int]]:
        return (self[index] for index in range(len(self)))

    def image(self, index: int) -> NDArray[np.uint8]:
        """One picture, (H, W, 3) uint8 RGB."""
        return self._pictures.image(index)

    def payloads(self, indices: Sequence[int] | NDArray[np.integer]) -> list[Any]:
        """Pictures as they are encoded in the file."""
        return list(self._pictures.payloads(indices))

    def manifest(self) -> pyarrow.Table | None:
        """Where each picture came from, one row a picture, or None."""
        return self._pictures.manifest()

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r}): {len(self):,} pictures of {self.num_classes:,} people"


def audit(
    dataset: Place = "run/dataset",
    *,
    references: Place | Sequence[Place] = (),
    same_people: bool = False,
    encoder: Place | None = None,
    demographics: Place | None = None,
    networks: bool = False,
    device: str | None = None,
    out: Place | None = None,
    recipe: Place | None = None,
    values: Values | None = None,
) -> dict[str, Any]:
    """Measures a dataset, or an embedding file with labels, as `synthface audit` does; gives the content of audit.json.

    references: embeddings or pictures of real people; same_people: of the very people of the dataset. encoder: who judges;
    None: the recipe's verifier. demographics: a table of labels. networks: LPIPS and FID as well. out: the folder of
    audit.json, audit.md and the figures; None: the report of the dataset's run, else NAME-audit.

    >>> found = synthface.audit("people.npz", out="audit")
    >>> found["identities"], round(found["consistency"]["share"], 2)
    (300, 1.0)
    """
    from synthface.report import auditing
    from synthface.report.card import write_card

    place = Path(dataset)
    directory = RunDirectory(place.parent)
    own = place == directory.dataset and directory.record_file.exists()
    wish = auditing.Wish(
        tuple(Path(path) for path in _paths(references)),
        same_people,
        None if encoder is None else os.fspath(encoder),
        None if demographics is None else Path(demographics),
        networks,
        device,
    )
    folder = Path(out) if out else directory.report if own else Path(f"{place.stem}-audit")
    content = auditing.audit(place, _recipe(recipe, values, {}, directory), folder, wish)
    if own and out is None:
        write_card(directory, place)
    return content


def _paths(given: Place | Sequence[Place]) -> list[str]:
    several = [given] if isinstance(given, str | os.PathLike) else given
    return [os.fspath(path) for path in several]


def _recipe(
    name: Place | None, values: Values | None, flags: dict[str, Any], run: RunDirectory | None = None
) -> Recipe:
    """The recipe of a call; None among `flags` means "not given"."""
    given = {**(values or {}), **{key: value for key, value in flags.items() if value is not None}}
    named = None if name is None else os.fspath(name)
    return recipes.load(named or recipes.DEFAULT, given) if run is None else run.recipe(named, given)
