"""Devices by name, in onnxruntime's words, and the errors that mean the end of their memory."""

from __future__ import annotations

import pytest

from synthface import devices
from synthface.errors import ResourceError, UsageError


@pytest.mark.parametrize(
    ("name", "parsed"),
    [("auto", ("auto", None)), ("cpu", ("cpu", None)), ("cuda", ("cuda", None)), ("cuda:12", ("cuda", 12))],
)
def test_a_device_is_a_kind_and_a_number(name: str, parsed: tuple[str, int | None]) -> None:
    assert devices.parse(name) == parsed


@pytest.mark.parametrize("name", ["gpu", "tpu", "cuda:one", "cpu:0", "cuda:", "", "Cuda"])
def test_what_names_no_device_is_a_sentence(name: str) -> None:
    with pytest.raises(UsageError, match=f"There is no device '{name}'"):
        devices.onnx_providers(name)


def test_an_absent_gpu_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert devices.onnx_providers() == ["CPUExecutionProvider"]
    with pytest.raises(ResourceError, match=r"'cuda:1' was asked for.*onnxruntime-gpu.*--device cpu"):
        devices.onnx_providers("cuda:1")


@pytest.mark.usefixtures("onnxruntime_claims_cuda")
def test_a_gpu_is_taken_where_there_is_one() -> None:
    for asked, index in (("auto", 0), ("cuda", 0), ("cuda:1", 1)):
        name, options = devices.onnx_providers(asked)[0]
        assert (name, options["device_id"]) == ("CUDAExecutionProvider", index)
        assert options["cudnn_conv_algo_search"] != "EXHAUSTIVE", "kernels chosen by their time differ between runs"
    assert devices.onnx_providers("cpu") == ["CPUExecutionProvider"]


def test_the_end_of_memory_is_known_by_every_librarys_words() -> None:
    import torch

    ends = [
        MemoryError(),
        torch.OutOfMemoryError("Tried to allocate 20.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9"),
        RuntimeError("std::bad_alloc"),
    ]
    assert all(map(devices.is_out_of_memory, ends))
    assert not devices.is_out_of_memory(RuntimeError("shapes do not match"))
