"""Files of fluid's tensors, one (`save_vars`) or several (`save_combine`) in a file.

    u32 version, 0
    u64 levels of detail, then for each: u64 bytes, data
    u32 version, 0
    i32 size of the description
    description, a protobuf message: field 1 varint dtype; field 2 varint dimension,
        repeated, packed or not
    the values, little-endian, in C order

Only descriptions are read at first, and values when `np.asarray` asks for an array. A file that
says something else about itself than its size does is refused.
"""

import io
import math
import os
import struct
from typing import BinaryIO, List

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.storage.tensors import LazyArray, array_in_file

DTYPES = {0: "?", 1: "<i2", 2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8", 20: "u1", 21: "i1"}
_MAX_DESCRIPTION = 1 << 16
_MAX_DIMENSIONS = 9  # fluid's own limit


def read_tensor(path: PathLike) -> LazyArray:
    """Return the array in a file that holds one tensor.

    Raises:
        InputError: The file is no such file, is truncated, or something follows the tensor.
    """
    with _open(path) as file:
        array, size = _read_record(file, str(path)), file.size
        if file.tell() != size:
            raise InputError(
                f"{path}: {size - file.tell()} bytes follow the tensor; expected one in the file"
            )
    return array


def read_tensors(path: PathLike) -> List[LazyArray]:
    """Return all arrays in a combined file, in its order; it holds no names.

    Raises:
        InputError: The file is no such file or is truncated.
    """
    arrays: List[LazyArray] = []
    with _open(path) as file:
        while file.tell() < file.size:
            arrays.append(_read_record(file, f"{path}, tensor {len(arrays) + 1}"))
    return arrays


def write_tensor(file: BinaryIO, array: np.ndarray) -> None:
    """Write one tensor to an open binary file, as fluid does; several make a combined file.

    Args:
        file: Open for writing.
        array: Of a type in DTYPES.
    """
    array = np.asarray(array, order="C")
    number = next(key for key, name in DTYPES.items() if np.dtype(name) == array.dtype)
    description = b"\x08" + _varint(number) + b"".join(b"\x10" + _varint(n) for n in array.shape)
    file.write(struct.pack("<IQIi", 0, 0, 0, len(description)) + description)
    file.write(array.reshape(-1).data.cast("B"))


def _varint(value):
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])


def starts_like_tensor(path: PathLike) -> bool:
    """Return whether the file at `path` begins as these files do."""
    with open(path, "rb") as file:
        head = file.read(16)
    return len(head) == 16 and head == bytes(16)  # versions 0 and no levels of detail


class _File(io.FileIO):
    """A file that knows its size."""

    def __init__(self, path):
        super().__init__(path)
        self.size = os.fstat(self.fileno()).st_size


def _open(path) -> _File:
    file = _File(path)
    if not file.size:
        file.close()
        raise InputError(f"{path}: the file is empty; expected a tensor")
    return file


def _read_record(file, source) -> LazyArray:
    """Return the tensor that begins at the file's position, which then is after it."""
    def check_room(size, what):
        if size < 0 or size > file.size - file.tell():
            raise InputError(
                f"{source}: truncated or not a tensor: {what} needs {size} bytes, "
                f"{file.size - file.tell()} are left"
            )

    def number(code, what):
        check_room(struct.calcsize("<" + code), what)
        return struct.unpack("<" + code, file.read(struct.calcsize("<" + code)))[0]

    _check_version(number("I", "the version"), source)
    levels = number("Q", "the number of levels of detail")
    if levels:
        raise InputError(f"{source}: has {levels} levels of detail; weights have none")
    _check_version(number("I", "the version of the tensor"), source)
    size = number("i", "the size of the description")
    if not 0 < size <= _MAX_DESCRIPTION:
        raise InputError(f"{source}: not a tensor: its description has {size} bytes")
    check_room(size, "the description")
    dtype, shape = _parse_description(file.read(size), source)
    num_bytes = math.prod(shape) * dtype.itemsize
    check_room(num_bytes, f"the array {shape} of {dtype}")
    array = array_in_file(file.name, file.tell(), shape, dtype)
    file.seek(num_bytes, os.SEEK_CUR)
    return array


def _check_version(version, source):
    if version != 0:
        raise InputError(f"{source}: not a fluid tensor: version {version}, expected 0")


def _parse_description(description, source):
    dtype, shape, position = None, [], 0

    def varint():
        nonlocal position
        value = shift = 0
        while position < len(description) and shift < 64:
            byte = description[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise InputError(f"{source}: not a tensor: damaged description")

    while position < len(description):
        key = varint()
        value = varint()
        if key == 1 << 3:
            dtype = value
        elif key == 2 << 3:
            shape.append(value)
        elif key == 2 << 3 | 2:
            end = position + value
            if end > len(description):
                raise InputError(f"{source}: not a tensor: damaged description")
            while position < end:
                shape.append(varint())
        else:
            raise InputError(f"{source}: not a tensor: unknown field {key} in its description")
    if dtype not in DTYPES:
        raise InputError(f"{source}: values of unknown type {dtype}")
    # sizes that are negative are huge when they are read as varints
    if len(shape) > _MAX_DIMENSIONS or any(size >= 1 << 40 for size in shape) or (
        math.prod(max(1, size) for size in shape) >= 1 << 56
    ):
        raise InputError(f"{source}: not a tensor: dimensions {shape}")
    return np.dtype(DTYPES[dtype]), tuple(shape)
