"""safetensors files, tensor by tensor: read when asked for, written one after the other.

    u64 length of the header
    header, JSON padded with spaces: {name: {"dtype", "shape", "data_offsets"}, ...}
    the values, little-endian, in C order

Source: the format's description in the repository huggingface/safetensors.
"""

import json
import struct
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping

import numpy as np
from safetensors import SafetensorError, safe_open

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.storage.tensors import LazyArray, array_in_file

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "V2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}
_TYPE_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}


def read_safetensors(path: PathLike) -> Dict[str, LazyArray]:
    """Return the tensors in a file; a tensor is read when `np.asarray` asks for it.

    Raises:
        InputError: The file is no safetensors file, or is truncated.
    """
    try:
        with safe_open(path, framework="numpy"), open(path, "rb") as file:  # which checks it
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        return {
            name: array_in_file(
                path, 8 + length + about["data_offsets"][0], tuple(about["shape"]),
                _TYPES.get(about["dtype"], "V1"),
            )
            for name, about in header.items()
        }
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {error}") from None


def write_safetensors(
    path: PathLike, arrays: Mapping[str, Any], progress: Callable[[int], object] = lambda size: None
) -> None:
    """Write arrays to a new file, reading each when its turn comes.

    Args:
        path: The file.
        arrays: By name.
        progress: Called with the bytes of each array when it is written.
    """
    with new_safetensors(path, arrays) as write:
        for name, lazy in arrays.items():
            array = np.asarray(lazy)
            write(name, array)
            progress(array.nbytes)


@contextmanager
def new_safetensors(
    path: PathLike, names: Iterable[str]
) -> Iterator[Callable[[str, np.ndarray], None]]:
    """Yield a function that takes the name and values of the next tensor of a new file.

    Args:
        path: The file.
        names: All names that may come; they decide how much room the header gets.
    """
    room = 1024 + sum(len(json.dumps(name)) + 160 for name in names)
    room += -room % 8
    header, end = {}, 0
    with open(path, "wb") as file:
        file.seek(8 + room)

        def write(name: str, array: np.ndarray) -> None:
            nonlocal end
            array = np.asarray(array, order="C")
            file.write(memoryview(array.reshape(-1)).cast("B"))
            header[name] = {
                "dtype": _TYPE_NAMES[array.dtype],
                "shape": list(array.shape),
                "data_offsets": [end, end + array.nbytes],
            }
            end += array.nbytes

        yield write
        text = json.dumps(header).encode("utf-8").ljust(room)
        file.seek(0)
        file.write(struct.pack("<Q", len(text)) + text)
