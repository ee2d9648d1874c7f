"""A verification set through a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fr_train import verification
from fr_train.bins import VerificationSet
from fr_train.models import Embedder
from synthface.errors import InputError
from synthface.progress import Progress


@dataclass(frozen=True)
class EmbeddedSet:
    """A verification set after the network: raw embeddings of its 2N images, and of their mirror images."""

    name: str
    issame_N: NDArray[np.bool_]
    embedding_ID: NDArray[np.float32]
    mirrored_ID: NDArray[np.float32] | None

    @property
    def fused_ID(self) -> NDArray[np.float32]:
        """The embedding of each image, that of the mirror image added raw: long ones count for more."""
        return self.embedding_ID if self.mirrored_ID is None else self.embedding_ID + self.mirrored_ID

    @property
    def dist_N(self) -> NDArray[np.float64]:
        """Squared distances of the pairs' normalised embeddings."""
        return verification.squared_distances(self.fused_ID[0::2], self.fused_ID[1::2])


def embed(model: Embedder, benchmark: VerificationSet, *, flip: bool = True, batch_size: int = 128) -> EmbeddedSet:
    """All images of the set, in order. Raises InputError when the network gives NaN."""
    plain, mirrored = [], []
    with Progress(len(benchmark.images), "images", benchmark.name) as progress:
        for image_BHWC in benchmark.batches(batch_size, model.image_size):
            plain.append(_finite(model(image_BHWC), benchmark.name))
            if flip:
                mirrored.append(_finite(model(image_BHWC[:, :, ::-1]), benchmark.name))
            progress.update(len(image_BHWC))
    together = np.concatenate(mirrored) if flip else None
    return EmbeddedSet(benchmark.name, benchmark.issame_N, np.concatenate(plain), together)


def _finite(embedding_BD: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    if not np.isfinite(embedding_BD).all():
        raise InputError(
            f"The network gives NaN or infinity for images of the verification set '{name}'.",
            "Its weights are damaged, or its training had diverged; use an earlier checkpoint.",
        )
    return embedding_BD
