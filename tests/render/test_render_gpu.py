"""On a CUDA device: a rendering whose memory ends."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generator_world import DIMENSION, arc2face_recipe

from synthface.generator import Arc2Face

pytestmark = pytest.mark.gpu


def test_when_a_gpus_memory_ends_the_lot_is_halved_noted_and_the_work_goes_on(
    synthface: Callable[..., Any], golden: Path, tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    sections = arc2face_recipe(golden, tmp_path)
    sections["generator"] |= {"batch_size": 256, "dtype": "float32"}
    sections["gate"]["min_reference_similarity"] = None  # the generator alone is on the GPU
    run = make_run(**sections)
    torch.cuda.set_per_process_memory_fraction(1.25 * room_of(64, sections) / torch.cuda.mem_get_info()[1])
    try:
        result = synthface("render", "--run", run, "--identities", tmp_path / "people512.npz", "--devices", "cuda:0")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.code == 0, result.err
    assert "256 pictures at once do not fit, going on with 128" in result.err
    noted = json.loads((run / "run.json").read_text())["stages"]["render"]["halved_lots"]
    assert noted
    assert all(int(lot) < 256 for lots in noted.values() for lot in lots)
    rows = [json.loads(path.read_text())["images"] for path in sorted((run / "shards").glob("?????.json"))]
    assert sum(rows) == 16


def room_of(lot: int, sections: dict[str, dict[str, Any]]) -> int:
    """Bytes that PyTorch holds on the GPU when it draws so many pictures at once."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    generator = Arc2Face.from_pretrained(sections["generator"]["model"], dtype="float32", device="cuda:0")
    condition_MD = np.random.default_rng(0).standard_normal((lot, DIMENSION)).astype(np.float32)
    generator.sample(condition_MD, range(lot), num_inference_steps=1)
    room = torch.cuda.max_memory_reserved()
    del generator
    gc.collect()
    torch.cuda.empty_cache()
    return room
