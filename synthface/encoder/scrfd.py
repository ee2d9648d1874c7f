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


class Detector:
    """Finds faces in pictures of any size.

    The picture is scaled into the upper left of a square of `size` pixels (a network of fixed size keeps its own).
    threshold: least score. batch_size: pictures that the network sees at once on a GPU.
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
        self._center_SN2 = [_centers(*self.size, stride, self.anchors) for stride in self.strides]
        if network.batched:
            self._layout = self._find_layout()

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """The faces of each picture (H, W, 3) uint8 RGB."""
        found: list[Detections] = []
        for start in range(0, len(images), self.batch_size):
            found.extend(self._detect(images[start : start + self.batch_size]))
        return found

    def _detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        if not self.network.batched:  # each picture from pixels to faces on one thread
            return self.network.map(self._detect_one, images)
        prepared = self.network.map(self._prepare, images)
        outputs = self._per_picture(self.network.run(np.concatenate([image for image, _ in prepared])), len(images))
        return [self._decode([output[k] for output in outputs], scale) for k, (_, scale) in enumerate(prepared)]

    def _detect_one(self, image_HWC: NDArray[np.uint8]) -> Detections:
        image_1CHW, scale = self._prepare(image_HWC)
        outputs = self.network.run_one(image_1CHW)
        return self._decode([output.reshape(-1, output.shape[-1]) for output in outputs], scale)

    def _prepare(self, image_HWC: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        """The network's input (1, 3, H, W) and the factor by which the picture was scaled into it."""
        import cv2

        height, width = self.size
        rows, columns = image_HWC.shape[:2]
        if rows / columns > height / width:
            new_height, new_width = height, max(int(height / (rows / columns)), 1)
        else:
            new_height, new_width = max(int(width * (rows / columns)), 1), width
        canvas_HWC = np.zeros((height, width, 3), np.uint8)
        canvas_HWC[:new_height, :new_width] = cv2.resize(image_HWC, (new_width, new_height))
        blob = cv2.dnn.blobFromImage(canvas_HWC, 1.0 / 128.0, (width, height), (127.5, 127.5, 127.5), swapRB=False)
        return blob, new_height / rows

    def _decode(self, outputs: Sequence[Array], scale: float) -> Detections:
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
            boxes.append(np.hstack([center_K2 - distance_K4[:, :2], center_K2 + distance_K4[:, 2:]]) / scale)
            landmarks.append((center_K2[:, None] + offset_K52) / scale)
        score_K = np.concatenate(scores)
        order = np.argsort(-score_K, kind="stable")
        box_K4 = np.concatenate(boxes).astype(np.float32)[order]
        kept = suppress(box_K4, NMS_THRESHOLD)
        landmark_K52 = np.concatenate(landmarks).astype(np.float32)[order]
        return Detections(box_K4[kept], score_K[order][kept], landmark_K52[kept])

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
