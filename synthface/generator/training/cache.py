"""What the denoiser reads, computed once: latents of the autoencoder, or the pictures themselves in pixel space.

    latents.npy   (N, V, 2, C, h, w) float16   mean and standard deviation, V views: as it is, and mirrored
    pictures.npy  (N, side, side, 3) uint8
    NAME.json     fingerprint of all that decides them, rows done, rows that could not be decoded

Files are memory-mapped; an interrupted run goes on at the last full batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from synthface import files
from synthface.devices import is_out_of_memory
from synthface.errors import InputError
from synthface.generator.decode import downscaling
from synthface.generator.device import out_of_memory
from synthface.generator.training.pairs import Pairs
from synthface.generator.training.pictures import PictureReader
from synthface.progress import Progress

_SAVE_EVERY = 64  # batches between two records of the progress
_PICTURES = 128  # decoded at once


@dataclass(frozen=True)
class Cache:
    """`row_N`: (N, …) memory-mapped; `index_N`: the pictures' numbers in the dataset; `bad`: rows without a picture."""

    row_N: NDArray[Any]
    index_N: NDArray[np.int64]
    bad: tuple[int, ...]

    def usable(self) -> NDArray[np.int64]:
        """Rows that hold a picture."""
        return np.setdiff1d(np.arange(len(self.row_N)), np.array(self.bad, dtype=np.int64))


def cache_pictures(
    folder: Path,
    name: str,
    pairs: Pairs,
    reader: PictureReader,
    index_N: NDArray[np.int64],
    max_corrupt: float,
    facts: str,
) -> Cache:
    """The pictures `index_N` as (N, side, side, 3) uint8. `facts`: what else decides them."""
    shape = (reader.side, reader.side, 3)
    return _fill(
        folder / f"{name}.npy", pairs, reader, index_N, shape, np.uint8, _PICTURES, facts, max_corrupt, lambda x: x
    )


def cache_latents(
    folder: Path,
    pairs: Pairs,
    reader: PictureReader,
    vae: Any,
    device: torch.device,
    views: int,
    batch: int,
    max_corrupt: float,
    facts: str,
    precision: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Cache:
    """Mean and standard deviation of every picture's latents, and with `views` 2 of its mirror image's.

    precision: a context in which the autoencoder runs.
    """

    @torch.inference_mode()
    def encode(picture_BHWC: NDArray[np.uint8]) -> NDArray[np.float16]:
        # in bfloat16 a CPU is slow with channels last, which is how pictures come
        picture_BCHW = torch.from_numpy(picture_BHWC).to(device).permute(0, 3, 1, 2).contiguous() / 127.5 - 1
        stacked = torch.cat([picture_BCHW, picture_BCHW.flip(-1)][:views]).to(vae.dtype)
        with precision():
            posterior = vae.encode(stacked).latent_dist
        moments = torch.stack([posterior.mean.float(), posterior.std.float()], 1)
        limit = torch.finfo(torch.float16).max
        per_view = moments.clamp(-limit, limit).to(torch.float16).unflatten(0, (views, len(picture_BHWC)))
        array: NDArray[np.float16] = per_view.transpose(0, 1).cpu().numpy()
        return array

    side = reader.side // downscaling(vae)
    shape = (views, 2, int(vae.config.latent_channels), side, side)
    index_N = np.arange(len(pairs))

    def encode_or_explain(picture_BHWC: NDArray[np.uint8]) -> NDArray[np.float16]:
        try:
            return encode(picture_BHWC)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # outside of the handler, whose traceback keeps the failed batch's tensors alive
        raise out_of_memory(
            len(picture_BHWC),
            lambda fewer: encode(picture_BHWC[:fewer]),
            device,
            "train_generator.encode_batch",
            "The autoencoder",
        )

    return _fill(
        folder / "latents.npy", pairs, reader, index_N, shape, np.float16, batch, facts, max_corrupt, encode_or_explain
    )


def weights_digest(network: torch.nn.Module) -> str:
    """Hex SHA-256 over a network's weights, for the fingerprint of what it encoded."""
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _fill(
    path: Path,
    pairs: Pairs,
    reader: PictureReader,
    index_N: NDArray[np.int64],
    shape: tuple[int, ...],
    dtype: type,
    batch: int,
    facts: str,
    max_corrupt: float,
    encode: Callable[[NDArray[np.uint8]], NDArray[Any]],
) -> Cache:
    mark = path.with_suffix(".json")
    digest = hashlib.sha256(json.dumps([pairs.fingerprint, reader.side, list(shape), facts]).encode())
    digest.update(np.ascontiguousarray(index_N, dtype=np.int64).tobytes())
    progress: dict[str, Any] = {"fingerprint": digest.hexdigest(), "done": 0, "bad": []}
    if mark.exists() and path.exists():
        known = files.read_json(mark)
        progress = known if known.get("fingerprint") == progress["fingerprint"] else progress
    files.make_directory(path.parent)
    with files.writing(path):
        mode: Any = "r+" if progress["done"] else "w+"
        whole = (len(index_N), *shape)
        row_N = np.lib.format.open_memmap(path, mode=mode, dtype=None if progress["done"] else dtype, shape=whole)
        with Progress(len(index_N), "pictures", f"preparing {path.stem}", progress["done"]) as bar:
            while progress["done"] < len(index_N):
                for _ in range(_SAVE_EVERY):
                    start = progress["done"]
                    rows = index_N[start : start + batch]
                    if not len(rows):
                        break
                    picture_BHWC, good_B = reader.read(pairs.payloads(rows.tolist()))
                    row_N[start : start + len(rows)] = encode(picture_BHWC)
                    progress["bad"] += (start + np.flatnonzero(~good_B)).tolist()
                    progress["done"] = start + len(rows)
                    bar.update(len(rows))
                row_N.flush()
                files.write_json(mark, progress)
    refuse_too_many_bad(progress["bad"], index_N, max_corrupt, pairs.place)
    return Cache(np.load(path, mmap_mode="r", allow_pickle=False), index_N, tuple(progress["bad"]))


def refuse_too_many_bad(bad: list[int], index_N: NDArray[np.int64], max_corrupt: float, place: str) -> None:
    """Raises InputError when more than the share `max_corrupt` of the pictures `index_N` are in `bad`."""
    if len(bad) > max_corrupt * len(index_N):
        raise InputError(
            f"{len(bad):,} of {len(index_N):,} pictures of {place} cannot be decoded, the first is number "
            f"{int(index_N[bad[0]])}.",
            "Run `synthface verify` on the dataset, or allow more with train_generator.max_corrupt.",
        )
