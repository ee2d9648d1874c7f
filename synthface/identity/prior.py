"""The prior: where real identities lie on the sphere, and how photographs of one person scatter.

PCA of the class centers (Arc2Face, section 3.3 and Fig. 8c: new identities are drawn in PCA space) and the pooled
within-class covariance (ours), kept in one safetensors file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.errors import InputError

FORMAT = "synthface.prior/1"
EXPLAINED_AT = (50, 100, 200, 300, 400)  # the components of the paper's Fig. 8c
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Within:
    """Scatter of photographs about the center of their person.

    factor_DR: (d, r) float32 with factor·factorᵀ the shrunk pooled covariance of unit rows about their class means;
    `shrinkage` 0…1 towards a multiple of the identity matrix; `degrees` of freedom it was estimated from.
    """

    factor_DR: Floats
    shrinkage: float
    degrees: int

    @property
    def variance(self) -> float:
        """Trace of the covariance: 1 − the mean similarity of two photographs of one person."""
        return float(np.sum(np.square(self.factor_DR, dtype=np.float64)))


@dataclass(frozen=True)
class Mixture:
    """Gaussian mixture over the leading whitened PCA coordinates (unit variance each).

    weight_K: (K,); mean_KM: (K, m); factor_KMM: (K, m, m) lower Cholesky factors; all float32.
    """

    weight_K: Floats
    mean_KM: Floats
    factor_KMM: Floats


@dataclass(frozen=True)
class Prior:
    """What `fit-prior` learns and `sample-ids` draws from.

    mean_D (d,), component_KD (k, d) orthonormal rows, eigenvalue_K (k,) variances in descending order, all float32;
    `total_variance` of which the eigenvalues explain a share; `facts` are counts, encoder, input hash and settings.
    """

    mean_D: Floats
    component_KD: Floats
    eigenvalue_K: Floats
    total_variance: float
    within: Within | None = None
    mixture: Mixture | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        return len(self.mean_D)

    @property
    def encoder(self) -> str | None:
        """Name of the encoder whose embeddings were fitted, where it was stated."""
        return self.facts.get("encoder")

    def explained_variance(self, components: int) -> float:
        """Share of the variance within the leading `components`, 0…1."""
        return float(self.eigenvalue_K[:components].sum(dtype=np.float64)) / self.total_variance

    @property
    def effective_dimension(self) -> float:
        """Participation ratio (Σλ)² / Σλ² of the second moment about the origin, mean included (ours).

        Two draws of a centered Gaussian with these variances have cosine similarity N(0, 1 / effective dimension).
        """
        moment_DD = (self.component_KD.T * self.eigenvalue_K.astype(np.float64)) @ self.component_KD
        moment_DD += np.outer(self.mean_D, self.mean_D)
        return float(np.trace(moment_DD) ** 2 / np.sum(moment_DD**2))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the prior as safetensors, atomically."""
        from safetensors.numpy import save

        tensors = {"mean": self.mean_D, "components": self.component_KD, "eigenvalues": self.eigenvalue_K}
        facts = {**self.facts, "format": FORMAT, "total_variance": self.total_variance}
        if self.within is not None:
            tensors["within_factor"] = self.within.factor_DR
            facts |= {"within_shrinkage": self.within.shrinkage, "within_degrees": self.within.degrees}
        if self.mixture is not None:
            tensors |= {"mixture_weights": self.mixture.weight_K, "mixture_means": self.mixture.mean_KM}
            tensors |= {"mixture_factors": self.mixture.factor_KMM}
        contiguous = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
        files.write_bytes(path, save(contiguous, metadata={"synthface": json.dumps(facts, sort_keys=True)}))


def load(path: str | os.PathLike[str]) -> Prior:
    """Reads a prior; raises InputError when the file is missing, foreign or damaged."""
    path = Path(path)
    tensors, facts = read_artefact(path, FORMAT, "a prior", "Make one with `synthface fit-prior EMB... --out FILE`.")
    try:
        mean_D, component_KD, eigenvalue_K = (_float32(tensors[n]) for n in ("mean", "components", "eigenvalues"))
        total_variance = float(facts.pop("total_variance"))
        within = mixture = None
        if "within_factor" in tensors:
            shrinkage, degrees = float(facts.pop("within_shrinkage")), int(facts.pop("within_degrees"))
            within = Within(_float32(tensors["within_factor"]), shrinkage, degrees)
        if "mixture_weights" in tensors:
            mixture = Mixture(*(_float32(tensors[f"mixture_{part}"]) for part in ("weights", "means", "factors")))
    except (KeyError, ValueError) as error:
        raise InputError(f"The prior {path} lacks {error}.", "Fit it again with `synthface fit-prior`.") from error
    if component_KD.shape != (len(eigenvalue_K), len(mean_D)):
        raise InputError(
            f"The prior {path} has components {component_KD.shape} for {len(eigenvalue_K)} eigenvalues "
            f"and dimension {len(mean_D)}.",
            "Fit it again with `synthface fit-prior`.",
        )
    return Prior(mean_D, component_KD, eigenvalue_K, total_variance, within, mixture, facts)


def read_artefact(path: Path, expected: str, what: str, fix: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Tensors and facts of one of our safetensors files whose format is `expected`; InputError for all else."""
    from safetensors import safe_open

    if not path.exists():
        raise InputError(f"There is no file {path}.", fix)
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get("synthface", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()} if facts else {}  # noqa: SIM118
    except Exception as error:  # safetensors raises its own class for damage, OSError for the rest
        raise InputError(f"{path} cannot be read as safetensors: {error}.", fix) from error
    found = facts.pop("format", None)
    if found != expected:
        raise InputError(f"{path} is not {what} (it says {found or 'nothing'} where {expected} was expected).", fix)
    return tensors, facts


def _float32(tensor: NDArray[Any]) -> Floats:
    return np.ascontiguousarray(tensor, dtype=np.float32)
