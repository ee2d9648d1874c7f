"""Recipe sections about identities: encoder, prior, identities, perturb."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from synthface.recipe.section import Section, decisive, free

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Cosine = Annotated[float, Field(gt=-1.0, lt=1.0)]
# the functions of synthface/identity/variations.py
Variation = Literal["none", "within-class", "isotropic", "cone"]


class EncoderRecipe(Section):
    """Which networks turn a picture into an embedding."""

    model: str = decisive(
        "embedded",
        "The conditioning encoder: `embedded`, a name from `synthface models list`, or an ONNX/checkpoint file.",
    )
    verifier: str | None = decisive(
        "embedded-verifier", "An independent encoder that judges pictures; same kinds of value, or null for none."
    )
    dimension: int | None = decisive(None, "Length of the embedding; null takes what the encoder gives.", ge=2)
    detector: str | None = decisive(
        None, "Face detector with five landmarks (name or ONNX file); null when pictures are aligned already."
    )
    detection_size: int = decisive(
        640,
        "Side, in pixels, of the square that the detector sees, a multiple of 32; a network of fixed size keeps its own.",
        ge=32,
        multiple_of=32,
    )
    detection_threshold: float = decisive(0.5, "Least detection score of a face.", ge=0.0, le=1.0)
    padding: tuple[Annotated[float, Field(ge=0.0, le=4.0)], ...] = decisive(
        (0.0, 0.3, 0.6),
        "Margins tried in this order while no face is found, as shares of the longer side.",
        min_length=1,
    )
    choose: Literal["largest", "central"] = decisive("largest", "Which of several faces is meant.")
    max_pixels: int = decisive(100_000_000, "Larger pictures are not decoded, but counted as too large.", ge=1)
    batch_size: int = free(64, "Crops embedded at once on a GPU.", ge=1)
    detection_batch: int = free(8, "Pictures searched for faces at once on a GPU.", ge=1)
    block: int = free(256, "Pictures that `embed` works through before it can be interrupted without loss.", ge=1)
    save_every: float = free(20.0, "Seconds between saves of what has been embedded.", gt=0.0)
    dtype: Literal["float32", "float16"] = free("float32", "Precision of the embeddings that `embed` writes.")


class PriorRecipe(Section):
    """The distribution of real identities that `fit-prior` learns."""

    file: str | None = free(
        None, "A prior file (its hash decides, not its name); null takes the one that the encoder ships with."
    )
    fit_on: Literal["auto", "centers", "images"] = decisive(
        "auto", "PCA on one mean direction a person (needs labels) or on every image; auto: centers where labels exist."
    )
    components: int | None = decisive(None, "Leading principal components kept; null keeps all.", ge=1)
    shrinkage: Literal["oas", "none"] = decisive(
        "oas", "Shrinkage of the within-class covariance towards a multiple of the identity matrix (Chen et al. 2010)."
    )
    mixture_components: int = decisive(
        0, "Components of the Gaussian mixture fitted on the centers' PCA coordinates; 0 fits none.", ge=0
    )
    mixture_dimensions: int = decisive(
        64, "Leading PCA coordinates that the mixture models; the others stay Gaussian.", ge=1
    )
    mixture_sample: int = decisive(200_000, "At most so many centers (drawn by seed) fit the mixture.", ge=2)


class IdentitiesRecipe(Section):
    """How people who do not exist are drawn, and what makes two of them different."""

    count: int = free(1_000, "How many identities are sampled.", ge=1)
    threshold: Cosine = decisive(
        0.3,
        "Cosine similarity below which two identities are different people (0.3: DCFace; the Arc2Face paper states none).",
    )
    components: int | None = decisive(None, "Leading PCA components used; null takes all that the prior has.", ge=1)
    scale: float = decisive(1.0, "Factor on the standard deviations of the prior.", gt=0.0)
    density: Literal["gaussian", "mixture"] = decisive("gaussian", "Density in PCA space.")
    exclude: tuple[str, ...] = free(
        (),
        "Embedding files of real people (their hash decides); no identity comes as near as the threshold to any of their rows.",
    )
    engine: Literal["auto", "faiss", "int8"] = free(
        "auto", "What finds neighbours; the result is the same. auto: faiss where it has GPUs, else the 8-bit screen."
    )
    block: int = free(4_096, "Candidates tested at once; a matter of speed and memory alone.", ge=1)
    min_acceptance: Share = free(
        0.01, "When fewer of the latest candidates than this share are accepted, N is out of reach and sampling stops."
    )
    acceptance_window: int = free(20_000, "How many of the latest candidates that share is measured on.", ge=100)
    save_every: float = free(20.0, "Seconds between saves of what has been accepted.", gt=0.0)


class Scale(Section):
    """One component of the `mixture` perturbation."""

    share: float = decisive(..., "Share of the images.", gt=0.0, le=1.0)
    target_cosine: float = decisive(..., "Their mean cosine similarity to the center.", gt=0.0, le=1.0)
    method: Variation = decisive("within-class", "How these images vary.")


class PerturbRecipe(Section):
    """How the condition of one image differs from the center of its identity."""

    method: Literal[Variation, "mixture"] = decisive(
        "within-class",
        "none: the center itself; within-class: the prior's learned covariance; isotropic: equal in all directions; "
        "cone: uniform on the cap above a cosine bound; mixture: several of these with shares.",
    )
    target_cosine: float | None = decisive(
        0.8,
        "Mean cosine similarity of the conditions to their center, calibrated within .01; null leaves the learned scale, "
        "and is the only value beside method `mixture`, whose components have their own.",
        gt=0.0,
        le=1.0,
    )
    mixture: tuple[Scale, ...] = decisive((), "Components of method `mixture`; their shares sum to 1.")
    center_first: bool = decisive(True, "Image 0 of every identity is the center itself.")
    min_cosine: Cosine = decisive(
        0.3, "Least similarity of a condition to its own center; what falls below is redrawn and counted."
    )
    max_redraws: int = decisive(64, "Draws of one condition before the recipe is called impossible.", ge=1)

    @model_validator(mode="before")
    @classmethod
    def _a_mixture_has_no_target_in_common(cls, values: Any) -> Any:
        mixed = isinstance(values, dict) and values.get("method") == "mixture"
        return {"target_cosine": None, **values} if mixed else values

    @model_validator(mode="after")
    def _mixture_is_whole(self) -> PerturbRecipe:
        if self.method == "mixture":
            if not self.mixture:
                raise ValueError("method 'mixture' needs a list `mixture` of {share, target_cosine, method}")
            total = sum(part.share for part in self.mixture)
            if abs(total - 1.0) > 1e-6:
                raise ValueError(f"the shares of `mixture` sum to {total:g} instead of 1")
            if self.target_cosine is not None:
                raise ValueError(
                    f"target_cosine {self.target_cosine:g} is not used by method 'mixture': give each component of "
                    "`mixture` its own, and set this one to null"
                )
        if self.target_cosine is not None and self.target_cosine <= self.min_cosine:
            raise ValueError(f"target_cosine {self.target_cosine:g} is not above min_cosine {self.min_cosine:g}")
        return self
