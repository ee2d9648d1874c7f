"""Everything of `render` but the generation: conditions, crop, gate, JPEG, shards, with networks that answer at once.

The generator copies stored faces, the recognisers look up what it was asked for, the detector knows where the face is. All
else is the real way: 10,000 people of 512 dimensions, of whom the first are rendered, conditions by the within-class
covariance, both gates over all people, JPEG, shards with their hashes, in as many processes as there are cores, each with
--part. `images_per_second` leaves out the first shard of each process, in which libraries are loaded. `aligned`: the
generator draws crops of 112 pixels. `full_size`: it draws 512 pixels, which are warped to crops.

    python benchmarks/render_overhead.py --keep
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure
import numpy as np
import yaml

from synthface import devices
from synthface import recipe as recipes
from synthface.encoder import Provenance, align
from synthface.encoder.faces import Face
from synthface.identity import fit
from synthface.identity.embeddings import open_embeddings
from synthface.recipe.people import PriorRecipe
from synthface.render import rendering, worker
from synthface.render.networks import Networks
from synthface.run import RunDirectory

PEOPLE, PER_ID, DIMENSION = 10_000, 50, 512
SHARD = 1_000  # images
KEEP = 8_192  # pictures whose conditions are remembered: more than are ever between generator and encoder
STAMP = 16  # pixels of the corner that tell a picture's number
FORMS = {"aligned": 112, "full_size": 512}  # side of the generator's pictures


class Instant:
    """A generator that copies faces, and its recognisers, who read a number from a corner of the picture."""

    provenance = Provenance("instant", "instant")
    dimension = DIMENSION

    def __init__(self, side: int) -> None:
        self.image_size = side
        self._face_FHWC = faces(side)
        self._asked_KD = np.empty((KEEP, DIMENSION), np.float32)
        self._drawn = 0

    def sample(self, condition_ND: np.ndarray, seeds: Sequence[int], batch_size: int, **_: Any) -> np.ndarray:
        image_NHWC = self._face_FHWC[np.array(seeds, np.uint64) % np.uint64(len(self._face_FHWC))]
        number_N = np.arange(self._drawn, self._drawn + len(seeds))
        self._drawn += len(seeds)
        self._asked_KD[number_N % KEEP] = condition_ND
        for channel in range(3):
            image_NHWC[:, :STAMP, :STAMP, channel] = (number_N >> 8 * channel & 255)[:, None, None]
        return image_NHWC

    def embed(self, crop_BHWC: np.ndarray) -> np.ndarray:
        corner_B3 = crop_BHWC[:, 0, 0].astype(np.int64)
        rows: np.ndarray = self._asked_KD[(corner_B3 @ [1, 1 << 8, 1 << 16]) % KEEP]
        return rows

    def find(self, images: Sequence[np.ndarray]) -> list[Face]:
        landmark_52 = align.template(112) * np.float32(self.image_size / 112)
        return [Face(np.zeros(4, np.float32), landmark_52, 0.9, 0.0, 1) for _ in images]


def faces(side: int) -> np.ndarray:
    """64 computed faces (64, side, side, 3) uint8."""
    import cv2
    import simplejpeg

    from synthface.parametric.studio import Shoot, take

    shots = take(Shoot(0, "train", np.arange(64), np.zeros(64, np.int64)))
    return np.stack([cv2.resize(simplejpeg.decode_jpeg(shot.jpeg, "RGB"), (side, side)) for shot in shots])


def make_run(run: Path, form: str) -> None:
    """A run directory with people, prior and recipe; the recipe's own models are of no size."""
    from synthface.identity.sphere import normalize

    run.mkdir()
    rng = np.random.default_rng(0)
    person_MD = np.repeat(rng.standard_normal((1_000, DIMENSION)), 3, axis=0)
    rows_MD = person_MD + 0.4 * rng.standard_normal((3_000, DIMENSION))
    np.savez(run / "real.npz", embeddings=rows_MD.astype(np.float16), labels=np.arange(3_000) // 3)
    fit.fit_prior(open_embeddings([run / "real.npz"]), PriorRecipe()).save(run / "prior.safetensors")
    np.save(run / "people.npy", normalize(rng.standard_normal((PEOPLE, DIMENSION))))
    content: dict[str, Any] = {
        "name": "overhead",
        "encoder": {"model": "dry", "verifier": "dry", "dimension": DIMENSION},
        "generator": {"model": "dry"},
        "prior": {"file": str(run / "prior.safetensors")},
        "render": {
            "ids": PEOPLE,
            "per_id": PER_ID,
            "identities": str(run / "people.npy"),
            "shard_images": SHARD,
        },
    }
    (run / "recipe.yaml").write_text(yaml.safe_dump(content))


def order_of(run: Path) -> rendering.Order:
    directory = RunDirectory(run)
    return rendering.take_order(recipes.load(str(directory.recipe_file)), directory)


def work(run: Path, form: str, part: tuple[int, int], images: int) -> None:
    """One process: its part of the first `images`, told as JSON."""
    networks = Instant(FORMS[form])

    def at_once(recipe: Any, dimension: int, device: str) -> Networks:
        return Networks(
            device, "cuda", "none", "none", recipe.generator.batch_size, networks, {}, networks, networks,
            networks.find if form == "full_size" else None,  # type: ignore[arg-type]
        )  # fmt: skip

    worker.open_networks = at_once
    order = order_of(run)
    if form == "full_size":
        crop = order.recipe.crop.model_copy(update={"align": "detect"})
        order.recipe.__dict__["crop"] = crop
    first = images // SHARD
    began_cpu = time.process_time()
    print("ready", flush=True)
    sys.stdin.readline()
    outcome = rendering.render(order, part, only=lambda todo: [shard for shard in todo if shard.number < first])
    made = list(outcome.made.values())
    used = time.process_time() - began_cpu
    print(
        json.dumps(
            {
                "images": sum(content["images"] for content in made),
                "attempts": sum(content["attempts"] for content in made),
                "seconds_of_shards": [content["seconds"] for content in made],
                "cpu_seconds": used,
                "peak_mib": measure.peak_mib(),
            }
        ),
        flush=True,
    )


def together(form: str, processes: int, images: int) -> dict[str, Any]:
    """All parts side by side, from a common start to the last one's end."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        make_run(run, form)
        command = [sys.executable, __file__, "--run", str(run), "--form", form, "--images", str(images)]
        parts = [
            subprocess.Popen(
                [*command, "--part", f"{part}/{processes}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for part in range(1, processes + 1)
        ]
        for part in parts:
            assert part.stdout is not None
            assert part.stdout.readline() == "ready\n"
        began = time.perf_counter()
        for part in parts:
            assert part.stdin is not None
            part.stdin.write("go\n")
            part.stdin.flush()
        told = [json.loads(part.communicate()[0]) for part in parts]
        seconds = time.perf_counter() - began
    made = sum(one["images"] for one in told)
    later = [one["seconds_of_shards"][1:] for one in told]
    return {
        "processes": processes,
        "images": made,
        "attempts": sum(one["attempts"] for one in told),
        "images_per_second": round(sum(SHARD * len(shards) / sum(shards) for shards in later if shards), 1),
        "seconds_with_the_start": round(seconds, 2),
        "images_per_second_with_the_start": round(made / seconds, 1),
        "seconds_of_first_and_last_shards": [[one["seconds_of_shards"][k] for k in (0, -1)] for one in told],
        "cpu_milliseconds_an_image": round(1e3 * sum(one["cpu_seconds"] for one in told) / max(made, 1), 3),
        "peak_mib_of_each": [round(one["peak_mib"]) for one in told],
    }


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=devices.cores())
    parser.add_argument("--form", choices=FORMS)
    parser.add_argument("--run", type=Path, help=measure.argparse.SUPPRESS)
    parser.add_argument("--part", help=measure.argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part is not None:
        part, _, parts = chosen.part.partition("/")
        work(chosen.run, chosen.form, (int(part), int(parts)), chosen.images)
        return
    forms = [chosen.form] if chosen.form else list(FORMS)
    found = {form: together(form, chosen.processes, chosen.images) for form in forms}
    measure.report(
        "render_overhead",
        {
            "people": PEOPLE,
            "dimension": DIMENSION,
            "images_per_shard": SHARD,
            "target": 1_500,
            **found,
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
