"""On a CUDA device: half precisions learn, go on where they were stopped, and compile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fr_train import checkpoints
from fr_train.data.sources import open_sources
from fr_train.models import open_model
from fr_train.training.log import TrainLog, read_log
from fr_train.training.loop import train
from synthface.recipe.recognition import TrainRecipe

pytestmark = pytest.mark.gpu


def recipe(**values: Any) -> TrainRecipe:
    usual: dict[str, Any] = {
        "backbone": "small",
        "embedding_size": 32,
        "batch_size": 8,
        "epochs": 8,
        "milestones": (),
        "learning_rate": 0.05,
        "scale": 16.0,
        "device": "cuda",
        "workers": 0,
        "checkpoint_every": 10,
    }
    return TrainRecipe(**{**usual, **values})


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder / "log.jsonl")]


def test_fp16_goes_on_with_its_loss_scale_where_it_was_stopped(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, sources = recipe(precision="fp16"), open_sources([people])
    facts = train(half, sources, tmp_path / "whole")
    assert (facts["precision"], facts["steps"]) == ("fp16", 48)
    write = TrainLog.write

    def stopped(log: TrainLog, step: int, line: dict[str, Any]) -> None:
        write(log, step, line)
        if step == 15:
            raise MemoryError("as if the machine had gone")

    monkeypatch.setattr(TrainLog, "write", stopped)
    with pytest.raises(MemoryError):
        train(half, sources, tmp_path / "cut")
    monkeypatch.setattr(TrainLog, "write", write)
    last = tmp_path / "cut" / "checkpoints" / "last.pt"
    held = checkpoints.read(last)
    assert held["step"] == 10
    assert held["scaler"]["scale"] > 1

    train(half, sources, tmp_path / "cut", resume=True)
    whole, cut = losses(tmp_path / "whole"), losses(tmp_path / "cut")
    assert len(cut) == len(whole) == 48
    # kernels of a GPU add up in an order of their own: the first steps tell, later ones amplify the rounding
    np.testing.assert_allclose(cut[:12], whole[:12], rtol=2e-2)
    assert np.mean(cut[-6:]) < 0.7 * np.mean(cut[:6])
    scales = [checkpoints.read(tmp_path / run / "checkpoints" / "last.pt")["scaler"] for run in ("whole", "cut")]
    assert scales[0] == scales[1]


def test_bf16_learns_as_float32_does(people: Path, tmp_path: Path) -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this device has no bfloat16")
    for precision in ("no", "bf16"):
        facts = train(recipe(precision=precision), open_sources([people]), tmp_path / precision)
        assert facts["device"].startswith("cuda")
    told, exact = losses(tmp_path / "bf16"), losses(tmp_path / "no")
    np.testing.assert_allclose(told[0], exact[0], rtol=2e-2)
    assert np.mean(told[-6:]) < 0.7 * np.mean(told[:6])


def test_a_compiled_backbone_begins_with_the_same_losses(people: Path, tmp_path: Path) -> None:
    for compiled in (False, True):
        train(recipe(precision="no", epochs=1, compile=compiled), open_sources([people]), tmp_path / f"{compiled}")
    np.testing.assert_allclose(losses(tmp_path / "True")[:3], losses(tmp_path / "False")[:3], rtol=1e-2)


def test_what_was_trained_gives_the_same_embedding_on_gpu_and_cpu(people: Path, tmp_path: Path) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    path = Path(train(recipe(epochs=1, precision="no"), open_sources([people]), tmp_path)["model"])
    image_BHWC = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)
    there, here = (open_model(path, device=device)(image_BHWC) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(there, here, rtol=1e-2, atol=1e-3)
