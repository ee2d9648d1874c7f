"""The embedded recipe through the whole way, against the generator alone: images/s, memory, cost of the last images.

Two commands in processes of their own, `sample-ids` and `render`, then the recipe's generator in this process, drawing as
fast as it can: one lot a core side by side, and one after another on all cores; the faster one is its own speed.

`--stand-in` puts random weights of the shape of recipes/embedded-generator.yaml in the generator's place, which cost the
same to compute, and opens the gate, which is judged all the same. `--long` renders 40,000 images as well, 2,000 people
with twenty pictures each: whether an image costs as much there as among 1,000. `--long-run DIR` keeps that run, for
benchmarks/table2.py for one.

    python benchmarks/render_embedded.py --keep
    python benchmarks/render_embedded.py --long --long-run table2/synthetic --keep      # three quarters of an hour
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import measure
import numpy as np

from synthface import devices
from synthface import recipe as recipes
from synthface.render.networks import cpu_lot
from synthface.run import RunDirectory

PER_ID = 10
SHARD = 500  # images
LONG, LONG_PER_ID = 40_000, 20  # images, with --long
ALONE_SECONDS = 15.0


def stand_in(folder: Path) -> list[str]:
    """Random weights and a prior in `folder`; the settings that use them."""
    import torch

    from synthface.generator.training import networks
    from synthface.generator.training.export import export
    from synthface.identity import fit
    from synthface.identity.embeddings import open_embeddings
    from synthface.recipe.people import PriorRecipe

    torch.manual_seed(0)
    dimension = 128
    settings = recipes.load("embedded-generator").train_generator
    latent_channels, side = settings.vae.latent_channels, settings.resolution >> (len(settings.vae.channels) - 1)
    conditioner = networks.make_conditioner(settings, dimension, folder / "tokenizer")
    export(
        folder / "generator",
        unet=networks.make_unet(settings.unet, side, latent_channels, conditioner.width),
        conditioner=conditioner,
        vae=networks.make_vae(settings.vae, settings.resolution),
        schedule=networks.SCHEDULE,
        tokenizer=folder / "tokenizer",
        facts={"dimension": dimension},
        dtype=torch.float16,
    )
    rng = np.random.default_rng(0)
    rows_MD = np.repeat(rng.standard_normal((2_000, dimension)), 3, axis=0) + 0.4 * rng.standard_normal(
        (6_000, dimension)
    )
    np.savez(folder / "real.npz", embeddings=rows_MD.astype(np.float16), labels=np.arange(6_000) // 3)
    fit.fit_prior(open_embeddings([folder / "real.npz"]), PriorRecipe()).save(folder / "prior.safetensors")
    return [
        f"generator.model={folder / 'generator'}",
        f"prior.file={folder / 'prior.safetensors'}",
        "encoder.verifier=embedded",
        "gate.min_center_similarity=-0.99",
        "gate.min_reference_similarity=-0.99",
        "gate.nearest_center=false",
        "gate.max_duplicate_similarity=1",
    ]


def synthface(*words: str) -> tuple[dict[str, Any], float]:
    """The JSON of a command and its seconds, start of Python included."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "synthface", *words, "--json"], stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(done.returncode)
    content: dict[str, Any] = json.loads(done.stdout)
    return content, time.perf_counter() - began


