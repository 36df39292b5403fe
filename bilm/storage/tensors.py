"""Named arrays: read when they are needed, compared with what is expected, set in a layer."""

import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import DTypeLike

from bilm.errors import InputError
from bilm.files import PathLike

Shapes = Mapping[str, Sequence[int]]


class LazyArray:
    """An array that is read when `np.asarray` asks for it.

    Args:
        shape: Its shape.
        dtype: Its type.
        read: Returns it.
    """

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, read: Callable[[], np.ndarray]):
        self.shape, self.dtype, self._read = tuple(shape), np.dtype(dtype), read

    def __array__(self, dtype: DTypeLike = None, copy: Optional[bool] = None) -> np.ndarray:
        array = self._read()
        array = array if dtype is None else array.astype(dtype, copy=False)
        return array.copy() if copy else array


def array_in_file(
    path: PathLike, offset: int, shape: Sequence[int], dtype: DTypeLike
) -> LazyArray:
    """Return the array whose values start at a byte of a file, in C order.

    It is read, not mapped: of a large model only the tensor at work is in memory.

    Raises:
        InputError: (when it is read) The file has become shorter.
    """
    dtype = np.dtype(dtype)

    def read() -> np.ndarray:
        array = np.fromfile(path, dtype, math.prod(shape), offset=offset)
        if array.size != math.prod(shape):
            raise InputError(f"{path}: was truncated while it was read")
        return array.reshape(shape)

    return LazyArray(shape, dtype, read)


def shapes_of(arrays: Mapping[str, Any]) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of arrays by name, without reading them."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def differences(expected: Shapes, present: Shapes) -> List[str]:
    """Return a phrase for each tensor that is missing, unexpected or of another shape."""
    missing, unexpected = {*expected} - {*present}, {*present} - {*expected}
    problems = [f"missing {name} {_text(expected[name])}" for name in sorted(missing)]
    problems += [f"unexpected {name} {_text(present[name])}" for name in sorted(unexpected)]
    return problems + [
        f"{name} has shape {_text(present[name])}, expected {_text(expected[name])}"
        for name in sorted({*expected} & {*present})
        if tuple(expected[name]) != tuple(present[name])
    ]


def _text(shape):
    return "x".join(map(str, shape)) or "scalar"


def check_tensors(expected: Shapes, present: Shapes, source: str) -> None:
    """Compare two sets of named shapes.

    Args:
        expected: Shapes by name.
        present: Shapes by name.
        source: Where the present tensors come from, for the message.

    Raises:
        InputError: A tensor is missing, not expected, or of another shape; all are listed.
    """
    problems = differences(expected, present)
    if problems:
        raise InputError(f"{source}: " + "; ".join(problems))


def as_float32(arrays: Mapping[str, Any], source: str) -> Dict[str, np.ndarray]:
    """Return float32 and float16 arrays by name, all of them read and in float32.

    Raises:
        InputError: Arrays are of another type; all are listed.
    """
    _check_types(arrays, source)
    return {name: _read_float32(array) for name, array in arrays.items()}


def _check_types(arrays, source):
    others = [f"{name} is {array.dtype}" for name, array in sorted(arrays.items())
              if array.dtype not in (np.float32, np.float16)]
    if others:
        raise InputError(f"{source}: expected float32 or float16 weights: {'; '.join(others)}")


def _read_float32(array) -> np.ndarray:
    # arrays of a memory map need not be aligned
    return np.require(np.asarray(array), np.float32, ["C", "A"])


def weights_of(model: Any) -> Dict[str, np.ndarray]:
    """Return the parameters of a Paddle layer as arrays by name."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def set_weights(model: Any, weights: Mapping[str, Any], source: str) -> None:
    """Set all parameters of a Paddle layer; unlike `set_state_dict` it leaves none out.

    Args:
        model: The layer.
        weights: float32 or float16 arrays by parameter name.
        source: Where they come from, for messages.

    Raises:
        InputError: Arrays are missing, not known, of another shape or type; all
            are listed.
    """
    parameters = model.state_dict()
    check_tensors(shapes_of(parameters), shapes_of(weights), source)
    _check_types(weights, source)
    for name, parameter in parameters.items():  # one at a time: models are large
        parameter.set_value(_read_float32(weights[name]))
