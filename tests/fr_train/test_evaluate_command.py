"""`synthface evaluate`: any kind of model on any `.bin`, real faces among them; and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

import fr_train.evaluate
from fr_train import backbones, checkpoints, models
from fr_train.embed import EmbeddedSet, embed

Run = Callable[..., Any]
WriteSet = Callable[[Path, int], Path]
QUICK = ("--set", "evaluate.bootstrap=20", "--set", "evaluate.color_check_pairs=0", "--device", "cpu")


def by_sklearn(embedding_ID: NDArray[Any], issame_N: NDArray[np.bool_], folds: int) -> tuple[float, float, float]:
    """insightface's protocol in other words: cosines, sklearn's folds, one threshold at a time; accuracy, std, TAR at 1e-3."""
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import normalize

    unit_ID = normalize(embedding_ID.astype(np.float64))
    dist_N = 2 - 2 * np.sum(unit_ID[0::2] * unit_ID[1::2], axis=1)
    accuracies, tars = [], []
    for train, test in KFold(folds, shuffle=False).split(dist_N):
        shares = [np.mean((dist_N[train] < threshold) == issame_N[train]) for threshold in np.arange(0, 4, 0.01)]
        best = np.arange(0, 4, 0.01)[int(np.argmax(shares))]
        accuracies.append(np.mean((dist_N[test] < best) == issame_N[test]))
        strangers = np.sort(dist_N[train][~issame_N[train]])
        far_T = np.searchsorted(strangers, np.arange(0, 4, 0.001)) / len(strangers)
        last = int(np.flatnonzero(far_T <= 1e-3)[-1])
        threshold = np.interp(1e-3, far_T[last : last + 2], np.arange(0, 4, 0.001)[last : last + 2])
        tars.append(np.mean(dist_N[test][issame_N[test]] < threshold))
    return float(np.mean(accuracies)), float(np.std(accuracies)), float(np.mean(tars))


def with_one_threshold(embedding_ID: NDArray[Any], issame_N: NDArray[np.bool_]) -> float:
    """The share of pairs that the best single threshold has right."""
    from sklearn.preprocessing import normalize

    unit_ID = normalize(embedding_ID.astype(np.float64))
    dist_N = 2 - 2 * np.sum(unit_ID[0::2] * unit_ID[1::2], axis=1)
    return max(float(np.mean((dist_N < threshold) == issame_N)) for threshold in np.arange(0, 4, 0.01))


@pytest.mark.real
@pytest.mark.parametrize("flip", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_public_network_on_real_lfw_pairs_reaches_what_an_independent_formulation_gives(
    real_data: Path, synthface: Run, monkeypatch: pytest.MonkeyPatch, flip: bool
) -> None:
    seen: list[EmbeddedSet] = []

    def remembered(*arguments: Any, **named: Any) -> EmbeddedSet:
        seen.append(embed(*arguments, **named))
        return seen[-1]

    monkeypatch.setattr(fr_train.evaluate, "embed", remembered)
    network, pairs = real_data / "models" / "mini" / "mobilefacenet_112.onnx", real_data / "lfw_gray_dev.bin"
    chosen = (f"evaluate.flip={json.dumps(flip)}", "evaluate.color_check_pairs=0", "evaluate.bootstrap=200")
    options = [part for setting in chosen for part in ("--set", setting)]
    found = synthface("evaluate", network, pairs, "--device", "cpu", "--json", *options)
    assert found.code == 0, found.err
    figures = found.json["benchmarks"]["lfw_gray_dev"]
    assert figures["accuracy"] >= (0.973 if flip else 0.9745)  # 97.32 % and 97.47 %
    assert figures["ci95"][0] <= figures["accuracy"] <= figures["ci95"][1]
    assert (figures["pairs"], figures["folds"], found.json["color"]) == (2762, 10, "rgb")

    (embedded,) = seen
    assert (embedded.mirrored_ID is not None) == flip
    # the folds hold blocks of one kind, which costs their thresholds: one for all pairs is right on more
    assert with_one_threshold(embedded.fused_ID, embedded.issame_N) >= 0.975
    accuracy, std, _ = by_sklearn(embedded.fused_ID, embedded.issame_N, 10)
    assert figures["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert figures["std"] == pytest.approx(std, abs=1e-6)
    # these pairs are a part of LFW, in blocks: the tenth fold has none of the same person, nine folds have both kinds
    assert figures["tar_folds"] == 9
    assert "Some of the 10 folds of lfw_gray_dev hold pairs of one kind only" in found.json["warnings"][0]
    *_, tar = by_sklearn(embedded.fused_ID, embedded.issame_N, 9)
    assert figures["tar"]["1e-3"] == pytest.approx(tar, abs=1e-6)


@pytest.fixture(scope="module")
def pairs(write_set: WriteSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("pairs") / "lfw.bin", 20)


@pytest.fixture
def ours(narrow: Callable[[str], nn.Module], tmp_path: Path) -> Path:
    """A checkpoint as train-fr writes it."""
    network = narrow("small")
    content = {"backbone": "small", "embedding_size": 16, "color": "bgr", "model": network.state_dict()}
    checkpoints.save(tmp_path / "model.pt", content)
    return tmp_path / "model.pt"


def test_ours_and_its_exports_give_the_same_figures(ours: Path, pairs: Path, tmp_path: Path, synthface: Run) -> None:
    onnx, half = tmp_path / "recogniser.onnx", tmp_path / "recogniser.safetensors"
    first = synthface("evaluate", ours, pairs, "--json", "--onnx", onnx, "--safetensors", half, *QUICK)
    assert first.code == 0, first.err
    assert (first.json["color"], first.json["onnx"], first.json["safetensors"]) == ("bgr", str(onnx), str(half))
    assert list(first.json["benchmarks"]["lfw"]) == [
        "accuracy", "std", "ci95", "pairs", "folds", "threshold", "cosine_threshold", "tar", "tar_std", "tar_folds",
        "separation", "roc",
    ]  # fmt: skip
    for other in (onnx, half):
        found = synthface("evaluate", other, pairs, "--json", *QUICK)
        assert found.code == 0, found.err
        theirs, mine = found.json["benchmarks"]["lfw"], first.json["benchmarks"]["lfw"]
        assert theirs["separation"] == pytest.approx(mine["separation"], rel=0.02)
        assert abs(theirs["accuracy"] - mine["accuracy"]) <= 0.1


def test_a_model_alone_can_be_exported_without_any_set(ours: Path, tmp_path: Path, synthface: Run) -> None:
    found = synthface("evaluate", ours, "--onnx", tmp_path / "a.onnx", *QUICK)
    assert (found.code, found.out) == (0, f"{tmp_path / 'a.onnx'} written.\n")


@pytest.mark.parametrize("file", ["adaface/backbone/irse_narrow.ckpt", "insightface/iresnet_narrow.pt"])
def test_foreign_checkpoints_are_measured_in_their_own_channel_order(
    golden: Path, pairs: Path, synthface: Run, file: str
) -> None:
    found = synthface("evaluate", golden / file, pairs, "--json", *QUICK)
    assert found.code == 0, found.err
    assert found.json["color"] == ("bgr" if file.startswith("adaface") else "rgb")
    assert found.json["benchmarks"]["lfw"]["pairs"] == 20


def test_several_models_give_mean_and_deviation(ours: Path, pairs: Path, tmp_path: Path, synthface: Run) -> None:
    again = tmp_path / "again" / "model.pt"
    again.parent.mkdir()
    again.write_bytes(ours.read_bytes())
    found = synthface("evaluate", ours, pairs, "--with", again, "--json", "--plots", tmp_path / "plots", *QUICK)
    assert found.code == 0, found.err
    seeds = found.json["seeds"]
    assert seeds["models"] == [str(ours), str(again)]  # both are called model.pt
    assert seeds["mean_accuracy"] == {"mean": found.json["mean_accuracy"], "std": 0.0}
    assert sorted(folder.name for folder in (tmp_path / "plots").iterdir()) == ["0", "1"]


def test_the_overlap_with_the_training_data_is_told_on_demand(
    ours: Path, pairs: Path, people: Path, synthface: Run
) -> None:
    found = synthface("evaluate", ours, pairs, "--overlap", people, *QUICK)
    assert found.code == 0, found.err
    assert "Overlap with 48 training images, cosine similarity." in found.out
    assert "| Nearest training face |" in found.out


def test_no_set_at_all_is_a_sentence(ours: Path, synthface: Run) -> None:
    found = synthface("evaluate", ours, "--set", "evaluate.names=[lfw]", *QUICK)
    assert found.code == 2
    assert "No verification set is named, neither here nor in the recipe." in found.err
    assert "--set evaluate.benchmarks=FOLDER" in found.err


MALICIOUS = "verification/bins/malicious"


def test_bad_models_and_sets_are_one_sentence_each_and_leave_no_trace(
    golden: Path, ours: Path, pairs: Path, tmp_path: Path, synthface: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    torn, head, onnx = tmp_path / "torn.bin", tmp_path / "head.pt", tmp_path / "recogniser.onnx"
    models.export_onnx(models.open_model(ours, device="cpu"), onnx)
    torn.write_bytes(pairs.read_bytes()[:5_000])
    content = {
        "backbone": "small",
        "embedding_size": 64,
        "color": "rgb",
        "model": backbones.build("small", 32).state_dict(),
    }
    checkpoints.save(head, content)
    malicious = sorted((golden / MALICIOUS).glob("*.bin"))[0]
    cases = [
        ((tmp_path / "absent.pt", pairs), 1, "There is no checkpoint"),
        ((tmp_path / "absent.onnx", pairs), 1, "There is no network"),
        ((head, pairs), 1, "does not fit its network in 3 tensors"),
        ((ours, tmp_path / "absent.bin"), 1, "There is no verification set"),
        ((ours, empty), 1, "There is no verification set (*.bin) in"),
        ((ours, torn), 1, "is truncated or damaged"),
        ((ours, golden / "verification/bins/malformed_odd_count.bin"), 1, "23 images (an odd number) cannot be 12 pairs"),
        ((ours, malicious), 1, malicious.name),
        ((ours, pairs, "--device", "tpu"), 2, "There is no device 'tpu'"),
        ((onnx, pairs, "--device", "tpu"), 2, "There is no device 'tpu'"),
    ]  # fmt: skip
    for given, code, sentence in cases:
        found = synthface("evaluate", *given, *(QUICK if "--device" not in given else ()), "--run", tmp_path / "run")
        assert found.code == code, found.err
        assert sentence in found.err
        assert "Traceback" not in found.err
        assert found.out == ""
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("fits", "sentence"),
    [(20, "cpu has no memory for a batch of 32 images; one of 16 fits. Use --set evaluate.batch_size=16."),
     (0, "cpu has no memory for even one image. Close other programs, or choose another device with --device.")],
)  # fmt: skip
def test_a_batch_that_does_not_fit_names_one_that_does(
    ours: Path, pairs: Path, synthface: Run, monkeypatch: pytest.MonkeyPatch, fits: int, sentence: str
) -> None:
    forward = backbones.small.Small.forward

    def full(network: Any, image_BCHW: Any) -> Any:
        if len(image_BCHW) > fits:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
            )
        return forward(network, image_BCHW)

    monkeypatch.setattr(backbones.small.Small, "forward", full)
    found = synthface("evaluate", ours, pairs, "--batch-size", 32, *QUICK)
    assert found.code == 1
    assert sentence in found.err
    assert "Traceback" not in found.err
