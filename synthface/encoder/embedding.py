"""`embed`: photographs, folders and datasets → an embedding file.

The pictures are worked through in blocks of fixed size, each a function of its pictures alone; the state is saved between
blocks. So the same command goes on where it was killed, and the file has the same bytes.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.encoder import formats
from synthface.encoder.crops import Crop, CropMaker, Skipped
from synthface.encoder.finish import facts_of, finish
from synthface.encoder.open import find, open_detector, open_encoder
from synthface.encoder.recognise import Encoder
from synthface.encoder.scrfd import Detector
from synthface.encoder.sources import Picture, Sources, open_sources
from synthface.encoder.store import Store, Tally
from synthface.errors import InputError, OutputError, UsageError
from synthface.progress import Progress, say
from synthface.recipe.people import EncoderRecipe

NOT_FINITE = "embedding without direction"


class Result(NamedTuple):
    """What `embed` made: the facts stored with the file, and this call's pictures and seconds (0 when it was there)."""

    facts: dict[str, Any]
    pictures: int
    seconds: float


class _Block(NamedTuple):
    pictures: list[Picture]
    crops: list[Crop | Skipped]


def embed(
    paths: Sequence[Path], out: Path, recipe: EncoderRecipe, *, device: str | None = None, one_a_person: bool = False
) -> Result:
    """Embeds every picture behind `paths` into `out` (.npz, .npy or .safetensors), going on where it was interrupted.

    one_a_person: one mean direction for each person: class folder, label of a dataset, or argument without either.
    Raises InputError when no picture gives an embedding, OutputError when `out` holds something else.
    """
    formats.check_name(out)
    folder = _beginning(out)
    encoder = open_encoder(recipe.model, device=device, batch_size=recipe.batch_size)
    layout = formats.format_of(out, encoder.dimension, recipe.dtype)
    _check_dimension(encoder, recipe)
    sources = open_sources(paths)
    detector = None if all(part.aligned for part in sources.parts) else open_detector(recipe, device=device)
    task = _task(sources, encoder, detector, recipe)
    if out.exists():
        return Result(_made_before(out, task, one_a_person), 0, 0.0)
    with files.exclusive(folder / ".lock", str(out), instead="another --out"):
        store = Store(folder, task, layout)
        begun, started, first_error = store.tally.seen, time.perf_counter(), None
        if begun < len(sources):
            first_error = _fill(store, sources, encoder, CropMaker(detector, recipe, encoder.image_size), recipe)
        seconds = time.perf_counter() - started
        if not store.tally.rows:
            store.remove()
            raise _nothing(store.tally, first_error)
        facts = finish(store, sources, out, one_a_person)
        store.remove()
    return Result(facts, len(sources) - begun, seconds)


def _beginning(out: Path) -> Path:
    """Where the rows are collected: hidden, so that it counts as no class folder when `out` lies among the pictures."""
    return out.with_name(f".{out.name}.part")


def _made_before(out: Path, task: dict[str, Any], one_a_person: bool) -> dict[str, Any]:
    """The facts of a file that the same command made before."""
    facts = facts_of(out)
    if facts is None or facts.get("task") != task or facts.get("one_a_person") != one_a_person:
        raise OutputError(
            f"{out} exists already, and this command did not make it.", "Choose another --out, or remove it first."
        )
    shutil.rmtree(_beginning(out), ignore_errors=True)  # killed between the last two steps
    return facts


def _fill(
    store: Store, sources: Sources, encoder: Encoder, maker: CropMaker, recipe: EncoderRecipe
) -> InputError | None:
    """Embeds from where the store is to the end; gives the first error that was counted instead of raised."""
    tally, first_error, saved = store.tally, None, time.monotonic()
    if tally.seen:
        say(f"Going on after picture {tally.seen:,} of {len(sources):,}.")
    try:
        with Progress(len(sources), "images", "embedding", initial=tally.seen) as progress:
            for block in _blocks(sources, tally.seen, maker, recipe.block):
                error = _add(store, block, encoder, recipe)
                first_error = first_error or error
                store.mark()
                if time.monotonic() - saved >= recipe.save_every:
                    store.save()
                    saved = time.monotonic()
                progress.update(len(block.pictures), skipped=f"{sum(tally.skipped.values()):,}")
    finally:  # also when interrupted, or out of memory
        store.save()
    return first_error


