"""Photographs and crops → embeddings: `embed` against insightface's loop over its FaceAnalysis, with the same networks.

The photographs are cut-outs of insightface's sample picture, one face in each, as JPEG files; the crops are LFW's. Both
sides read the same files with the same networks on the same machine, in turns. The peer is used as its documentation
shows: cv2.imread and `FaceAnalysis.get` for photographs, `get_feat` for crops, onnxruntime threading each picture.

    SYNTHFACE_REAL_DATA=... python benchmarks/embed.py --keep
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np

from synthface.devices import cores
from synthface.encoder.embedding import embed
from synthface.recipe.people import EncoderRecipe

ROUNDS = 3


def write_photographs(folder: Path, peer: Any, count: int) -> list[Path]:
    """Cut-outs of the sample picture around each face, moved and scaled, kept where the peer finds one face."""
    import cv2
    from insightface.data import get_image

    group = get_image("t1")
    faces, rng, paths = peer.get(group), np.random.default_rng(0), []
    folder.mkdir()
    while len(paths) < count:
        left, top, right, bottom = faces[len(paths) % len(faces)].bbox
        side = (bottom - top) * rng.uniform(1.5, 1.9)
        x, y = (left + right) / 2 + rng.uniform(-8, 8) - side / 2, (top + bottom) / 2 + rng.uniform(-8, 8) - side / 2
        cut = group[max(int(y), 0) : int(y + side), max(int(x), 0) : int(x + side)]
        cut = cv2.resize(cut, None, fx=rng.uniform(2, 4), fy=rng.uniform(2, 4), interpolation=cv2.INTER_CUBIC)
        path = folder / f"{len(paths):05}.jpg"
        cv2.imwrite(str(path), cut, [cv2.IMWRITE_JPEG_QUALITY, 92])
        if len(peer.get(cv2.imread(str(path)))) == 1:
            paths.append(path)
    for leftover in set(folder.iterdir()) - set(paths):
        leftover.unlink()
    return paths


def write_crops(folder: Path, real: Path, count: int) -> list[Path]:
    from fr_train import bins

    faces = bins.read(real / "lfw_gray_dev.bin")
    folder.mkdir()
    paths = [folder / f"{number:05}.jpg" for number in range(count)]
    for path, data in zip(paths, faces.images, strict=False):
        path.write_bytes(data)
    return paths


def ours(folder: Path, recipe: EncoderRecipe) -> np.ndarray:
    """The command's work, file and all."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "emb.npy"
        embed([folder], out, recipe, device="cpu")
        rows: np.ndarray = np.load(out)
    return rows


def peers_photographs(paths: list[Path], peer: Any) -> np.ndarray:
    import cv2

    return np.stack([peer.get(cv2.imread(str(path)))[0].embedding for path in paths])


def peers_crops(paths: list[Path], peer: Any) -> np.ndarray:
    import cv2

    recogniser = peer.models["recognition"]
    return np.concatenate([recogniser.get_feat(cv2.imread(str(path))) for path in paths])


def in_turns(one: Callable[[], np.ndarray], other: Callable[[], np.ndarray]) -> tuple[list[float], list[float], float]:
    """Seconds of each in ROUNDS rounds after a warm-up, and the largest difference of their results."""
    difference = float(np.abs(one() - other()).max())
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for function, found in zip((one, other), times, strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    return *times, difference


def compared(count: int, one: Callable[[], np.ndarray], other: Callable[[], np.ndarray]) -> dict[str, Any]:
    mine, peers, difference = in_turns(one, other)
    return {
        "pictures": count,
        "images_per_second": round(count / statistics.median(mine), 1),
        "insightface_images_per_second": round(count / statistics.median(peers), 1),
        "ratio": round(statistics.median(p / m for m, p in zip(mine, peers, strict=True)), 2),
        "ratios": [round(p / m, 2) for m, p in zip(mine, peers, strict=True)],
        "largest_difference_of_embeddings": difference,
    }


def main() -> None:
    from insightface.app import FaceAnalysis

    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--photographs", type=int, default=96)
    parser.add_argument("--crops", type=int, default=1_024)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if "SYNTHFACE_REAL_DATA" not in os.environ:
        parser.error(
            "the photographs and networks of this comparison lie where SYNTHFACE_REAL_DATA says, and it says nothing"
        )
    real = Path(os.environ["SYNTHFACE_REAL_DATA"])
    networks = real / "models" / "mini"
    with contextlib.redirect_stdout(sys.stderr):  # insightface talks on stdout
        peer = FaceAnalysis(name="mini", root=str(real), providers=["CPUExecutionProvider"])
        peer.prepare(ctx_id=-1, det_size=(640, 640))
    recipe = EncoderRecipe(
        model=str(networks / "mobilefacenet_112.onnx"), detector=str(networks / "scrfd_2.5g_kps.onnx")
    )
    aligned = recipe.model_copy(update={"detector": None})
    with tempfile.TemporaryDirectory() as place:
        photographs = write_photographs(Path(place) / "photographs", peer, chosen.photographs)
        crops = write_crops(Path(place) / "crops", real, chosen.crops)
        found = {
            "photographs": compared(
                len(photographs),
                lambda: ours(photographs[0].parent, recipe),
                lambda: peers_photographs(photographs, peer),
            ),
            "crops": compared(len(crops), lambda: ours(crops[0].parent, aligned), lambda: peers_crops(crops, peer)),
        }
    measure.report(
        "embed", {"cores": cores(), "detector": "SCRFD-2.5GF, 640", "encoder": "MobileFaceNet", **found}, chosen.keep
    )


if __name__ == "__main__":
    main()
