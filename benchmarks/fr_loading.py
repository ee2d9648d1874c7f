"""Training batches from RecordIO: ours against a per-sample PIL pipeline with the same augmentations, per core.

The peer is what AdaFace's data set does for a sample, with the record's bytes already at hand (its MXNet reader is
measured in recordio.py): PIL decodes, `Augmenter` crops, scales down and up and changes colours with probability .2 each,
torchvision flips, ToTensor and Normalize make float32, and PyTorch's collation makes the batch. Both sides read the same
1,000 parametric faces, one thread, in turns. Ours ends with uint8, which is what goes to the device; it is also measured
with the normalisation of the batch on the same core (`normalised`).

The decoders are compared on the same pictures into one array: simplejpeg, OpenCV, PIL. Then each gets pictures in which eight
bytes of the coded data were overwritten, and it is counted how many it refuses.

    python benchmarks/fr_loading.py --keep
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import measure
import numpy as np
import torch

from fr_train.data.decode import decode_into
from fr_train.data.loader import Loader
from fr_train.data.sources import Sources, open_sources
from fr_train.training.recogniser import normalised
from synthface.dataset import Row, ShardWriter
from synthface.parametric.studio import Shoot, Studio
from synthface.recipe.recognition import AugmentRecipe

PEOPLE, PER_PERSON, BATCH = 100, 10, 500
AUGMENT = AugmentRecipe()  # flip .5, the others .2
INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def write_dataset(folder: Path) -> Path:
    """Parametric people as `parametric people` photographs them, in one RecordIO file."""
    person_N = np.repeat(np.arange(PEOPLE), PER_PERSON)
    shoot = Shoot(0, "benchmark", person_N, np.arange(len(person_N)))
    with Studio() as studio, ShardWriter(folder / "train") as shard:
        for number, photograph in enumerate(studio.take(shoot)):
            shard.write(photograph.jpeg, Row(identity=int(person_N[number]), index=number % PER_PERSON, seed=0))
    return folder


class PerSample(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """One sample at a time, as AdaFace's `AugmentRecordDataset` with its `Augmenter` and transform."""

    def __init__(self, payloads: list[bytes], label_N: np.ndarray) -> None:
        from torchvision import transforms

        self.payloads, self.label_N = payloads, label_N
        self.rng = np.random.default_rng(0)
        self.resized_crop = transforms.RandomResizedCrop((112, 112), scale=(0.2, 1.0), ratio=(0.75, 4 / 3))
        self.jitter = transforms.ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0)
        self.transform = transforms.Compose([
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.payloads)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        from PIL import Image

        image = Image.open(io.BytesIO(self.payloads[index])).convert("RGB")
        if self.rng.random() < AUGMENT.crop:
            image = self._crop(image)
        if self.rng.random() < AUGMENT.low_resolution:
            image = self._low_resolution(np.array(image))
        if self.rng.random() < AUGMENT.photometric:
            image = self._photometric(image)
        return self.transform(image), torch.tensor(self.label_N[index], dtype=torch.long)

    def _crop(self, image: Any) -> Any:
        from PIL import Image
        from torchvision.transforms import functional as F

        new = np.zeros_like(np.array(image))
        i, j, h, w = self.resized_crop.get_params(image, self.resized_crop.scale, self.resized_crop.ratio)
        new[i : i + h, j : j + w, :] = np.array(F.crop(image, i, j, h, w))
        return Image.fromarray(new.astype(np.uint8))

    def _low_resolution(self, image_HWC: np.ndarray) -> Any:
        from PIL import Image

        side = int(self.rng.uniform(0.2, 1.0) * image_HWC.shape[0])
        small = cv2.resize(image_HWC, (side, side), interpolation=int(self.rng.choice(INTERPOLATIONS)))
        large = cv2.resize(small, image_HWC.shape[1::-1], interpolation=int(self.rng.choice(INTERPOLATIONS)))
        return Image.fromarray(large.astype(np.uint8))

    def _photometric(self, image: Any) -> Any:
        from torchvision.transforms import functional as F

        jitter = self.jitter
        order, *factors = jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)
        for step in order:
            if step < 3:
                image = changes[step](image, factors[step])
        return image


