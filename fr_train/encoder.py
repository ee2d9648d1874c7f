"""A recogniser's checkpoint as an encoder of the pipeline: the entry points `synthface.encoders` in setup.cfg lead here.

The protocol is synthface.encoder's; it is met by shape, not by import, for this package needs no other part of synthface
than its data. Everything runs in float32, and on a CPU in batches of one fixed size, the last one filled up: a kernel is
chosen by the shape of its batch, and another kernel rounds otherwise. So a face has the same embedding, to the last bit,
whatever it comes together with; the tests hold it to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_train import checkpoints, devices
from fr_train.models import TorchEmbedder
from synthface import files
from synthface.errors import InputError

BATCH = {"cpu": 8, "cuda": 64}  # faces the network sees at once; on a CPU fewer only where the recipe asks for fewer


@dataclass(frozen=True)
class Provenance:
    """Which network made an embedding: the name it was asked for by, and the bytes behind the name."""

    name: str
    sha256: str

    def facts(self) -> dict[str, str]:
        return {"name": self.name, "sha256": self.sha256}


class RecogniserEncoder:
    """Aligned faces → embeddings. `dimension` d; `image_size` of the crops that it reads; `batch_size` on a GPU."""

    def __init__(
        self, embedder: TorchEmbedder, dimension: int, provenance: Provenance, batch_size: int = BATCH["cuda"]
    ) -> None:
        self.embedder, self.dimension, self.provenance = embedder, dimension, provenance
        self.image_size = embedder.image_size
        self.batch = min(batch_size, BATCH["cpu"]) if embedder.device == "cpu" else batch_size

    def embed(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, H, W, 3) uint8 RGB, aligned → (B, d) float32, not normalised. Crops of another size are resized.

        Raises InputError for pictures of another type or shape, ResourceError when memory ends, with the batch
        that fits.
        """
        if image_BHWC.ndim != 4 or image_BHWC.shape[3] != 3 or image_BHWC.dtype != np.uint8:
            raise InputError(
                f"The crops are {image_BHWC.dtype} {image_BHWC.shape}.",
                "An encoder reads uint8 (B, height, width, 3), RGB.",
            )
        number = len(image_BHWC)
        embedding_BD = np.empty((number, self.dimension), np.float32)
        for start in range(0, number, self.batch):
            piece_BHWC = _sized(image_BHWC[start : start + self.batch], self.image_size)
            filled_BHWC = np.zeros((self.batch, *piece_BHWC.shape[1:]), np.uint8)
            filled_BHWC[: len(piece_BHWC)] = piece_BHWC
            embedding_BD[start : start + self.batch] = self.embedder(filled_BHWC)[: len(piece_BHWC)]
        return embedding_BD


def open_encoder(path: Path, device: str | None = None, batch_size: int = BATCH["cuda"]) -> RecogniserEncoder:
    """The recogniser in a checkpoint: ours, AdaFace's, CVLface's or insightface's. device None: a GPU if there is one.

    batch_size: crops that the network sees at once on a GPU (`encoder.batch_size`); on a CPU eight, or this if it is less.
    Raises InputError for files that hold none, ResourceError for a device that is absent.
    """
    module, info = checkpoints.load_backbone(path)
    embedder = TorchEmbedder(
        module,
        path.stem,
        info.color,
        info.image_size,
        devices.choose(device or "auto"),
        info.backbone,
        batch_setting="encoder.batch_size",
    )
    return RecogniserEncoder(embedder, info.embedding_size, Provenance(str(path), files.sha256_file(path)), batch_size)


def _sized(image_BHWC: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if image_BHWC.shape[1:3] == (size, size):
        return image_BHWC
    import cv2

    shrinks = image_BHWC.shape[1] > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(image, (size, size), interpolation=how) for image in image_BHWC]).astype(np.uint8)
