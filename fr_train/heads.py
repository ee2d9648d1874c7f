"""Margin heads: AdaFace, its straight-through variant, ArcFace, CosFace.

Each turns raw embeddings and labels into scaled logits whose target entry is made harder by a margin; the loss is plain
cross-entropy on them. With x the raw embedding, w_j the class centers, cos θ_j = x·w_j / (|x| |w_j|):

    CosFace        s (cos θ_y − m)                                   CVPR 2018, equation 4
    ArcFace        s cos(θ_y + m)                                    CVPR 2019, equation 3
    AdaFace        s (cos(θ_y − m k) − (m + m k))                    CVPR 2022, equations 13 to 16
                   k = clip(h (|x| − μ) / (σ + ε), −1, 1): image quality, read from the norm
    adaface-ste    AdaFace's values, with the gradient of s cos θ_y  as CVLface trains

Everything is float32, inside autocast too: with s = 64 half precision cannot tell cos θ = .998 from .999.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import distributed, nn

from fr_train.backbones.precision import without_autocast
from synthface.errors import UsageError, did_you_mean


class MarginHead(nn.Module):
    """embedding_BD raw, label_B int64 → logits_BC float32, scaled by s.

    `last` holds facts on the last batch, as detached 0-d tensors: `mean_norm` of the embeddings and
    `mean_target_cosine` before the margin.
    """

    eps = 1e-4  # cosines are kept this far from ±1, where acos has no finite slope

    def __init__(self, embedding_size: int, num_classes: int, margin: float, scale: float) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.last: dict[str, torch.Tensor] = {}
        # directions uniform on the sphere: the length has no influence on the logits, only on the step size
        self.weight = nn.Parameter(F.normalize(torch.randn(num_classes, embedding_size), dim=1))

    def forward(self, embedding_BD: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        with without_autocast(embedding_BD):
            embedding_BD = embedding_BD.float()
            norm_B1 = torch.linalg.vector_norm(embedding_BD, dim=1, keepdim=True)
            return self.logits(embedding_BD / norm_B1.clamp_min(1e-12), norm_B1, label_B)

    def logits(self, unit_BD: torch.Tensor, norm_B1: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        """logits_BC of unit embeddings whose raw lengths were `norm_B1`; no gradient flows into the norms."""
        cosine_BC = F.linear(unit_BD, F.normalize(self.weight, dim=1))
        target_B1 = label_B.reshape(-1, 1)
        with torch.no_grad():
            self.last = {
                "mean_norm": norm_B1.detach().mean(),
                "mean_target_cosine": cosine_BC.detach().gather(1, target_B1).mean(),
            }
        cosine_BC = self.bounded(cosine_BC)
        with_margin_B1 = self.with_margin(cosine_BC.gather(1, target_B1), norm_B1.detach())
        return cosine_BC.scatter(1, target_B1, with_margin_B1) * self.scale

    def bounded(self, cosine: torch.Tensor) -> torch.Tensor:
        return cosine.clamp(-1 + self.eps, 1 - self.eps)

    def with_margin(self, cosine_B1: torch.Tensor, norm_B1: torch.Tensor) -> torch.Tensor:
        """The target's cosine after the margin."""
        raise NotImplementedError

    def _rotated(self, cosine_B1: torch.Tensor, angle: torch.Tensor | float) -> torch.Tensor:
        """cos(θ + angle), θ kept within (0, π) so that the cosine keeps falling."""
        return (cosine_B1.acos() + angle).clamp(self.eps, math.pi - self.eps).cos()

    def extra_repr(self) -> str:
        return f"classes={len(self.weight)}, margin={self.margin}, scale={self.scale}"


class CosFace(MarginHead):
    def with_margin(self, cosine_B1: torch.Tensor, norm_B1: torch.Tensor) -> torch.Tensor:
        return cosine_B1 - self.margin


class ArcFace(MarginHead):
    def with_margin(self, cosine_B1: torch.Tensor, norm_B1: torch.Tensor) -> torch.Tensor:
        return self._rotated(cosine_B1, self.margin)