def our_epoch(loader: Loader, floats: bool) -> None:
    for batch in loader.batches(0, loader.steps_per_epoch):
        image_BHWC = torch.from_numpy(batch.image_BHWC)
        if floats:
            normalised(image_BHWC, "rgb")


def decoders(sources: Sources) -> dict[str, Callable[[], None]]:
    from PIL import Image

    payloads = sources.payloads(np.arange(len(sources)))
    image_BHWC = np.empty((len(payloads), 112, 112, 3), np.uint8)

    def simplejpeg_() -> None:
        for row, payload in enumerate(payloads):
            decode_into(payload, image_BHWC[row])

    def opencv() -> None:
        for row, payload in enumerate(payloads):
            bgr_HWC = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
            cv2.cvtColor(bgr_HWC, cv2.COLOR_BGR2RGB, dst=image_BHWC[row])

    def pil() -> None:
        for row, payload in enumerate(payloads):
            image_BHWC[row] = np.asarray(Image.open(io.BytesIO(payload)).convert("RGB"))

    return {"simplejpeg": simplejpeg_, "opencv": opencv, "pil": pil}


def noticed_damage(payloads: list[bytes], trials: int = 200) -> dict[str, Any]:
    """How many of so many damaged pictures each decoder refuses."""
    from PIL import Image

    rng, image_HWC = np.random.default_rng(0), np.empty((112, 112, 3), np.uint8)
    refused = {"simplejpeg": 0, "opencv": 0, "pil": 0}
    with _silent():  # libjpeg talks on the process's stderr
        for trial in range(trials):
            damaged = bytearray(payloads[trial % len(payloads)])
            start = int(rng.integers(len(damaged) // 4, len(damaged) - 20))
            damaged[start : start + 8] = rng.bytes(8)
            payload = bytes(damaged)
            try:
                decode_into(payload, image_HWC)
            except ValueError:
                refused["simplejpeg"] += 1
            refused["opencv"] += cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR) is None
            try:
                Image.open(io.BytesIO(payload)).convert("RGB")
            except (OSError, ValueError):
                refused["pil"] += 1
    return {"pictures": trials, "refused": refused}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def in_turns(functions: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def rates(times: dict[str, list[float]], number: int, peer: str) -> dict[str, Any]:
    """Images a second, and how many times as fast as the peer, round by round."""
    described: dict[str, Any] = {}
    for name, found in times.items():
        ratios = [theirs / mine for theirs, mine in zip(times[peer], found, strict=True)]
        described[name] = {
            "images_per_second": round(number / statistics.median(found)),
            f"ratio_to_{peer}": round(statistics.median(ratios), 2),
            "ratios": [round(ratio, 2) for ratio in ratios],
        }
    return described


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place:
        sources = open_sources([write_dataset(Path(place))])
        number = len(sources)
        payloads = [bytes(payload) for payload in sources.payloads(np.arange(number))]
        loader = Loader(sources, AUGMENT, seed=0, batch_size=BATCH, workers=0)
        peer = torch.utils.data.DataLoader(
            PerSample(payloads, sources.labels_N), BATCH, shuffle=True, drop_last=True, num_workers=0
        )
        found = in_turns(
            {
                "per_sample": lambda: [None for _ in peer].clear(),
                "ours": lambda: our_epoch(loader, floats=False),
                "ours_normalised": lambda: our_epoch(loader, floats=True),
            },
            chosen.rounds,
        )
        decoded = in_turns(decoders(sources), chosen.rounds)
    result = {
        "pictures": number,
        "bytes_of_a_picture": round(sum(map(len, payloads)) / number),
        "batch_size": BATCH,
        "threads": 1,
        "augmentations": AUGMENT.model_dump(),
        "loading": rates(found, number, "per_sample"),
        "decoding": rates(decoded, number, "opencv"),
        "damage": noticed_damage(payloads),
    }
    measure.report("fr_loading", result, chosen.keep)


if __name__ == "__main__":
    main()
