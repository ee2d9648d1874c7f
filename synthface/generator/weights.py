"""Reading weights without running anybody's code, and refusing every one that does not fit.

A network that is silently left with random numbers draws faces all the same, of nobody in particular: the worst failure
of this room. So nothing is loaded unless each tensor of the network is in the file, in its shape, and none is left over.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from synthface import files
from synthface.errors import InputError

StateDict = dict[str, torch.Tensor]

_WHOLE = "Copy or download the file again; `synthface models verify` checks what was pulled."
_INDEX = ".index.json"  # of a checkpoint in parts, as the hub's libraries write it
_ATTENTION_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a component."""
    config = files.read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.json'} does not describe a network.", _WHOLE)
    return config


def find_weights(folder: Path, stems: tuple[str, ...]) -> Path:
    """The weight file of a component, or the index of its parts: safetensors before pickles, full before half precision."""
    names = [
        f"{stem}{half}{suffix}"
        for suffix in (".safetensors", f".safetensors{_INDEX}", ".bin")
        for half in ("", ".fp16")
        for stem in stems
    ]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder} is half a checkpoint: it has no weights.",
        f"Put one of {', '.join(names[:2])} or {stems[0]}.bin there.",
    )


def read_state_dict(path: Path) -> StateDict:
    """Tensors of a .safetensors file, of the parts that an index names, or of a pickle, by PyTorch's `weights_only` reader.

    Raises InputError for missing and damaged files, and for pickles that hold anything but tensors.
    """
    if path.name.endswith(_INDEX):
        return _read_parts(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.", _WHOLE) from error
    except Exception as error:  # torch, pickle, zipfile and safetensors each have their own
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise InputError(
                f"{path} holds more than tensors: Python code that would run on loading, so it was not loaded.",
                "Get a .safetensors file of the same weights, or one from a source that you trust.",
            ) from error
        raise InputError(f"{path} is damaged: {_first_line(error)}", _WHOLE) from error
    state = state.get("state_dict", state) if isinstance(state, Mapping) else state
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path} does not hold named tensors.", _WHOLE)
    return dict(state)


def _read_parts(index: Path) -> StateDict:
    """All tensors of a checkpoint in parts. Raises InputError when the index says otherwise than the parts."""
    content = files.read_json(index)
    where = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(where, dict) or not all(
        isinstance(part, str) and Path(part).name == part for part in where.values()
    ):
        raise InputError(f"{index} does not say which part holds which tensor.", _WHOLE)
    state: StateDict = {}
    for part in sorted(set(where.values())):
        state.update(read_state_dict(index.with_name(part)))
    if state.keys() != where.keys():
        raise InputError(f"{index} and the parts beside it do not hold the same tensors.", _WHOLE)
    return state


def text_encoder_names(state: Mapping[str, torch.Tensor]) -> StateDict:
    """Keys of a CLIP text encoder without the prefix that some versions write, and without the position counter."""
    return {key.removeprefix("text_model."): value for key, value in state.items() if not key.endswith(".position_ids")}


def vae_names(state: Mapping[str, torch.Tensor]) -> StateDict:
    """Keys of an autoencoder with today's names of the attention; 1×1 convolutions become matrices."""
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if "attentions" in parts and len(parts) >= 2 and parts[-2] in _ATTENTION_NAMES:
            parts[-2] = _ATTENTION_NAMES[parts[-2]]
            value = value[:, :, 0, 0] if value.ndim == 4 else value
        renamed[".".join(parts)] = value
    return renamed


def same_names(state: Mapping[str, torch.Tensor]) -> StateDict:
    return dict(state)


def fill(
    network: torch.nn.Module,
    path: Path,
    dtype: torch.dtype,
    names: Callable[[Mapping[str, torch.Tensor]], StateDict] = same_names,
) -> None:
    """Gives `network` (made on the meta device) the tensors of `path` in `dtype`.

    `names` maps the keys of file and network to common ones. Raises InputError unless both have the same keys and
    shapes.
    """
    given = names(read_state_dict(path))
    own = {key: next(iter(names({key: value}))) for key, value in network.state_dict().items()}
    shapes = {own[key]: tuple(value.shape) for key, value in network.state_dict().items()}
    _compare({key: tuple(value.shape) for key, value in given.items()}, shapes, path)
    network.load_state_dict({key: given[own[key]].to(dtype) for key in own}, strict=True, assign=True)


def _compare(given: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], path: Path) -> None:
    missing = sorted(set(wanted) - set(given))
    if missing:
        raise InputError(
            f"{path} is half a checkpoint: {_some(missing)} missing of the network's {len(wanted)} tensors.", _WHOLE
        )
    unexpected = sorted(set(given) - set(wanted))
    if unexpected:
        raise InputError(
            f"{path} has tensors that the network of its config.json has not: {_some(unexpected)}.",
            "Take weights and config.json from the same place.",
        )
    wrong = [f"{key} is {given[key]} instead of {wanted[key]}" for key in wanted if given[key] != wanted[key]]
    if wrong:
        raise InputError(
            f"{path} does not fit its config.json: {_some(wrong)}.", "Take weights and config.json from the same place."
        )


def _some(items: list[str]) -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(items[:3]) + more


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."
