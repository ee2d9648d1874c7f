"""Fitting the prior: embeddings in, `Prior` out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.errors import InputError, UsageError
from synthface.identity import moments, sphere
from synthface.identity.embeddings import EmbeddingSet
from synthface.identity.moments import ClassSums, Moments, Scan
from synthface.identity.prior import Mixture, Prior, Within
from synthface.identity.threads import one_blas_thread
from synthface.progress import say
from synthface.recipe.people import PriorRecipe


def fit_prior(
    embeddings: EmbeddingSet,
    settings: PriorRecipe,
    *,
    encoder: str | None = None,
    seed: int = 0,
    scratch: Path | None = None,
) -> Prior:
    """Fits a prior in one pass over the rows.

    With labels a person is the direction of the mean of their unit rows, and every person counts once; without, every
    image is a person. Raises InputError when there are too few rows, people or no spread to learn from.
    """
    on_centers = _on_centers(embeddings, settings)
    wanted = settings.mixture_sample if settings.mixture_components else 0
    keep_K = _choose(len(embeddings), 0 if on_centers else wanted, seed)
    scan = moments.scan(embeddings, keep_K, scratch)
    people = scan.classes.centers() if on_centers and scan.classes else scan.total.moments()
    mean_D, component_KD, eigenvalue_K, total_variance = principal_components(people, settings.components)
    prior = Prior(
        mean_D.astype(np.float32),
        component_KD.astype(np.float32),
        eigenvalue_K.astype(np.float32),
        total_variance,
        within=_within(scan, settings),
        facts={
            "encoder": encoder,
            "rows": len(embeddings),
            "people": people.count,
            "fit_on": "centers" if on_centers else "images",
            "inputs_sha256": scan.fingerprint,
            "settings": settings.model_dump(mode="json", exclude={"file"}),
            "seed": seed,
        },
    )
    if settings.mixture_components:
        sample_ND = _some_centers(scan.classes, wanted, seed) if on_centers and scan.classes else scan.kept_KD
        mixture = fit_mixture(prior, sample_ND, settings, seed)
        prior = Prior(
            prior.mean_D, prior.component_KD, prior.eigenvalue_K, total_variance, prior.within, mixture, prior.facts
        )
    return prior


def _on_centers(embeddings: EmbeddingSet, settings: PriorRecipe) -> bool:
    labels_N = embeddings.labels_N
    if labels_N is None:
        if settings.fit_on == "centers":
            raise InputError(
                "prior.fit_on is 'centers' and the embeddings have no labels.",
                "Add a `labels` array, or use --set prior.fit_on=images.",
            )
        if settings.fit_on == "auto":
            say(
                "The embeddings have no labels: every row counts as a person, and no within-class covariance is learned."
            )
        return False
    if labels_N.min() == labels_N.max():
        raise InputError(
            f"All {len(labels_N):,} embeddings carry the label {labels_N[0]}: one person only.",
            "A prior needs the embeddings of many people; check the labels.",
        )
    return settings.fit_on != "images"


@one_blas_thread()
def principal_components(
    people: Moments, components: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Mean, component rows, eigenvalues (n − 1 in the denominator) and total variance, float64.

    As `sklearn.decomposition.PCA(svd_solver="covariance_eigh")`; each component's largest entry is positive.
    Raises UsageError when more components are asked for than the rows can span.
    """
    available = min(people.count - 1, len(people.mean_D))
    if components is not None and components > available:
        raise UsageError(
            f"prior.components is {components}, and {people.count:,} people of dimension {len(people.mean_D)} "
            f"span {available}.",
            f"Give more embeddings, or --set prior.components={max(available, 1)}.",
        )
    if available < 1:
        raise InputError("A single embedding has no spread to learn from.", "Give the embeddings of many people.")
    eigenvalue_D, vector_DD = np.linalg.eigh(people.scatter_DD / (people.count - 1))
    eigenvalue_D = np.maximum(eigenvalue_D, 0.0)
    total = float(eigenvalue_D.sum())
    if total < 1e-12:
        raise InputError("All embeddings are the same: there is no spread to learn from.", "Check what wrote them.")
    keep = components or available
    component_KD = vector_DD.T[::-1][:keep]
    peak_K = np.take_along_axis(component_KD, np.abs(component_KD).argmax(1)[:, None], axis=1)
    return people.mean_D, component_KD * np.sign(peak_K), eigenvalue_D[::-1][:keep], total


