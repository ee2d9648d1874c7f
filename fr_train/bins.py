"""insightface's `.bin` verification sets: a pickled pair (2N encoded images, N times "same person").

A pickle can name any function and have it called. These files come from the internet, so they are read by an unpickler
that knows ten names and maps each to a stand-in of ours: not even NumPy's own reconstruction runs on what a file says.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.errors import InputError

_PROTOCOL = 4  # what insightface's readers, on any Python 3, can open


@dataclass(frozen=True)
class VerificationSet:
    """Images 2k and 2k + 1 are pair k. `images` are encoded (JPEG or PNG)."""

    name: str
    images: Sequence[bytes]
    issame_N: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.issame_N)

    def batches(self, batch_size: int, image_size: int = 112) -> Iterator[NDArray[np.uint8]]:
        """image_BHWC uint8, RGB, `image_size` square, in order."""
        for start in range(0, len(self.images), batch_size):
            stop = min(start + batch_size, len(self.images))
            yield np.stack([self.image(index, image_size) for index in range(start, stop)])

    def image(self, index: int, image_size: int = 112) -> NDArray[np.uint8]:
        """image_HWC uint8, RGB. Raises InputError when it cannot be decoded or is not square."""
        import cv2

        encoded = np.frombuffer(self.images[index], np.uint8)
        image_HWC = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
        if image_HWC is None:
            raise InputError(
                f"Image {index} (pair {index // 2}) of the verification set '{self.name}' cannot be decoded.",
                "The file is damaged; download or copy it again.",
            )
        if image_HWC.shape[0] != image_HWC.shape[1]:
            raise InputError(
                f"Image {index} of the verification set '{self.name}' is {image_HWC.shape[1]}×{image_HWC.shape[0]} "
                "where a square crop was expected.",
                "Verification sets hold aligned faces; align them first.",
            )
        if image_HWC.shape[0] != image_size:
            image_HWC = cv2.resize(image_HWC, (image_size, image_size), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(image_HWC[:, :, ::-1], dtype=np.uint8)


def read(path: str | Path) -> VerificationSet:
    """The set in a `.bin` file of any vintage: Python 2 or 3, elements str, bytes or uint8 arrays.

    Raises InputError when the file is absent, truncated, malformed, or names anything that such files do not need.
    """
    path = Path(path)
    try:
        content = _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except FileNotFoundError as error:
        raise InputError(f"There is no verification set {path}.", "Check the path.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except _RefusedError as refusal:
        raise InputError(
            f"{path} is refused: its pickle asks for '{refusal}', which no verification set needs.",
            "It may have been made to run code on your machine; do not open it with other programs either.",
        ) from refusal
    except Exception as error:  # a damaged pickle can raise nearly anything; none of it is worth a traceback
        raise InputError(
            f"{path} cannot be read as a verification set: {str(error) or type(error).__name__}.",
            "The file is truncated or damaged; download or copy it again.",
        ) from error
    return _checked(path, content)


def write(path: str | Path, images: Sequence[bytes], issame_N: Sequence[bool] | NDArray[np.bool_]) -> None:
    """Writes encoded images and labels as a `.bin` that insightface's readers open."""
    if len(images) != 2 * len(issame_N):
        raise ValueError(f"{len(images)} images cannot be {len(issame_N)} pairs")
    content = ([bytes(image) for image in images], [bool(same) for same in issame_N])
    files.write_bytes(path, pickle.dumps(content, protocol=_PROTOCOL))


