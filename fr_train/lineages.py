"""State dicts of AdaFace, CVLface and insightface, told by their keys and renamed to ours.

The architecture is read from the tensors, not from a name: blocks per stage, widths, squeeze-and-excitation, embedding
size. So the released weights load without saying which network they are, and shrunken ones do too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from fr_train.backbones.iresnet import CONFIGS, IResNet, IResNetConfig
from fr_train.backbones.mobilefacenet import MobileFaceNet

State = dict[str, Tensor]


@dataclass(frozen=True)
class Adapted:
    """A network that fits the state dict, and the state dict in our names."""

    lineage: str  # adaface, cvlface or insightface
    backbone: str
    color: str  # the channel order the lineage trains with
    module: nn.Module
    state: State


def adapt(tensors: State) -> Adapted | None:
    """The network behind foreign keys, whatever prefix they carry; None when no lineage is recognised.

    Keys that do not share the backbone's prefix (the head of a Lightning checkpoint) are left out. CVLface keeps AdaFace's
    network as `net`, and trains it with the other channel order. May raise KeyError, IndexError or ValueError where
    tensors contradict each other.
    """
    for signature, build in _SIGNATURES.items():
        for key in tensors:
            if key.endswith(signature) and (len(key) == len(signature) or key[-len(signature) - 1] == "."):
                prefix = key[: -len(signature)]
                found = build({name[len(prefix) :]: tensors[name] for name in tensors if name.startswith(prefix)})
                if found.lineage == "adaface" and f".{prefix}".endswith(".net."):
                    return replace(found, lineage="cvlface", color="rgb")
                return found
    return None


def _adaface(state: State) -> Adapted:
    widths = [state[key].shape[0] for key in _sorted_blocks(state)]
    stages = Counter(widths)  # widths double from stage to stage, so each belongs to one
    if list(stages) != sorted(stages):
        raise ValueError("the blocks' widths do not grow from stage to stage")
    if state["body.0.res_layer.1.weight"].shape[2:] != (3, 3):
        raise ValueError("its blocks are bottlenecks, as in IR-152 and IR-200, which are not supported")
    config = IResNetConfig(
        layers=tuple(stages.values()),
        widths=tuple(stages),
        stem_width=state["input_layer.0.weight"].shape[0],
        squeeze_excite=any(".se_block." in key for key in state),
    )
    first_block = [sum(config.layers[:stage]) for stage in range(len(config.layers))]

    def block(match: re.Match[str]) -> str:
        index = int(match.group(1))
        stage = sum(index >= first for first in first_block) - 1
        return f"stages.{stage}.{index - first_block[stage]}."

    parts = ("norm1", "conv1", "norm2", "act", "conv2", "norm3")
    rules: list[tuple[str, Any]] = [
        (r"^body\.(\d+)\.", block),
        (r"res_layer\.se_block\.", "se."),
        (r"res_layer\.([0-5])\.", lambda match: parts[int(match.group(1))] + "."),
        (r"shortcut_layer\.0\.", "shortcut.conv."),
        (r"shortcut_layer\.1\.", "shortcut.norm."),
        (r"^input_layer\.0\.", "stem.conv."),
        (r"^input_layer\.1\.", "stem.norm."),
        (r"^input_layer\.2\.", "stem.act."),
        (r"^output_layer\.0\.", "output.norm."),
        (r"^output_layer\.3\.", "output.fc."),
        (r"^output_layer\.4\.", "output.embedding_norm."),
    ]
    module = _iresnet(config, state["output_layer.3.weight"])
    return Adapted("adaface", _name(config), "bgr", module, _renamed(state, rules))


def _sorted_blocks(state: State) -> list[str]:
    pattern = re.compile(r"^body\.(\d+)\.res_layer\.1\.weight$")
    found = {int(match.group(1)): key for key in state if (match := pattern.match(key))}
    if sorted(found) != list(range(len(found))) or not found:
        raise ValueError("the numbers of its blocks have holes")
    return [found[index] for index in sorted(found)]


def _insightface(state: State) -> Adapted:
    stages = sorted({int(key[5 : key.index(".")]) for key in state if key.startswith("layer")})
    config = IResNetConfig(
        layers=tuple(len({key.split(".")[1] for key in state if key.startswith(f"layer{stage}.")}) for stage in stages),
        widths=tuple(state[f"layer{stage}.0.conv1.weight"].shape[0] for stage in stages),
        stem_width=state["conv1.weight"].shape[0],
        project_always=True,
        dropout=0.0,
        final_bias=True,
        initial="normal",
    )
    rules: list[tuple[str, Any]] = [
        (r"^conv1\.", "stem.conv."),
        (r"^bn1\.", "stem.norm."),
        (r"^prelu\.", "stem.act."),
        (r"^bn2\.", "output.norm."),
        (r"^fc\.", "output.fc."),
        (r"^features\.", "output.embedding_norm."),
        (r"^layer(\d+)\.(\d+)\.", lambda match: f"stages.{int(match.group(1)) - 1}.{match.group(2)}."),
        (r"\.bn([123])\.", r".norm\1."),
        (r"\.prelu\.", ".act."),
        (r"\.downsample\.0\.", ".shortcut.conv."),
        (r"\.downsample\.1\.", ".shortcut.norm."),
    ]
    module = _iresnet(config, state["fc.weight"])
    return Adapted("insightface", _name(config), "rgb", module, _renamed(state, rules))


def _mobilefacenet(state: State) -> Adapted:
    def residuals(index: int) -> int:
        return len({key.split(".")[3] for key in state if key.startswith(f"layers.{index}.layers.")})

    simple = "layers.1.layers.0.weight" in state
    blocks = (1 if simple else residuals(1), residuals(3), residuals(5), residuals(7))
    rooms = ("stem", "stage1", "down2", "stage2", "down3", "stage3", "down4", "stage4")
    within = ("up", "depthwise", "down")
    leaf = {"0": "conv", "1": "norm", "2": "act"}
    rules: list[tuple[str, Any]] = [
        (r"^conv_sep\.", "expand."),
        (r"^features\.layers\.0\.", "output.pool."),
        (r"^features\.layers\.2\.", "output.fc."),
        (r"^features\.layers\.3\.", "output.embedding_norm."),
        (r"^layers\.([0-7])\.", lambda match: rooms[int(match.group(1))] + "."),
        (r"^(stage\d\.)layers\.(\d+)\.layers\.", r"\1\2.layers."),
        (r"\.layers\.(\d)\.(?=layers\.)", lambda match: f".{within[int(match.group(1))]}."),
        (r"^(stage\d\.\d+)\.layers\.(\d)\.", lambda match: f"{match.group(1)}.{within[int(match.group(2))]}."),
        (r"\.layers\.(\d)\.(?=\w+$)", lambda match: f".{leaf[match.group(1)]}."),
    ]
    embedding_size, width = state["features.layers.2.weight"].shape[0], state["layers.0.layers.0.weight"].shape[0]
    usual = blocks == (1, 4, 6, 2) and width == 128
    name = "mobilefacenet" if usual else f"mobilefacenet {blocks} of width {width}"
    module = MobileFaceNet(embedding_size, blocks, width)
    return Adapted("insightface", name, "rgb", module, _renamed(state, rules))


_SIGNATURES: dict[str, Callable[[State], Adapted]] = {
    "input_layer.0.weight": _adaface,
    "layer1.0.conv1.weight": _insightface,
    "conv_sep.layers.0.weight": _mobilefacenet,
}


def _iresnet(config: IResNetConfig, fc_weight: Tensor) -> IResNet:
    """`fc_weight` (D, width·side²) tells the embedding size and, by the side of the last map, the image size."""
    if 0 in (config.stem_width, *config.widths):
        raise ValueError("a layer of it has no channels")
    side = round((fc_weight.shape[1] / config.widths[-1]) ** 0.5)
    return IResNet(config, fc_weight.shape[0], image_size=side * 2 ** len(config.layers))


def _name(config: IResNetConfig) -> str:
    for name, known in CONFIGS.items():
        if known == config:
            return name
    kind = "insightface's" if config.project_always else "AdaFace's"
    excited = " with squeeze-and-excitation" if config.squeeze_excite else ""
    return f"{kind} IResNet{excited}, layers {config.layers}, widths {config.widths}"


def _renamed(state: State, rules: list[tuple[str, Any]]) -> State:
    renamed = {}
    for key, tensor in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed
