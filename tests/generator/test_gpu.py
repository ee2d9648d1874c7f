"""On a CUDA device: the same pictures, the precision it is chosen for, and what is said when its memory ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_samples import GOLDEN

from synthface.errors import ResourceError
from synthface.generator import Arc2Face

pytestmark = pytest.mark.gpu


def test_float32_draws_the_pictures_of_the_cpu(generator, embedding_5D):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    there = Arc2Face.from_pretrained(GOLDEN / "checkpoint", dtype="float32", device="cuda")
    options = {"num_inference_steps": 5}
    found = there.sample(embedding_5D, range(5), **options).astype(int)
    assert np.abs(found - generator.sample(embedding_5D, range(5), **options).astype(int)).max() <= 3


def test_auto_is_half_precision_with_channels_last(embedding_5D):
    there = Arc2Face.from_pretrained(GOLDEN / "checkpoint", device="cuda")
    assert there.dtype in (torch.bfloat16, torch.float16)
    assert there.channels_last
    assert there.sample(embedding_5D, range(5), num_inference_steps=2).shape == (5, 64, 64, 3)


def test_the_end_of_the_memory_names_a_batch_that_fits(embedding_5D):
    there = Arc2Face.from_pretrained(GOLDEN / "checkpoint", dtype="float32", device="cuda")
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        count = 1 << 16
        with pytest.raises(ResourceError, match="fits"):
            there.sample(np.repeat(embedding_5D[:1], count, 0), range(count), num_inference_steps=1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
