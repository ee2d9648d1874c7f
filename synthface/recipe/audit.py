"""Recipe section about proof: audit."""

from __future__ import annotations

from synthface.recipe.people import Cosine
from synthface.recipe.section import Section, decisive, free


class AuditRecipe(Section):
    """`audit`: how a dataset is measured, and what it must not do."""

    threshold: Cosine = decisive(
        0.3, "Cosine similarity from which on two faces count as one person (DCFace's r; its supplement, section E)."
    )
    genuine_pairs: int = decisive(
        40_000_000,
        "Pairs of pictures of one person: all of them up to so many, beyond that about so many by seed.",
        ge=1,
    )
    impostor_images: int = decisive(
        6_000,
        "Pictures drawn by seed whose pairs of two people are compared: all pictures where there are no more.",
        ge=2,
    )
    looks: int = decisive(
        20_000, "Pictures drawn by seed whose pixels are looked at: light, sharpness, skin tone.", ge=1
    )
    leakage_level: Cosine = decisive(
        0.5, "Similarity to a reference above which a picture is too near to a real person."
    )
    max_leakage_share: float = decisive(0.001, "Gate: largest share of pictures above leakage_level.", ge=0.0, le=1.0)
    max_leakage_p99: Cosine = decisive(0.45, "Gate: largest 99 % quantile of the similarity to the nearest reference.")
    shown: int = free(
        20, "Pictures listed, and drawn where there are pictures of both: leaks, and doubtful labels.", ge=0
    )
    neighbours: int = decisive(3, "k of the nearest-neighbour balls of DCFace's Eq. 14.", ge=1)
    perceptual_pairs: int = decisive(2_000, "Pairs of pictures of one person, by seed, compared with LPIPS.", ge=1)
    inception_images: int = decisive(10_000, "Pictures of each side, by seed, that FID looks at.", ge=2)
    batch_size: int = free(32, "Pictures that the networks of LPIPS and FID see at once.", ge=1)
    block: int = free(16_384, "Embeddings compared at once; a matter of speed and memory alone.", ge=1)
