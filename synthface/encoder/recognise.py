"""Aligned crops → embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.encoder import align
from synthface.encoder.network import Network
from synthface.errors import InputError


@dataclass(frozen=True)
class Provenance:
    """Which network made an embedding: the name it was asked for by, and the bytes behind the name."""

    name: str
    sha256: str

    def facts(self) -> dict[str, str]:
        return {"name": self.name, "sha256": self.sha256}


class Encoder(Protocol):
    """Aligned faces → embeddings. `dimension` d; `image_size` of the crops that it reads."""

    dimension: int
    image_size: int
    provenance: Provenance

    def embed(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, size, size, 3) uint8 RGB, aligned → (B, d) float32, not normalised: the length tells of quality."""
        ...


class OnnxEncoder:
    """A recogniser in ONNX, in insightface's convention.

    Its input is (x − 127.5) / 127.5 in RGB, unless the graph begins with a subtraction and a multiplication of its own,
    by which insightface tells the networks of the MXNet time. Crops of another size than the network's are resized.
    batch_size: crops that the network sees at once on a GPU. Raises InputError for networks of another kind.
    """

    def __init__(self, network: Network, name: str | None = None, batch_size: int = 64) -> None:
        self.network, self.batch_size = network, batch_size
        shapes, size = network.output_shapes, network.input_shape[2:]
        if len(shapes) != 1 or len(shapes[0]) != 2 or network.input_shape[1] not in (3, "C", None):
            raise InputError(
                f"{network.path} is not a face recogniser: input {network.input_shape}, outputs {shapes}.",
                "A recogniser reads (n, 3, 112, 112) and gives one vector a picture.",
            )
        if isinstance(size[0], int) and size[0] != size[1]:
            raise InputError(
                f"{network.path} reads crops of {size[1]}×{size[0]} pixels.", "Give one that reads squares."
            )
        self.image_size = int(size[0]) if isinstance(size[0], int) else align.CROP_SIZE
        self._normalises = normalises_itself(network.path)
        self.provenance = Provenance(name or network.path.stem, files.sha256_file(network.path))
        width = shapes[0][1]
        self.dimension = int(width) if isinstance(width, int) else self._measure()

    def embed(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See Encoder. Raises InputError for pictures of another type or shape, ResourceError when memory ends."""
        image_BHWC = checked(image_BHWC)
        if image_BHWC.shape[1:3] != (self.image_size, self.image_size):
            image_BHWC = np.stack([align.resized(image, self.image_size) for image in image_BHWC])
        rows = [
            self._run(image_BHWC[start : start + self.batch_size])
            for start in range(0, len(image_BHWC), self.batch_size)
        ]
        return (
            np.concatenate(rows).astype(np.float32, copy=False) if rows else np.empty((0, self.dimension), np.float32)
        )

    def _run(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Where batches are computed at once they are filled up: a kernel is chosen by their size, and others round otherwise."""
        number = len(image_BHWC)
        if self.network.batched and number < self.batch_size:
            image_BHWC = np.pad(image_BHWC, ((0, self.batch_size - number), (0, 0), (0, 0), (0, 0)))
        embedding_BD: NDArray[np.floating] = self.network.run(self._prepared(image_BHWC))[0][:number]
        return embedding_BD

    def _prepared(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        image_BCHW = np.ascontiguousarray(image_BHWC.transpose(0, 3, 1, 2), dtype=np.float32)
        if not self._normalises:
            image_BCHW -= np.float32(127.5)
            image_BCHW *= np.float32(1 / 127.5)
        return image_BCHW

    def _measure(self) -> int:
        gray = np.full((1, self.image_size, self.image_size, 3), 127, np.uint8)
        return int(self.network.run(self._prepared(gray))[0].shape[1])


def checked(image_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pictures themselves; raises InputError when they are not (B, H, W, 3) uint8."""
    if image_BHWC.ndim != 4 or image_BHWC.shape[3] != 3 or image_BHWC.dtype != np.uint8:
        raise InputError(
            f"The crops are {image_BHWC.dtype} {image_BHWC.shape}.",
            "An encoder reads uint8 (B, height, width, 3), RGB.",
        )
    return image_BHWC


def normalises_itself(path: Path) -> bool:
    """insightface's rule: a Sub and a Mul among the first eight nodes, by their names."""
    import onnx

    names = [node.name for node in onnx.load(str(path), load_external_data=False).graph.node[:8]]
    return any(name.startswith(("Sub", "_minus")) for name in names) and any(
        name.startswith(("Mul", "_mul")) for name in names
    )