def _blocks(sources: Sources, start: int, maker: CropMaker, size: int) -> Iterator[_Block]:
    """Crops block by block; the next block's are made while this one is embedded."""

    def make(first: int) -> _Block:
        wanted = sources.pictures(first, min(first + size, len(sources)))
        return _Block([picture for picture, _ in wanted], maker(wanted))

    ahead = ThreadPoolExecutor(1, thread_name_prefix="blocks")
    try:
        upcoming = ahead.submit(make, start)
        for first in range(start, len(sources), size):
            block = upcoming.result()
            if first + size < len(sources):
                upcoming = ahead.submit(make, first + size)
            yield block
    finally:
        maker.stop()
        ahead.shutdown(wait=False, cancel_futures=True)


def _add(store: Store, block: _Block, encoder: Encoder, recipe: EncoderRecipe) -> InputError | None:
    """One block's rows into the store, and into its tally."""
    tally, first_error = store.tally, None
    skipped: list[tuple[str, str]] = []
    places = [k for k, crop in enumerate(block.crops) if isinstance(crop, Crop)]
    crops = [crop for crop in block.crops if isinstance(crop, Crop)]
    row_ND = _embedded(encoder, [crop.image_HWC for crop in crops], recipe)
    good_N = np.isfinite(row_ND).all(axis=1) & row_ND.any(axis=1)
    for place, crop, good in zip(places, crops, good_N.tolist(), strict=True):
        if not good:
            skipped.append((block.pictures[place].name, NOT_FINITE))
        elif crop.padding is not None:
            tally.padding[f"{crop.padding:g}"] += 1
            tally.several += (crop.faces or 0) > 1
    for picture, one in zip(block.pictures, block.crops, strict=True):
        if isinstance(one, Skipped):
            skipped.append((picture.name, one.reason))
            first_error = first_error or one.error
    kept = [place for place, good in zip(places, good_N.tolist(), strict=True) if good]
    label_N = np.array([block.pictures[place].label for place in kept], np.int64)
    store.append(row_ND[good_N], label_N, tally.seen + np.array(kept, np.int64), skipped)
    tally.skipped.update(Counter(reason for _, reason in skipped))
    tally.seen += len(block.pictures)
    tally.rows += len(kept)
    return first_error


def _embedded(encoder: Encoder, images: Sequence[NDArray[np.uint8]], recipe: EncoderRecipe) -> NDArray[np.floating]:
    rows = [
        encoder.embed(np.stack(images[start : start + recipe.batch_size]))
        for start in range(0, len(images), recipe.batch_size)
    ]
    row_ND = np.concatenate(rows) if rows else np.empty((0, encoder.dimension), np.float32)
    with np.errstate(over="ignore"):
        return row_ND.astype(recipe.dtype)


def _task(sources: Sources, encoder: Encoder, detector: Detector | None, recipe: EncoderRecipe) -> dict[str, Any]:
    """What decides the rows."""
    task: dict[str, Any] = {
        "pictures": len(sources),
        "pictures_sha256": sources.fingerprint(),
        "encoder": recipe.model,
        "encoder_sha256": encoder.provenance.sha256,
        "dtype": recipe.dtype,
        "max_pixels": recipe.max_pixels,
        "detector": recipe.detector if detector is not None else None,
    }
    if detector is not None:
        assert recipe.detector is not None
        task |= {
            "detector_sha256": files.sha256_file(find(recipe.detector)),
            "detection_size": list(detector.size),
            "detection_threshold": recipe.detection_threshold,
            "padding": list(recipe.padding),
            "choose": recipe.choose,
        }
    return task


def _check_dimension(encoder: Encoder, recipe: EncoderRecipe) -> None:
    if recipe.dimension is not None and recipe.dimension != encoder.dimension:
        raise UsageError(
            f"The encoder '{recipe.model}' gives {encoder.dimension} numbers, and encoder.dimension is {recipe.dimension}.",
            f"Say --set encoder.dimension={encoder.dimension}, or name another encoder.",
        )


def _nothing(tally: Tally, first_error: InputError | None) -> InputError:
    if tally.seen == 1 and first_error is not None:
        return first_error
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.skipped.most_common())
    hint = f"The first of them: {first_error}" if first_error else "Run the command again for an example."
    return InputError(f"None of the {tally.seen:,} pictures gave an embedding: {reasons}.", hint)