def _checked(path: Path, content: Any) -> VerificationSet:
    def malformed(what: str) -> InputError:
        return InputError(f"{path} is not a verification set: {what}.", "It should be (2N images, N same or not).")

    if not isinstance(content, tuple | list) or len(content) != 2:
        raise malformed(f"it holds a {_name(content)} instead of a pair of lists")
    images, labels = (part.tolist() if isinstance(part, _Array) else part for part in content)
    if not isinstance(images, tuple | list) or not isinstance(labels, tuple | list):
        raise malformed(f"it holds a {_name(images)} and a {_name(labels)} instead of two lists")
    encoded = [image.tobytes() if isinstance(image, _Array) else image for image in images]
    for index, image in enumerate(encoded):
        if not isinstance(image, bytes | bytearray):
            raise malformed(f"image {index} is a {_name(image)} instead of an encoded image")
    for index, label in enumerate(labels):
        if not isinstance(label, bool | int):
            raise malformed(f"label {index} is a {_name(label)} instead of true or false")
        if label not in (0, 1):
            raise malformed(f"label {index} is a number other than 0 and 1")
    if not labels:
        raise malformed("it holds no pairs")
    if len(encoded) != 2 * len(labels):
        odd = " (an odd number)" if len(encoded) % 2 else ""
        raise malformed(f"{len(encoded)} images{odd} cannot be {len(labels)} pairs")
    return VerificationSet(path.stem, encoded, np.array(labels, dtype=bool))


def _name(content: Any) -> str:
    return "array" if isinstance(content, _Array) else type(content).__name__


class _RefusedError(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    """Every global of the pickle becomes one of our immutable stand-ins, or the file is refused."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


class _Array:
    """What stands for an ndarray: a flat one of bytes or booleans, and nothing else."""

    __slots__ = ("data", "is_bool")

    def __init__(self) -> None:
        self.data, self.is_bool = b"", False

    def fill(self, data: Any, dtype: Any, shape: Any) -> _Array:
        if not isinstance(dtype, _DType):
            raise ValueError("an array without a type")
        data = data.encode("latin-1") if isinstance(data, str) else bytes(data)
        sides = shape if isinstance(shape, tuple) else (shape,)
        if [side for side in sides if side != 1][1:] or len(data) != np.prod(sides, dtype=object):
            raise ValueError("an array whose shape is not a row of bytes")
        self.data, self.is_bool = data, dtype.is_bool
        return self

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, _, data = state
        self.fill(data, dtype, shape)

    def tobytes(self) -> bytes:
        return self.data

    def tolist(self) -> list[Any]:
        return [bool(value) for value in self.data] if self.is_bool else list(self.data)


class _DType:
    """What stands for a dtype: uint8 or bool."""

    __slots__ = ("is_bool",)

    def __init__(self, code: Any) -> None:
        code = code.decode() if isinstance(code, bytes) else code
        if code not in ("u1", "|u1", "b1", "|b1"):
            raise _RefusedError(f"an array of type {code}")
        self.is_bool = code.endswith("b1")

    def __setstate__(self, state: Any) -> None:
        pass  # byte order and alignment: single bytes have neither


class _Call:
    """A function of ours under a name of the pickle. Has no attributes that a pickle could set."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


def _encode(text: Any, encoding: Any) -> bytes:
    """Protocol 2 writes bytes as text with this call."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise ValueError("text in another encoding than latin1")
    return text.encode("latin1")


def _bool(dtype: Any, data: Any) -> bool:
    """A NumPy scalar: only booleans occur."""
    array = _Array().fill(data, dtype, (1,))
    if not array.is_bool:
        raise ValueError("a scalar that is not a boolean")
    return bool(array.tolist()[0])


_ALLOWED: dict[str, Any] = {
    "_codecs.encode": _Call(_encode),
    "numpy.ndarray": _Call(lambda: _Array()),
    "numpy.dtype": _Call(lambda code, *_: _DType(code)),
    "__builtin__.bytes": _Call(lambda: b""),
    "builtins.bytes": _Call(lambda: b""),
}
for _core in ("numpy.core", "numpy._core"):  # before and after NumPy 2
    _ALLOWED[f"{_core}.multiarray._reconstruct"] = _Call(lambda *_: _Array())
    _ALLOWED[f"{_core}.multiarray.scalar"] = _Call(_bool)
    _ALLOWED[f"{_core}.numeric._frombuffer"] = _Call(
        lambda data, dtype, shape, order: _Array().fill(data, dtype, shape)
    )