class AdaFace(MarginHead):
    """The margin adapts to the image quality that the embedding's norm tells.

    `batch_mean` and `batch_std` are moving averages with momentum `t_alpha` over the batches of all processes, updated
    before use while training. A batch of one has no standard deviation; it leaves `batch_std` as it is.
    """

    eps = 1e-3

    def __init__(
        self, embedding_size: int, num_classes: int, margin: float, scale: float, h: float, t_alpha: float
    ) -> None:
        super().__init__(embedding_size, num_classes, margin, scale)
        self.h, self.t_alpha = h, t_alpha
        self.register_buffer("batch_mean", torch.full((1,), 20.0))
        self.register_buffer("batch_std", torch.full((1,), 100.0))

    def with_margin(self, cosine_B1: torch.Tensor, norm_B1: torch.Tensor) -> torch.Tensor:
        quality_B1 = self.quality(norm_B1)
        return self._rotated(cosine_B1, -self.margin * quality_B1) - self.margin * (1 + quality_B1)

    @torch.no_grad()
    def quality(self, norm_B1: torch.Tensor) -> torch.Tensor:
        """Image quality in [-1, 1]: the clipped, standardised norm (AdaFace, equation 13)."""
        norm_B1 = norm_B1.clamp(1e-3, 100.0)
        if self.training:
            self._update_statistics(norm_B1)
        return ((norm_B1 - self.batch_mean) / (self.batch_std + self.eps) * self.h).clamp(-1, 1)

    def _update_statistics(self, norm_B1: torch.Tensor) -> None:
        mean, std = mean_and_std(norm_B1)
        self.batch_mean.lerp_(mean.to(self.batch_mean.dtype), self.t_alpha)
        if std is not None:
            self.batch_std.lerp_(std.to(self.batch_std.dtype), self.t_alpha)


class AdaFaceSTE(AdaFace):
    """AdaFace's values with a straight-through gradient: the margin is a constant added to the cosine."""

    def bounded(self, cosine: torch.Tensor) -> torch.Tensor:
        return cosine.clamp(-1, 1)

    def with_margin(self, cosine_B1: torch.Tensor, norm_B1: torch.Tensor) -> torch.Tensor:
        quality_B1 = self.quality(norm_B1)
        with torch.no_grad():
            moved_B1 = (cosine_B1.acos() - self.margin * quality_B1).cos() - self.margin * (1 + quality_B1)
            shift_B1 = moved_B1 - cosine_B1
        return cosine_B1 + shift_B1


def mean_and_std(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Mean and unbiased standard deviation over the values of all processes; None for the latter of one value.

    Two all-reduces of float64 sums: the second moment is taken about the common mean, so nothing cancels.
    """
    values = values.detach().double()
    count_and_sum = torch.stack([torch.full_like(values.sum(), values.numel()), values.sum()])
    _sum_over_processes(count_and_sum)
    count, mean = count_and_sum[0], count_and_sum[1] / count_and_sum[0]
    squares = (values - mean).square().sum()
    _sum_over_processes(squares)
    if values.numel() < 2 and int(count) < 2:
        return mean, None
    return mean, (squares / (count - 1)).sqrt()


def _sum_over_processes(values: torch.Tensor) -> None:
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(values)


HEADS: dict[str, type[MarginHead]] = {
    "adaface": AdaFace,
    "adaface-ste": AdaFaceSTE,
    "arcface": ArcFace,
    "cosface": CosFace,
}


def build(
    name: str, embedding_size: int, num_classes: int, *, margin: float, h: float, scale: float, t_alpha: float
) -> MarginHead:
    """A new head: embedding_BD raw, label_B → logits_BC. `h` and `t_alpha` are AdaFace's alone.

    Raises UsageError when there is no head of that name or fewer than two classes.
    """
    if name not in HEADS:
        raise UsageError(
            f"There is no head named '{name}'.", f"{did_you_mean(name, list(HEADS))} Known are {', '.join(HEADS)}."
        )
    if num_classes < 2:
        raise UsageError(
            f"A margin head needs at least two classes, and the data has {num_classes}.",
            "Train on a dataset of several people.",
        )
    kind = HEADS[name]
    if issubclass(kind, AdaFace):
        return kind(embedding_size, num_classes, margin, scale, h, t_alpha)
    return kind(embedding_size, num_classes, margin, scale)
