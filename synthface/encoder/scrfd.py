"""The face detector SCRFD (Guo et al., ICLR 2022) with five landmarks: as insightface decodes it, for any batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.encoder.network import Array, Network
from synthface.errors import InputError

NMS_THRESHOLD = 0.4
# number of outputs → (strides, anchors a cell): scores, boxes and landmarks for each stride
_HEADS = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}


class Detections(NamedTuple):
    """The faces of one picture, best first, in its pixels."""

    box_N4: NDArray[np.float32]  # left, top, right, bottom
    score_N: NDArray[np.float32]
    landmark_N52: NDArray[np.float32]


class Placed(NamedTuple):
    """A picture as the network sees it: scaled, and moved right and down by `offset` pixels."""

    image_1CHW: NDArray[np.float32]
    scale: float
    offset: int


class Detector:
    """Finds faces in pictures of any size.

    The picture is scaled into the upper left of a square of `size` pixels (a network of fixed size keeps its own), with
    a black margin around it when one is asked for. threshold: least score. batch_size: pictures that the network sees
    at once on a GPU.
    """

    def __init__(self, network: Network, size: int = 640, threshold: float = 0.5, batch_size: int = 8) -> None:
        outputs = len(network.output_shapes)
        if outputs not in _HEADS:
            raise InputError(
                f"{network.path} is not a face detector with landmarks: it has {outputs} outputs.",
                "Give an SCRFD network with five landmarks (9 or 15 outputs), such as scrfd_10g_bnkps.onnx.",
            )
        self.network, self.threshold, self.batch_size = network, threshold, batch_size
        self.strides, self.anchors = _HEADS[outputs]
        height, width = network.input_shape[2:]
        fixed = isinstance(height, int) and isinstance(width, int)
        self.size = (int(height), int(width)) if fixed else (size, size)
        coarsest = self.strides[-1]
        if any(side % coarsest for side in self.size):  # its cells would be counted otherwise than by the network
            raise InputError(
                f"{network.path} sees cells of {coarsest} pixels, of which a square of {self.size[0]} has no whole number.",
                f"Set encoder.detection_size to a multiple of {coarsest}, such as {-(-max(self.size) // coarsest) * coarsest}.",
            )
        self._center_SN2 = [_centers(*self.size, stride, self.anchors) for stride in self.strides]
        if network.batched:
            self._layout = self._find_layout()

    def __call__(self, images: Sequence[NDArray[np.uint8]], margin: float = 0.0) -> list[Detections]:
        """The faces of each picture (H, W, 3) uint8 RGB; `margin`: share of the longer side, on all four sides."""
        if not self.network.batched:  # each picture from pixels to faces on one thread
            return self.network.map(lambda image: self.detect_one(image, margin), images)
        found: list[Detections] = []
        for start in range(0, len(images), self.batch_size):
            found.extend(self._detect_batch(images[start : start + self.batch_size], margin))
        return found

    def detect_one(self, image_HWC: NDArray[np.uint8], margin: float = 0.0) -> Detections:
        """The faces of one picture, on the caller's thread."""
        placed = self._place(image_HWC, margin)
        outputs = self.network.run_one(placed.image_1CHW)
        return self._decode([output.reshape(-1, output.shape[-1]) for output in outputs], placed)

    def _detect_batch(self, images: Sequence[NDArray[np.uint8]], margin: float) -> list[Detections]:
        placed = self.network.map(lambda image: self._place(image, margin), images)
        filled = placed + placed[-1:] * (self.batch_size - len(placed))  # one kernel for all batches: the same bits
        outputs = self._per_picture(self.network.run(np.concatenate([one.image_1CHW for one in filled])), len(filled))
        return [self._decode([output[k] for output in outputs], one) for k, one in enumerate(placed)]

    def _place(self, image_HWC: NDArray[np.uint8], margin: float) -> Placed:
        """Scales first and adds the margin then: a margin around a large picture would cost several times its memory."""
        import cv2

        height, width = self.size
        rows, columns = image_HWC.shape[:2]
        padding = margin * max(rows, columns)
        if rows / columns > height / width:
            new_height = max(round(height * rows / (rows + 2 * padding)), 1)
            new_width = max(int(new_height / (rows / columns)), 1)
        else:
            new_width = max(round(width * columns / (columns + 2 * padding)), 1)
            new_height = max(int(new_width * (rows / columns)), 1)
        scale = new_height / rows
        offset = int(padding * scale)
        canvas_HWC = np.zeros((height, width, 3), np.uint8)
        scaled_HWC = cv2.resize(image_HWC, (new_width, new_height))
        canvas_HWC[offset : offset + new_height, offset : offset + new_width] = scaled_HWC
        blob = cv2.dnn.blobFromImage(canvas_HWC, 1.0 / 128.0, (width, height), (127.5, 127.5, 127.5), swapRB=False)
        return Placed(blob, scale, offset)

    def _decode(self, outputs: Sequence[Array], placed: Placed) -> Detections:
        """outputs: of one picture, (n, 1) scores, (n, 4) distances, (n, 10) landmarks for each stride in turn."""
        levels = len(self.strides)
        scores, boxes, landmarks = [], [], []
        for level, stride in enumerate(self.strides):
            score_n = outputs[level][:, 0].astype(np.float32)
            kept = np.nonzero(score_n >= self.threshold)[0]
            center_K2 = self._center_SN2[level][kept]
            distance_K4 = outputs[level + levels][kept].astype(np.float32) * stride
            offset_K52 = (outputs[level + 2 * levels][kept].astype(np.float32) * stride).reshape(-1, 5, 2)
            scores.append(score_n[kept])
            boxes.append(np.hstack([center_K2 - distance_K4[:, :2], center_K2 + distance_K4[:, 2:]]))
            landmarks.append(center_K2[:, None] + offset_K52)
        score_K = np.concatenate(scores)
        order = np.argsort(-score_K, kind="stable")
        box_K4 = _unplaced(np.concatenate(boxes), placed)[order]
        faces = suppress(box_K4, NMS_THRESHOLD)
        landmark_K52 = _unplaced(np.concatenate(landmarks), placed)[order]
        return Detections(box_K4[faces], score_K[order][faces], landmark_K52[faces])

    def _per_picture(self, outputs: Sequence[Array], batch: int) -> list[Array]:
        """Outputs of a batch as (batch, n, k)."""
        if self._layout == "rows":
            return [output.reshape(batch, -1, output.shape[-1]) for output in outputs]
        # old exports flatten (height × width, batch, anchors): the pictures are interleaved
        return [
            output.reshape(-1, batch, self.anchors, output.shape[-1])
            .transpose(1, 0, 2, 3)
            .reshape(batch, -1, output.shape[-1])
            for output in outputs
        ]

    def _find_layout(self) -> str:
        """How the exported graph orders the rows of a batch, found by comparing two pictures together and alone.

        A graph that mixes pictures up in any other way is run one picture at a time.
        """
        noise = np.random.Generator(np.random.Philox(key=0)).standard_normal((2, 3, *self.size), np.float32)
        alone = [self.network.run(noise[k : k + 1]) for k in range(2)]
        try:
            together = self.network.run(noise)
        except Exception:
            self.network.batched = False
            return "rows"
        for layout in ("rows", "interleaved"):
            self._layout = layout
            if all(output.size == 2 * single.size for output, single in zip(together, alone[0], strict=True)):
                mine = self._per_picture(together, 2)
                if all(
                    np.allclose(mine[o][k], alone[k][o].reshape(mine[o][k].shape), rtol=1e-2, atol=1e-2)
                    for o in range(len(mine))
                    for k in range(2)
                ):
                    return layout
        self.network.batched = False
        return "rows"