def oas_shrinkage(covariance_DD: NDArray[np.float64], samples: int) -> float:
    """The oracle-approximating shrinkage towards tr(S)/d · I, 0…1 (Chen, Wiesel, Eldar and Hero 2010, eq. 23).

    As scikit-learn's OAS: needs the covariance alone, so that one pass over the rows suffices (Ledoit-Wolf would need
    fourth moments about class means that are known only at the end).
    """
    dimension = len(covariance_DD)
    alpha = float(np.mean(covariance_DD**2))
    mean_variance_squared = float(np.trace(covariance_DD) / dimension) ** 2
    numerator = alpha + mean_variance_squared
    denominator = (samples + 1) * (alpha - mean_variance_squared / dimension)
    return 1.0 if denominator <= 0 else min(numerator / denominator, 1.0)


@one_blas_thread()
def _within(scan: Scan, settings: PriorRecipe) -> Within | None:
    """The pooled within-class covariance, shrunk, as a factor; None without labels or repeated people."""
    if scan.classes is None:
        return None
    pooled = scan.classes.within(scan.total)
    if pooled.degrees < 1:
        say("No person has two embeddings: no within-class covariance is learned.")
        return None
    covariance_DD = pooled.scatter_DD / pooled.degrees
    shrinkage = oas_shrinkage(covariance_DD, pooled.degrees) if settings.shrinkage == "oas" else 0.0
    dimension = len(covariance_DD)
    target = np.trace(covariance_DD) / dimension
    eigenvalue_D, vector_DD = np.linalg.eigh(covariance_DD)
    shrunk_D = (1 - shrinkage) * np.maximum(eigenvalue_D, 0.0) + shrinkage * target
    return Within((vector_DD * np.sqrt(shrunk_D)).astype(np.float32), shrinkage, pooled.degrees)


def fit_mixture(prior: Prior, sample_ND: NDArray[np.float32], settings: PriorRecipe, seed: int) -> Mixture:
    """A scikit-learn Gaussian mixture with full covariances on the leading whitened PCA coordinates.

    On one thread: k-means, which it begins with, adds up in the order in which its threads end.
    """
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    leading = min(settings.mixture_dimensions, len(prior.eigenvalue_K))
    if len(sample_ND) < 2 * settings.mixture_components:
        raise InputError(
            f"{len(sample_ND):,} people are too few for a mixture of {settings.mixture_components}.",
            f"Give more embeddings, or --set prior.mixture_components={max(len(sample_ND) // 2, 1)}.",
        )
    component_MD, deviation_M = prior.component_KD[:leading], np.sqrt(prior.eigenvalue_K[:leading])
    with threadpool_limits(limits=1):
        coordinate_NM = (sample_ND - prior.mean_D) @ component_MD.T / deviation_M
        model = GaussianMixture(
            settings.mixture_components,
            covariance_type="full",
            reg_covar=1e-4,
            random_state=seeds.derive_seed(seed, "mixture") % 2**32,
        ).fit(coordinate_NM.astype(np.float64))
        factor_KMM = np.linalg.cholesky(model.covariances_)
    return Mixture(*(part.astype(np.float32) for part in (model.weights_, model.means_, factor_KMM)))


def _choose(rows: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """At most `wanted` of `rows` row numbers, drawn by seed, ascending."""
    if wanted >= rows:
        return np.arange(rows)
    return np.sort(seeds.generator(seed, "mixture rows").choice(rows, wanted, replace=False))


def _some_centers(classes: ClassSums, wanted: int, seed: int) -> NDArray[np.float32]:
    chosen_K = _choose(len(classes.label_C), wanted, seed)
    return sphere.normalize(classes.sum_CD[chosen_K])
