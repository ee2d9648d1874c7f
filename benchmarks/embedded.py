"""What the models that ship with the package can do: both recognisers, the prior, the generator.

python benchmarks/embedded.py --keep

Everything is measured on people that no network was trained on: two crowds of computed people, and sampled ones. Yaw
needs a face detector; with SYNTHFACE_REAL_DATA it is the public one there, without it these rows are left out.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
import numpy as np
from numpy.typing import NDArray

FMR = 1e-3
STRANGERS, PER_STRANGER = 1_000, 8  # computed people that nothing was trained on
PEOPLE, PER_PERSON = 200, 20  # sampled people and their pictures
DETECTED = 1_000  # pictures that the detector sees
PAIRS = 6_000  # of each verification set


def accuracy(model: str, bins: Path) -> dict[str, Any]:
    """Accuracy on the five sets, per cent."""
    from fr_train import models
    from fr_train.evaluate import evaluate
    from synthface import recipe
    from synthface.zoo import shipped

    result = evaluate(models.open_model(shipped.encoder(model)), [bins], recipe.load("embedded", {}).evaluate)
    sets = {name: 100 * figures["accuracy"] for name, figures in result["benchmarks"].items()}
    return {**sets, "mean": 100 * result["mean_accuracy"]}


def strangers(count: int = STRANGERS, per_id: int = PER_STRANGER) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (N, 112, 112, 3) of computed people of a crowd of their own, and their labels."""
    import simplejpeg

    from synthface.parametric.studio import Shoot, Studio

    person_N = np.repeat(np.arange(count), per_id)
    with Studio() as studio:
        photographs = list(studio.take(Shoot(0, "measured", person_N, np.tile(np.arange(per_id), count))))
    return np.stack([simplejpeg.decode_jpeg(one.jpeg) for one in photographs]), person_N