def whole_way(run: Path, images: int, settings: list[str], per_id: int = PER_ID) -> dict[str, Any]:
    """`render` of so many images."""
    given = [word for setting in settings for word in ("--set", setting)]
    ids = images // per_id
    synthface("sample-ids", "--ids", str(ids), "--run", str(run), *given)
    content, seconds = synthface(
        "render", "--ids", str(ids), "--per-id", str(per_id), "--run", str(run), *given,
        "--set", f"render.shard_images={SHARD}",
    )  # fmt: skip
    markers = [json.loads(path.read_text()) for path in sorted((run / "shards").glob("?????.json"))]
    each = [round(1e3 * marker["seconds"] / marker["attempts"], 2) for marker in markers]
    return {
        "images": content["images"],
        "pictures_drawn": content["attempts"],
        "kept_share": round(content["images"] / content["attempts"], 4),
        "seconds": content["seconds"],
        "images_per_second": content["images_per_second"],
        "pictures_per_second": round(content["attempts"] / content["seconds"], 3),
        "device_busy_share": content["busy_share"],
        "seconds_of_the_command_with_packing": round(seconds, 1),
        "milliseconds_a_picture_by_shard": each,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


def cost(way: dict[str, Any]) -> float:
    """Seconds a picture."""
    return float(way["seconds"] / way["pictures_drawn"])


def alone(run: Path) -> dict[str, Any]:
    """Pictures a second of the recipe's generator, doing nothing else."""
    import torch

    from synthface.generator import open_generator, sampling_options
    from synthface.identity import identities

    directory = RunDirectory(run)
    recipe = recipes.load(str(directory.recipe_file))
    condition_MD = identities.load(directory.identities).center_ND
    generator = open_generator(recipe.generator, "cpu")
    options = {name: value for name, value in sampling_options(recipe.generator).items() if name != "batch_size"}
    cores = devices.cores()

    def speed(threads: int, threads_of_each: int, lot: int) -> float:
        drawn, end, lock, begun = [0], [math.inf], threading.Lock(), threading.Barrier(threads + 1)
        rows = np.arange(lot) % len(condition_MD)

        def work() -> None:
            torch.set_num_threads(threads_of_each)
            generator.sample(condition_MD[rows], list(range(lot)), batch_size=lot, **options)
            begun.wait()
            while time.perf_counter() < end[0]:
                generator.sample(condition_MD[rows], list(range(lot)), batch_size=lot, **options)
                with lock:
                    drawn[0] += lot

        crew = [threading.Thread(target=work) for _ in range(threads)]
        for thread in crew:
            thread.start()
        begun.wait()  # all have warmed up
        began = time.perf_counter()
        end[0] = began + ALONE_SECONDS
        for thread in crew:
            thread.join()
        return drawn[0] / (time.perf_counter() - began)

    side_by_side = speed(cores, 1, cpu_lot(generator.image_size))
    together = speed(1, cores, recipe.generator.batch_size)
    return {
        "one_lot_a_core": round(side_by_side, 3),
        "one_batch_on_all_cores": round(together, 3),
        "pictures_per_second": round(max(side_by_side, together), 3),
        "precision": str(generator.dtype).removeprefix("torch."),
    }


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--long", action="store_true", help=f"{LONG:,} images as well")
    parser.add_argument("--long-run", type=Path, help="where the long run stays; default: nowhere")
    parser.add_argument("--stand-in", action="store_true", help="random weights in the generator's place")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = [*(stand_in(Path(folder)) if chosen.stand_in else []), *chosen.settings]
        run = Path(folder) / "run"
        way = whole_way(run, chosen.images, settings)
        own = alone(run)
        long_run = chosen.long_run or Path(folder) / "long"
        long = whole_way(long_run, LONG, settings, LONG_PER_ID) if chosen.long else None
    drawn_in = way if long is None else long
    measure.report(
        ("render_stand_in" if chosen.stand_in else "render_embedded") + ("_long" if chosen.long else ""),
        {
            "cores": devices.cores(),
            "weights": "random, of the embedded generator's shape" if chosen.stand_in else "embedded",
            "whole_way": way,
            "long": long,
            "long_cost_ratio": None if long is None else round(cost(long) / cost(way), 3),
            "generator_alone": own,
            "share_of_its_speed": round(drawn_in["pictures_per_second"] / own["pictures_per_second"], 3),
            "targets": {"images_per_second": 8, "share": 0.8, "peak_mib": 4_096},
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
