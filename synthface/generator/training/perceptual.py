"""Errors as a recogniser sees them: the difference of its feature maps (after Zhang et al. 2018, without their weights)."""

from __future__ import annotations

from typing import Any

import torch

from synthface.errors import RecipeError


class FrozenRecogniser:
    """A recogniser of train-fr as a differentiable function of pictures in [-1, 1], (B, 3, H, W) RGB."""

    def __init__(self, name: str, device: torch.device, setting: str) -> None:
        from synthface.encoder import open_encoder

        place = "cpu" if device.type == "cpu" else str(device)  # a process of several on the CPU is told "cpu:0"
        encoder: Any = open_encoder(name, device=place)
        embedder = getattr(encoder, "embedder", None)
        network = getattr(embedder, "module", None)
        if not isinstance(network, torch.nn.Module):
            raise RecipeError(
                f"{setting}: {name} is no recogniser of train-fr, and gradients do not pass through ONNX.",
                "Name a checkpoint that train-fr wrote, or null.",
            )
        self.network = network.to(device).eval().requires_grad_(False)
        self.side, self.reversed = int(encoder.image_size), getattr(embedder, "color", "rgb") == "bgr"
        self.sha256 = encoder.provenance.sha256

    def __call__(self, picture_BCHW: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, d), not normalised."""
        if picture_BCHW.shape[-2:] != (self.side, self.side):
            picture_BCHW = torch.nn.functional.interpolate(
                picture_BCHW, (self.side, self.side), mode="bilinear", antialias=True
            )
        embedding_BD: torch.Tensor = self.network(picture_BCHW.flip(1) if self.reversed else picture_BCHW)
        return embedding_BD


class Perceptual:
    """Mean squared difference of unit features: of the last feature map of every size, shallow ones first."""

    def __init__(self, recogniser: FrozenRecogniser) -> None:
        self.recogniser = recogniser
        self._maps: dict[int, torch.Tensor] = {}
        for module in recogniser.network.modules():
            if not list(module.children()):
                module.register_forward_hook(self._keep)

    def __call__(self, a_BCHW: torch.Tensor, b_BCHW: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = self._features(b_BCHW)
        found = self._features(a_BCHW)
        errors = [(found[side] - wanted[side]).square().sum(1).mean() for side in found]
        return torch.stack(errors).mean()

    def _features(self, picture_BCHW: torch.Tensor) -> dict[int, torch.Tensor]:
        self._maps = {}
        self.recogniser(picture_BCHW)
        maps, self._maps = self._maps, {}
        return {side: torch.nn.functional.normalize(value.float(), dim=1) for side, value in maps.items()}

    def _keep(self, _: Any, __: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[-1] > 1:
            self._maps[int(output.shape[-1])] = output