def _unplaced(points: Array, placed: Placed) -> NDArray[np.float32]:
    """Coordinates in the network's square → in the picture."""
    return ((points - np.float32(placed.offset)) / placed.scale).astype(np.float32)


def suppress(box_N4: NDArray[np.float32], threshold: float) -> list[int]:
    """Greedy non-maximum suppression of boxes sorted best first; pixels are counted inclusively, as insightface does."""
    left, top, right, bottom = box_N4.T
    area_N = (right - left + 1) * (bottom - top + 1)
    remaining = np.arange(len(box_N4))
    kept: list[int] = []
    while len(remaining):
        best, others = int(remaining[0]), remaining[1:]
        kept.append(best)
        width = np.minimum(right[best], right[others]) - np.maximum(left[best], left[others]) + 1
        height = np.minimum(bottom[best], bottom[others]) - np.maximum(top[best], top[others]) + 1
        shared = np.maximum(0.0, width) * np.maximum(0.0, height)
        remaining = others[shared / (area_N[best] + area_N[others] - shared) <= threshold]
    return kept


def _centers(height: int, width: int, stride: int, anchors: int) -> NDArray[np.float32]:
    """Anchor positions (n, 2) as x, y: row by row, each cell `anchors` times."""
    y_HW, x_HW = np.mgrid[: height // stride, : width // stride]
    center_N2 = np.stack([x_HW, y_HW], axis=-1).reshape(-1, 2).astype(np.float32) * stride
    return np.repeat(center_N2, anchors, axis=0)
