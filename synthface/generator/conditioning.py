"""From an embedding to the tokens that the UNet attends to.

ClipConditioner  the paper's: the prompt "photo of a id person" through a CLIP text encoder, in which the embedding of
                 the token `id` is replaced by the unit vector, zero-padded to the encoder's width (section 3.2)
MlpConditioner   its ablation (section 4.4): a multilayer perceptron in place of the text encoder

Shapes: N embeddings, D their dimension, L tokens, E width. Both are networks, so that training uses the same code.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from synthface.errors import InputError
from synthface.generator import load, weights

PROMPT = "photo of a id person"
PLACEHOLDER = "id"


class ClipConditioner(torch.nn.Module):
    """The pseudo-prompt through the text encoder, which runs as transformers wrote it: causal mask, any version."""

    kind = "clip"

    def __init__(self, text_encoder: Any, prompt_ids_L: list[int], empty_ids_L: list[int], id_token: int) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.width = int(text_encoder.config.hidden_size)
        vocabulary = int(text_encoder.config.vocab_size)
        if prompt_ids_L.count(id_token) != 1 or max(prompt_ids_L + empty_ids_L) >= vocabulary:
            raise InputError(
                f"The tokenizer does not belong to the text encoder: '{PROMPT}' gives {prompt_ids_L[:8]}… "
                f"under a vocabulary of {vocabulary:,}.",
                "Take tokenizer/ from the Stable Diffusion checkpoint that the generator was trained from.",
            )
        self.register_buffer("prompt_ids_L", torch.tensor(prompt_ids_L), persistent=False)
        self.register_buffer("empty_ids_L", torch.tensor(empty_ids_L), persistent=False)
        self.register_buffer("is_id_L", torch.tensor(prompt_ids_L) == id_token, persistent=False)

    def forward(self, unit_ND: torch.Tensor, dropped_N: torch.Tensor | None = None) -> torch.Tensor:
        """Prompts (N, L, E); rows of `dropped_N` (bool) become the empty prompt, which is the unconditional one."""
        ids_NL = self.prompt_ids_L.expand(len(unit_ND), -1)
        here_NL = self.is_id_L.expand(len(unit_ND), -1)
        if dropped_N is not None:
            ids_NL = torch.where(dropped_N[:, None], self.empty_ids_L, ids_NL)
            here_NL = here_NL & ~dropped_N[:, None]
        padded_NE = torch.nn.functional.pad(unit_ND, (0, self.width - unit_ND.shape[1]))
        with self._substituted(here_NL, padded_NE):
            prompt_NLE: torch.Tensor = self.text_encoder(ids_NL)[0]
        return prompt_NLE

    def empty(self) -> torch.Tensor:
        """The unconditional prompt (1, L, E): this encoder, not Stable Diffusion's, on the empty string."""
        prompt_1LE: torch.Tensor = self.text_encoder(self.empty_ids_L[None])[0]
        return prompt_1LE

    @contextlib.contextmanager
    def _substituted(self, here_NL: torch.Tensor, vector_NE: torch.Tensor) -> Iterator[None]:
        def substitute(_: Any, __: Any, token_NLE: torch.Tensor) -> torch.Tensor:
            return torch.where(here_NL[..., None], vector_NE[:, None].to(token_NLE.dtype), token_NLE)

        hook = self.text_encoder.get_input_embeddings().register_forward_hook(substitute)
        try:
            yield
        finally:
            hook.remove()


class MlpConditioner(torch.nn.Module):
    """`layers` linear maps with GELU between them, from the unit vector to `tokens` context vectors.

    The unconditional prompt is the perceptron's answer to the zero vector, on which condition dropout trains it.
    """

    kind = "mlp"

    def __init__(self, dimension: int, width: int, hidden: int = 1024, layers: int = 4, tokens: int = 1) -> None:
        super().__init__()
        if min(dimension, width, hidden, layers, tokens) < 1:
            raise ValueError("its numbers are not all 1 or more")
        self.config = {"dimension": dimension, "width": width, "hidden": hidden, "layers": layers, "tokens": tokens}
        self.dimension, self.width, self.tokens = dimension, width, tokens
        sizes = [dimension, *[hidden] * (layers - 1), tokens * width]
        maps: list[torch.nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            maps += [torch.nn.Linear(before, after), torch.nn.GELU()]
        self.layers = torch.nn.Sequential(*maps[:-1])

    def forward(self, unit_ND: torch.Tensor, dropped_N: torch.Tensor | None = None) -> torch.Tensor:
        """Prompts (N, L, E); rows of `dropped_N` (bool) are answered as the zero vector."""
        if dropped_N is not None:
            unit_ND = unit_ND.masked_fill(dropped_N[:, None], 0.0)
        prompt_NLE: torch.Tensor = self.layers(unit_ND.to(self.layers[0].weight.dtype))
        return prompt_NLE.unflatten(-1, (self.tokens, self.width))

    def empty(self) -> torch.Tensor:
        """The unconditional prompt (1, L, E)."""
        return self(torch.zeros(1, self.dimension, device=self.layers[0].weight.device))


def load_conditioner(folder: Path, tokenizer: Path | None, wanted: str | None = None) -> Any:
    """The conditioner in `folder`, float32; which one it is stands in its config.json.

    Raises InputError when `wanted` (`clip` or `mlp`) is the other one, and when a text encoder has no tokenizer.
    """
    config = weights.read_config(folder)
    kind = "mlp" if config.get("model_type") == "mlp" else "clip"
    if wanted is not None and wanted != kind:
        raise InputError(
            f"The recipe asks for the conditioner '{wanted}', and {folder} holds '{kind}'.",
            f"Set generator.conditioner={kind}, or give another model.",
        )
    if kind == "mlp":
        try:
            network = MlpConditioner(**{key: int(value) for key, value in config.items() if key != "model_type"})
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{folder / 'config.json'} describes no MLP conditioner: {error}.", "Export the generator again."
            ) from error
        weights.fill(network, weights.find_weights(folder, ("model",)), torch.float32)
        return network.eval().requires_grad_(False)
    if tokenizer is None:
        raise InputError(
            f"{folder} holds a text encoder, and there is no folder tokenizer/ beside the autoencoder's.",
            "Give the Stable Diffusion parts as `base`.",
        )
    text_encoder = load.load_text_encoder(folder)
    return ClipConditioner(text_encoder, *token_ids(tokenizer, int(text_encoder.config.max_position_embeddings)))


def token_ids(folder: Path, positions: int) -> tuple[list[int], list[int], int]:
    """Ids of the pseudo-prompt and of the empty prompt, padded to `positions`, and the id of the token `id`."""
    from transformers import CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder))
        length = min(int(tokenizer.model_max_length), positions)
        padded = [
            list(tokenizer(text, padding="max_length", max_length=length, truncation=True).input_ids)
            for text in (PROMPT, "")
        ]
        id_token = tokenizer.encode(PLACEHOLDER, add_special_tokens=False)[0]
    except Exception as error:  # files missing, damaged or of another kind: each version raises its own
        raise InputError(
            f"{folder} holds no CLIP tokenizer that can be read: {str(error).strip().splitlines()[0]}",
            "It needs vocab.json, merges.txt and tokenizer_config.json, as in the Stable Diffusion checkpoint.",
        ) from error
    return padded[0], padded[1], int(id_token)
