"""Which encoder made an embedding file, where the file says so (those of `synthface embed` do)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthface.errors import InputError
from synthface.progress import say


def encoder_of(path: Path) -> str | None:
    """The encoder's name in the metadata of .npz and .safetensors, or in the JSON beside a .npy; None where none is."""
    try:
        facts: Any = json.loads(_metadata(path))
        name = facts["task"]["encoder"]
    except Exception:  # files of other makers have no metadata, or some of another kind
        return None
    return name if isinstance(name, str) else None


def common_encoder(paths: Sequence[Path]) -> str | None:
    """The one encoder that the files name, or None when none does. Raises InputError when they name several."""
    made_by = {name: path for path in paths if (name := encoder_of(path)) is not None}
    if len(made_by) > 1:
        (one, first), (other, second) = list(made_by.items())[:2]
        raise InputError(
            f"{first} was made by the encoder '{one}' and {second} by '{other}'.",
            "Use embeddings that one encoder made; if these are two names of one, say which with --encoder.",
        )
    return next(iter(made_by), None)


def tell_of_others(paths: Sequence[Path], encoder: str) -> None:
    """A line on stderr about every file that names another encoder: a file may know the same network by another name."""
    for path in paths:
        made_by = encoder_of(path)
        if made_by is not None and made_by != encoder:
            say(
                f"{path} was made by the encoder '{made_by}', and the recipe's is '{encoder}': unless these are two names "
                "of one network, similarities between them mean nothing."
            )


def _metadata(path: Path) -> str:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return str(file["metadata"])
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return str((file.metadata() or {})["synthface"])
    return path.with_name(f"{path.name}.json").read_text(encoding="utf-8")
