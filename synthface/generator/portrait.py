"""Single subjects, Arc2Face's own use: from a photograph or an embedding to new pictures of the person, and how like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.encoder import Encoder, align, open_detector, open_encoder, pictures
from synthface.encoder.crops import CropMaker, Skipped
from synthface.encoder.faces import FaceFinder
from synthface.encoder.sources import Picture
from synthface.errors import InputError, UsageError
from synthface.generator.arc2face import Arc2Face
from synthface.generator.open import open_generator, sampling_options
from synthface.identity import sphere
from synthface.identity.embeddings import SUFFIXES, open_embeddings
from synthface.recipe import Recipe
from synthface.seeds import derive_seed


@dataclass(frozen=True)
class Subject:
    """A person: a name for files, the unit embedding (d,), and the aligned crop where it came from a photograph."""

    name: str
    unit_D: NDArray[np.float32]
    crop_HWC: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Portrait:
    """One generated picture (side, side, 3) uint8 RGB and its embedding (d,), None where no face was found in it."""

    picture_HWC: NDArray[np.uint8]
    seed: int
    unit_D: NDArray[np.float32] | None

    def similarity(self, subject: Subject) -> float | None:
        """Cosine similarity to a person."""
        return None if self.unit_D is None else float(self.unit_D @ subject.unit_D)


class Studio:
    """Reads subjects, photographs them and compares the pictures, with the recipe's encoder and generator.

    control: pictures for the recipe's ControlNet, one for all or one for each picture of a person.
    aligned: the photographs are aligned crops; in the generated pictures faces are looked for all the same, where
    `crop.align` is `detect`.
    """

    def __init__(
        self, recipe: Recipe, device: str | None = None, control: Sequence[Path] = (), *, aligned: bool = False
    ) -> None:
        if control and recipe.generator.controlnet is None:
            raise UsageError(
                "Control pictures were given, and the recipe names no ControlNet.",
                "Say --set generator.controlnet=arc2face-controlnet, or name a folder.",
            )
        if recipe.crop.align == "detect" and recipe.encoder.detector is None:
            raise UsageError(
                "crop.align is 'detect', and the recipe names no detector that finds the faces in the generated pictures.",
                "Set encoder.detector, or --set crop.align=none for a generator of aligned crops.",
            )
        self.recipe, self.control = recipe, control
        self.encoder: Encoder = open_encoder(recipe.encoder.model, device=device, batch_size=recipe.encoder.batch_size)
        self.detector = open_detector(recipe.encoder, device=device)
        self.aligned = aligned or self.detector is None
        self._device = device
        self._generator: Arc2Face | None = None

    @property
    def generator(self) -> Arc2Face:
        """Loaded when it is needed first, after the subjects have been read."""
        if self._generator is None:
            self._generator = open_generator(self.recipe.generator, self._device, steered=bool(self.control))
            if self._generator.dimension != self.encoder.dimension:
                raise InputError(
                    f"The encoder {self.recipe.encoder.model} gives embeddings of {self.encoder.dimension}, and the "
                    f"generator {self.recipe.generator.model} reads {self._generator.dimension}.",
                    "Name the encoder with which the generator was trained: --set encoder.model=NAME.",
                )
        return self._generator

    def subjects(self, places: Sequence[Path]) -> list[Subject]:
        """One subject a photograph, and one a row of an embedding file.

        Raises InputError for pictures that are damaged, too large or without a face, and for other embeddings.
        """
        found: list[Subject] = []
        for place in places:
            if place.suffix in SUFFIXES:
                rows = open_embeddings([place], self.encoder.dimension).load()
                names = [place.stem] if len(rows) == 1 else [f"{place.stem}-{row}" for row in range(len(rows))]
                found += [Subject(name, unit_D) for name, unit_D in zip(names, rows, strict=True)]
            else:
                found.append(self._from_photograph(place))
        return found

    def draw(self, condition_ND: NDArray[np.float32], seeds: Sequence[int]) -> list[Portrait]:
        """A picture for each condition (N, d) and its seed."""
        picture_NHWC = self.generator.sample(
            condition_ND, seeds, control=self._control_pictures(), **sampling_options(self.recipe.generator)
        )
        units = self._embed(list(picture_NHWC))
        return [Portrait(*parts) for parts in zip(picture_NHWC, seeds, units, strict=True)]

    def _control_pictures(self) -> NDArray[np.uint8] | None:
        """(K, side, side, 3) uint8 in the generator's size; None without any. Raises InputError for one that is not square."""
        if not self.control:
            return None
        found = [pictures.load(place, self.recipe.encoder.max_pixels) for place in self.control]
        for place, picture_HWC in zip(self.control, found, strict=True):
            if picture_HWC.shape[0] != picture_HWC.shape[1]:
                height, width = picture_HWC.shape[:2]
                raise InputError(f"{place} is {width}×{height}; a control picture is square.", "Crop it.")
        return np.stack([align.resized(picture_HWC, self.generator.image_size) for picture_HWC in found])

    def _from_photograph(self, place: Path) -> Subject:
        maker = CropMaker(self.detector, self.recipe.encoder, self.encoder.image_size)
        try:
            (crop,) = maker([(Picture(str(place), place, 0), self.aligned)])
        finally:
            maker.stop()
        if isinstance(crop, Skipped):
            raise crop.error
        unit_D = sphere.normalize(self.encoder.embed(crop.image_HWC[None]))[0]
        return Subject(place.stem, unit_D, crop.image_HWC)

    def _embed(self, drawn: list[NDArray[np.uint8]]) -> list[NDArray[np.float32] | None]:
        size = self.encoder.image_size
        if self.recipe.crop.align == "none" or self.detector is None:
            crops = [align.resized(picture, size) for picture in drawn]
            return list(sphere.normalize(self.encoder.embed(np.stack(crops))))
        faces = FaceFinder.from_recipe(self.detector, self.recipe.encoder)(drawn)
        return [
            None if face is None else sphere.normalize(self.encoder.embed(face.crop(picture, size)[None]))[0]
            for picture, face in zip(drawn, faces, strict=True)
        ]