def embedded_by(model: str, image_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit embeddings (N, D)."""
    from synthface.encoder.open import open_encoder
    from synthface.identity.sphere import normalize

    encoder = open_encoder(model, device="cpu")
    return normalize(np.concatenate([encoder.embed(image_NHWC[k : k + 256]) for k in range(0, len(image_NHWC), 256)]))


def threshold(embedding_ND: NDArray[np.float32], label_N: NDArray[np.int64]) -> dict[str, float]:
    """Between pictures of different people: the similarity that one pair in a thousand reaches."""
    from synthface.identity.separability import equal_error_rate, pair_scores

    genuine, impostor = pair_scores(embedding_ND, label_N, seed=0)
    return {
        "similarity_at_fmr_1e-3": float(np.quantile(impostor, 1 - FMR)),
        "genuine_mean": float(genuine.mean()),
        "impostor_mean": float(impostor.mean()),
        "impostor_std": float(impostor.std()),
        "eer": equal_error_rate(genuine, impostor),
    }


def yaw_and_light(image_NHWC: NDArray[np.uint8]) -> dict[str, Any]:
    """Spread of estimated yaw (degrees) and of mean luminance (0…255) over pictures."""
    luminance_N = (image_NHWC.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])).mean(axis=(1, 2))
    spread: dict[str, Any] = {"luminance_std": float(luminance_N.std())}
    place = os.environ.get("SYNTHFACE_REAL_DATA")
    if place is not None:
        from synthface.encoder.faces import FaceFinder
        from synthface.encoder.open import open_detector
        from synthface.encoder.pose import estimate
        from synthface.recipe.people import EncoderRecipe

        network = Path(place, "models", "mini", "scrfd_2.5g_kps.onnx")
        settings = EncoderRecipe(detector=str(network), detection_size=320)
        detector = open_detector(settings, device="cpu")
        assert detector is not None
        finder = FaceFinder.from_recipe(detector, settings)
        shown = image_NHWC[:: max(1, len(image_NHWC) // DETECTED)]
        faces = [face for face in finder(list(shown)) if face is not None]
        spread |= {
            "yaw_std": float(np.std([estimate(face.landmark_52).yaw for face in faces])),
            "faces_found": len(faces) / len(shown),
        }
    return spread


def sampled(folder: Path) -> dict[str, Any]:
    """1,000 people by the recipe: how many candidates that took."""
    from synthface.cli import cli
    from synthface.identity import identities

    if code := cli.run(["sample-ids", "--ids", "1000", "--run", str(folder)]):
        raise SystemExit(code)
    made = identities.load(folder / "identities.safetensors")
    return {"identities": len(made), "acceptance": made.acceptance}


def generated(folder: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Pictures of sampled people without any gate, each by its own perturbed condition as the recipe says."""
    from synthface import recipe, seeds
    from synthface.generator.open import open_generator, sampling_options
    from synthface.identity import conditions, identities, perturb, prior, priors
    from synthface.identity.separability import equal_error_rate, pair_scores

    settings = recipe.load("embedded", {})
    center_ND = identities.load(folder / "identities.safetensors").center_ND
    learned = prior.load(priors.SHIPPED)
    guard = conditions.Guard(perturb.Perturbation(learned, settings.perturb, settings.seed), center_ND)
    drawn = list(guard.all_images(PER_PERSON, identities=PEOPLE))
    condition_MD = np.concatenate([part.condition_MD for part in drawn])
    identity_M = np.concatenate([part.identity_M for part in drawn])
    generator = open_generator(settings.generator, "cpu")
    seed_M = [seeds.derive_seed(0, "measured", k) for k in range(len(condition_MD))]
    options = sampling_options(settings.generator)
    generator.sample(condition_MD[:8], seed_M[:8], **options)  # warms up
    start = time.perf_counter()
    image_MHWC = generator.sample(condition_MD, seed_M, **options)
    speed = len(image_MHWC) / (time.perf_counter() - start)
    picture_MD = embedded_by("embedded", image_MHWC)
    own_M = np.einsum("md,md->m", picture_MD, condition_MD)
    to_own_M = np.einsum("md,md->m", picture_MD, center_ND[identity_M])
    others_MN = picture_MD @ center_ND[:PEOPLE].T
    others_MN[np.arange(len(identity_M)), identity_M] = np.nan
    genuine, impostor = pair_scores(embedded_by("embedded-verifier", image_MHWC), identity_M, seed=0)
    facts = {
        "people": PEOPLE,
        "pictures_each": PER_PERSON,
        "images_per_second": speed,
        "similarity_to_condition": float(own_M.mean()),
        "similarity_to_center": float(to_own_M.mean()),
        "similarity_to_other_centers": float(np.nanmean(others_MN)),
        "nearest_center_is_own": float((np.nanmax(others_MN, axis=1) < to_own_M).mean()),
        "verifier_eer": equal_error_rate(genuine, impostor),
        "verifier_genuine_mean": float(genuine.mean()),
        "verifier_impostor_mean": float(impostor.mean()),
        **yaw_and_light(image_MHWC),
    }
    return facts, image_MHWC


def main() -> None:
    from synthface.parametric import benchmarks

    parser = measure.arguments(__doc__ or "")
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, help="of each verification set; 600: what the demonstration does"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bins = Path(temporary, "bins")
        benchmarks.ensure(bins, list(benchmarks.SETS), chosen.pairs)
        image_NHWC, label_N = strangers()
        encoder = threshold(embedded_by("embedded", image_NHWC), label_N)
        verifier = threshold(embedded_by("embedded-verifier", image_NHWC), label_N)
        run = Path(temporary, "run")
        content = {
            "pairs_of_each_set": chosen.pairs,
            "encoder": {"accuracy": accuracy("embedded", bins), **encoder},
            "verifier": {"accuracy": accuracy("embedded-verifier", bins), **verifier},
            "prior": sampled(run),
            "generator": generated(run)[0],
            "computed_people": yaw_and_light(image_NHWC),
        }
    spread, own = content["computed_people"], content["generator"]
    if "yaw_std" in spread:
        content["yaw_std_ratio"] = own["yaw_std"] / spread["yaw_std"]
    content["luminance_std_ratio"] = own["luminance_std"] / spread["luminance_std"]
    measure.report("embedded", content, chosen.keep)


if __name__ == "__main__":
    main()
