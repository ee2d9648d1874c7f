"""Arc2Face's Table 2 in miniature: the same recogniser, trained on people who do not exist and on "real" ones.

The real people are parametric ones of a crowd that no shipped model has seen. For each number of people both recognisers
are trained with the embedded recipe on the first so many people, twenty pictures each, and seen as often: every cell costs
the same number of pictures. They are measured on the five sets of further people. Sources of one size are trained side by
side, a share of the cores each. One more recogniser sees the fewest real people through the generator's autoencoder: what
it lacks is the autoencoder's part of the gap, the rest is the denoiser's.

Everything is made by the public commands in a folder and goes on where it was stopped; a rendering of
`render_embedded.py --long-run table2/synthetic` is used as it is. Pictures of other weights are not told from these: after
a change of the generator begin another folder, or remove synthetic* and autoencoder* from this one.

    python benchmarks/table2.py --folder table2 --keep      # some two hours on two cores
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import measure

from fr_train import benchmarks
from synthface import devices
from synthface import recipe as recipes

SIZES, PER_ID = (500, 1_000, 2_000), 20
CROWD = "table-2"
SOURCES = ("synthetic", "parametric")
PICTURES = 200_000  # that a recogniser sees while it is trained
TARGET_GAP = 5.0  # points of the mean


def synthface(*words: object, cores: set[int] | None = None, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """The JSON of a command, which may use these cores."""
    command = [sys.executable, "-m", "synthface", *map(str, words), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(len(cores))} if cores else None
    bind = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, preexec_fn=bind, check=False)
    if done.returncode not in codes:
        raise SystemExit(done.returncode)
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def datasets(folder: Path) -> dict[str, Path]:
    """The largest dataset of each source."""
    synthetic, parametric = folder / "synthetic", folder / "parametric"
    if not (synthetic / "dataset" / "property").exists():
        synthface("sample-ids", "--ids", max(SIZES), "--run", synthetic)
        synthface("render", "--ids", max(SIZES), "--per-id", PER_ID, "--run", synthetic, codes=(0, 3))
    if not (parametric / "property").exists():
        synthface(
            "parametric", "people", "--ids", max(SIZES), "--per-id", PER_ID, "--crowd", CROWD, "--out", parametric
        )
    return {"synthetic": synthetic / "dataset", "parametric": parametric}


def through_autoencoder(folder: Path, data: Path) -> Path:
    """Class folders of the same pictures, encoded and decoded by the generator's autoencoder alone."""
    import cv2
    import numpy as np
    import torch

    from synthface.dataset import open_dataset
    from synthface.generator.decode import decode, to_uint8
    from synthface.generator.open import open_generator

    done, whole = folder / "autoencoder", open_dataset(data)
    if done.exists():
        return done
    half = folder / "autoencoder.part"
    vae = open_generator(recipes.load("embedded").generator).vae
    for index_B in np.array_split(np.arange(len(whole)), -(-len(whole) // 64)):
        picture_BHWC = np.stack([whole.image(int(i)) for i in index_B])
        x_BCHW = torch.from_numpy(picture_BHWC).permute(0, 3, 1, 2).to(vae.device, vae.dtype) / 127.5 - 1
        with torch.inference_mode():
            latent_BCHW = vae.encode(x_BCHW).latent_dist.mode()
            again_BHWC = to_uint8(decode(vae, latent_BCHW * vae.config.scaling_factor))
        for i, image_HWC in zip(index_B, again_BHWC, strict=True):
            person = half / f"{whole.labels_N[i]:06d}"
            person.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(person / f"{i:06d}.jpg"), image_HWC[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    half.rename(done)
    return done


def trained(folder: Path, source: str, whole: Path, size: int, pairs: int, cores: set[int]) -> dict[str, Any]:
    """One cell: the first `size` people of a source, a recogniser of them, and its accuracies."""
    data = whole if size == max(SIZES) else folder / f"{source}-{size}" / "data"
    if not (data / "property").exists():
        synthface("pack", whole, "--out", data, "--max-identities", size)
    content = synthface(
        "train-fr", "--recipe", "embedded", "--data", data, "--run", folder / f"{source}-{size}",
        "--epochs", round(PICTURES / (size * PER_ID)), "--set", f"evaluate.pairs={pairs}", cores=cores,
    )  # fmt: skip
    sets = content["evaluation"]["benchmarks"]
    return {
        "people": content["training"]["classes"],
        "pictures": content["training"]["pictures"],
        "steps": content["training"]["steps"],
        **{name: round(100 * one["accuracy"], 2) for name, one in sets.items()},
        "mean": round(100 * content["evaluation"]["mean_accuracy"], 2),
    }


def shares() -> list[set[int]]:
    """The cores for each source."""
    mine = sorted(os.sched_getaffinity(0))
    half = max(len(mine) // len(SOURCES), 1)
    return [set(mine[:half]), set(mine[-half:])]


def table(rows: list[dict[str, Any]]) -> str:
    """The result as the paper prints it: a row a training set, the gap to real data last."""
    names = recipes.load("embedded").evaluate.names
    heads = ["trained on", *map(benchmarks.title, names), "mean", "gap"]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for row in rows:
        for source in reversed(SOURCES):
            cell = row[source]
            gap = f"{row['gap']:.2f}" if source == "synthetic" else ""
            figures = [f"{cell[name]:.2f}" for name in (*names, "mean")]
            lines.append(f"| {cell['people']:,} × {PER_ID}, {source} | " + " | ".join([*figures, gap]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--folder", type=Path, default=Path("table2"), help="where data and trainings stay")
    parser.add_argument("--pairs", type=int, default=1_200, help="of each of the five sets")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    whole, rows = datasets(chosen.folder), []
    for size in SIZES:
        with ThreadPoolExecutor(len(SOURCES)) as pool:
            cells = list(
                pool.map(
                    lambda source, cores, size=size: trained(
                        chosen.folder, source, whole[source], size, chosen.pairs, cores
                    ),
                    SOURCES,
                    shares(),
                )
            )
        row: dict[str, Any] = dict(zip(SOURCES, cells, strict=True))
        rows.append({**row, "gap": round(row["parametric"]["mean"] - row["synthetic"]["mean"], 2)})
    least, part = min(SIZES), shares()[0]
    softened = through_autoencoder(chosen.folder, chosen.folder / f"parametric-{least}" / "data")
    autoencoder = trained(chosen.folder, "autoencoder", softened, least, chosen.pairs, part)
    print(table(rows), file=sys.stderr)
    recipe = recipes.load("embedded")
    measure.report(
        "table2",
        {
            "cores": devices.cores(),
            "backbone": recipe.train.backbone,
            "head": recipe.train.head,
            "pictures_seen_by_each": PICTURES,
            "pairs_of_each_set": chosen.pairs,
            "rows": rows,
            "through_the_autoencoder": {
                **autoencoder,
                "gap": round(rows[SIZES.index(least)]["parametric"]["mean"] - autoencoder["mean"], 2),
            },
            "targets": {"gap": TARGET_GAP},
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