def averaged(subjects: Sequence[Subject]) -> Subject:
    """One person from several photographs or rows: the mean direction (Arc2Face, appendix B)."""
    return Subject(subjects[0].name, sphere.average(np.stack([subject.unit_D for subject in subjects])))


def portraits(studio: Studio, subject: Subject, count: int) -> list[Portrait]:
    """`count` pictures of a person; picture k has the same seed for everybody."""
    seeds = [derive_seed(studio.recipe.seed, "portrait", k) for k in range(count)]
    return studio.draw(np.repeat(subject.unit_D[None], count, 0), seeds)


def between(studio: Studio, start: Subject, end: Subject, count: int) -> tuple[list[float], list[Portrait]]:
    """The way from one person to another in `count` pictures of one seed (Arc2Face, Fig. 10): shares and pictures."""
    shares = np.linspace(0.0, 1.0, count)
    seed = derive_seed(studio.recipe.seed, "portrait", 0)
    return shares.tolist(), studio.draw(sphere.slerp(start.unit_D, end.unit_D, shares), [seed] * count)


def contact_sheet(rows: Sequence[tuple[Subject | None, Sequence[Portrait]]]) -> NDArray[np.uint8]:
    """One row for each subject: the crop of its photograph (white without one), then its pictures."""
    from synthface.generator.sheets import sheet

    side = rows[0][1][0].picture_HWC.shape[0]
    first = [
        np.full((side, side, 3), 255, np.uint8)
        if subject is None or subject.crop_HWC is None
        else align.resized(subject.crop_HWC, side)
        for subject, _ in rows
    ]
    with_inputs = any(subject is not None and subject.crop_HWC is not None for subject, _ in rows)
    row_RNHWC = [
        np.stack([*([crop] if with_inputs else []), *(portrait.picture_HWC for portrait in drawn)])
        for crop, (_, drawn) in zip(first, rows, strict=True)
    ]
    return sheet(np.stack(row_RNHWC))
