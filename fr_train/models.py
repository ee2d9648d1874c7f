"""Any recogniser as one thing: uint8 RGB images in, raw embeddings out. The network's own channel order is its secret."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fr_train import devices
from synthface.devices import cores, is_out_of_memory, onnx_providers
from synthface.errors import InputError, ResourceError, UsageError
from synthface.progress import say

if TYPE_CHECKING:
    from torch import nn

_SETTING = "evaluate.batch_size"  # the recipe value that an error about the batch names


class Embedder(Protocol):
    """image_BHWC uint8 RGB, `image_size` square → embedding_BD float32, not normalised.

    A call raises ResourceError when memory ends, with the batch that fits.
    """

    name: str
    color: str  # rgb or bgr: what the network sees
    image_size: int

    def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]: ...


class TorchEmbedder:
    """A PyTorch backbone. Runs in eval mode and float32, and leaves the module's mode as it was.

    `backbone` is the name by which the network can be built again, or a description where there is none.
    `batch_setting` is the recipe value that decides the batch, for errors.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        color: str = "rgb",
        image_size: int = 112,
        device: str = "cpu",
        backbone: str = "one without a name",
        batch_setting: str = _SETTING,
    ) -> None:
        import torch

        self.name, self.color, self.image_size, self.device = name, color, image_size, device
        self.backbone, self.batch_setting = backbone, batch_setting
        self.module = module.to(device=device, memory_format=torch.channels_last)

    def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        was_training = self.module.training
        self.module.eval()
        try:
            return _within_memory(self._run, image_BHWC, self.device, self.batch_setting)
        finally:
            self.module.train(was_training)

    def _run(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            image_BCHW = torch.from_numpy(_ordered(image_BHWC, self.color)).to(self.device).permute(0, 3, 1, 2)
            embedding_BD = self.module(image_BCHW.float().sub_(127.5).div_(127.5))
            array: NDArray[np.float32] = embedding_BD.float().cpu().numpy()
        return array


class OnnxEmbedder:
    """An ONNX recogniser in insightface's convention: (n, 3, s, s) in, one vector an image out.

    The input is (x − 127.5) / 127.5 unless the graph begins with a subtraction and a multiplication of its own, by which
    insightface tells the networks of the MXNet time. `device` is auto, cpu, cuda or cuda:N; auto goes to the CPU, and says
    so, where onnxruntime's CUDA does not work. Raises InputError for a file of another kind, UsageError and
    ResourceError for a device that cannot be meant or used.
    """

    def __init__(self, path: Path, color: str = "rgb", device: str = "cpu") -> None:
        self.name, self.color = path.stem, color
        self._session, self.device = _open_session(path, device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
            raise InputError(
                f"{path} is not a face recogniser: its input is {inputs[0].type} {shape}.",
                "A recogniser takes float images (n, 3, 112, 112).",
            )
        if len(outputs) > 2 or len(outputs[0].shape) != 2:
            raise InputError(
                f"{path} is not a face recogniser: it has {len(outputs)} outputs, the first of shape {outputs[0].shape}.",
                "A recogniser gives one vector an image.",
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        self._dimension = outputs[0].shape[1] if isinstance(outputs[0].shape[1], int) else 0
        self._fixed_batch = shape[0] if isinstance(shape[0], int) else None
        self.image_size = shape[2] if isinstance(shape[2], int) else 112
        self._normalises = _normalises_itself(path)

    def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _within_memory(self._run, image_BHWC, self.device, _SETTING)

    def _run(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        image_BCHW = _ordered(image_BHWC, self.color).transpose(0, 3, 1, 2).astype(np.float32)
        if not self._normalises:
            image_BCHW = (image_BCHW - np.float32(127.5)) / np.float32(127.5)
        number = len(image_BCHW)
        # on a CPU a picture a thread takes less time than all threads on one batch, and no picture's bits depend on others
        batch = self._fixed_batch or (1 if self.device == "cpu" else max(number, 1))
        filled = np.concatenate([image_BCHW, np.repeat(image_BCHW[-1:], -number % batch, axis=0)])
        piece_PBCHW = filled.reshape(-1, batch, *filled.shape[1:])
        if len(piece_PBCHW) == 0:
            return np.zeros((0, self._dimension), np.float32)
        with ThreadPoolExecutor(cores() if self.device == "cpu" else 1) as pool:
            return np.concatenate(list(pool.map(self._run_piece, piece_PBCHW)))[:number]

    def _run_piece(self, image_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        (embedding_BD,) = self._session.run([self._output], {self._input: np.ascontiguousarray(image_BCHW)})
        return np.asarray(embedding_BD, dtype=np.float32)


def open_model(path: str | Path, color: str | None = None, device: str = "auto") -> Embedder:
    """The recogniser in a checkpoint of ours, of AdaFace, CVLface or insightface, or in an ONNX file.

    `color` overrides the channel order that the file or its lineage states. Raises InputError for files that are
    absent, damaged, unsafe or of another kind, UsageError and ResourceError for a device that cannot be meant or is absent.
    """
    path = Path(path)
    if color not in (None, "rgb", "bgr"):
        raise UsageError(f"There is no channel order '{color}'.", "It is rgb or bgr.")
    if path.suffix.lower() == ".onnx":
        if not path.is_file():
            raise InputError(f"There is no network {path}.", "Check the path.")
        return OnnxEmbedder(path, color or "rgb", device)
    from fr_train import checkpoints

    module, info = checkpoints.load_backbone(path)
    order, chosen = color or info.color, devices.choose(device)
    return TorchEmbedder(module, path.stem, order, info.image_size, chosen, info.backbone)


def export_onnx(model: Embedder, path: str | Path) -> None:
    """Writes a PyTorch recogniser as ONNX; see `export`. Raises UsageError when it is ONNX already."""
    if not isinstance(model, TorchEmbedder):
        raise UsageError(f"{model.name} is an ONNX network already.", "Copy the file instead of exporting it.")
    from fr_train import export

    export.to_onnx(model.module, path, color=model.color, image_size=model.image_size)


def export_safetensors(model: Embedder, path: str | Path) -> None:
    """Writes a PyTorch recogniser as float16 safetensors; see `weights`. Raises UsageError when it is an ONNX network."""
    if not isinstance(model, TorchEmbedder):
        raise UsageError(f"{model.name} is an ONNX network.", "Only checkpoints can be written as safetensors.")
    from fr_train import weights

    weights.save(path, model.module, backbone=model.backbone, color=model.color, image_size=model.image_size)


def _ordered(image_BHWC: NDArray[np.uint8], color: str) -> NDArray[np.uint8]:
    """RGB images in the order the network sees."""
    return np.ascontiguousarray(image_BHWC[..., ::-1] if color == "bgr" else image_BHWC)


def _normalises_itself(path: Path) -> bool:
    """insightface's rule: both a Sub and a Mul among the first eight nodes."""
    import onnx

    names = [node.name for node in onnx.load(str(path), load_external_data=False).graph.node[:8]]
    return any(name.startswith(("Sub", "_minus")) for name in names) and any(
        name.startswith(("Mul", "_mul")) for name in names
    )


def _open_session(path: Path, device: str) -> tuple[Any, str]:
    """onnxruntime's session, and where it runs: cpu, cuda or cuda:N."""
    providers = onnx_providers(device)
    session = _session(path, providers)
    if providers[0] == "CPUExecutionProvider":
        return session, "cpu"
    if "CUDAExecutionProvider" in session.get_providers():
        return session, "cuda" if device == "auto" else device
    if device != "auto":
        raise ResourceError(
            f"The device '{device}' was asked for, and onnxruntime cannot use it for {path}: its CUDA libraries did not "
            "load, or there is no such GPU.",
            "Install the CUDA and cuDNN versions that your onnxruntime-gpu needs, or choose cpu.",
        )
    say(f"onnxruntime found no GPU that it can use: {path.name} runs on the CPU.")
    return session, "cpu"


def _session(path: Path, providers: list[Any]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if providers == ["CPUExecutionProvider"]:
        options.intra_op_num_threads = 1  # pictures are spread over threads instead
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints when it falls back to the CPU
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no common class
        if is_out_of_memory(error):
            raise ResourceError(f"{path} does not fit into the memory of the device.", "Choose another one.") from error
        raise InputError(
            f"{path} cannot be opened as an ONNX network: {(str(error) or type(error).__name__).splitlines()[0]}.",
            "The file is damaged or of another kind; download or export it again.",
        ) from error
    session.disable_fallback()  # a GPU that fails amid the work is an error, not a slower run
    return session


def _within_memory(
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]], image_BHWC: NDArray[np.uint8], device: str, setting: str
) -> NDArray[np.float32]:
    """What `run` gives. When memory ends, halves the batch until it fits, and raises ResourceError with that batch."""
    try:
        return run(image_BHWC)
    except Exception as error:  # onnxruntime's errors have no common class
        if not is_out_of_memory(error):
            raise
        cause = _released(error)
    smaller = len(image_BHWC) // 2
    while smaller:
        try:
            run(image_BHWC[:smaller])
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            _released(error)
            smaller //= 2
        else:
            break
    if smaller:
        raise ResourceError(
            f"{device} has no memory for a batch of {len(image_BHWC)} images; one of {smaller} fits.",
            f"Use --set {setting}={smaller}.",
        ) from cause
    raise ResourceError(
        f"{device} has no memory for even one image.", "Close other programs, or choose another device with --device."
    ) from cause


def _released(error: Exception) -> Exception:
    """The error without the variables of the frames that it passed: they hold what the failed batch had allocated."""
    traceback.clear_frames(error.__traceback__)
    return error
