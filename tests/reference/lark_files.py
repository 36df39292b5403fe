"""LARK's files, written independently of the reader, and the trained checkpoint as variables."""

import struct

from tests.reference import lark, numpy_bilm

TRAINED = lark.FOLDER / "checkpoint_trained"
DTYPES = {"<f4": 5, "<f8": 6, "<f2": 4, "<i8": 3, "<i4": 2, "<i2": 1}


def varint(value):
    found = b""
    while value >= 0x80:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def tensor_bytes(array, packed=False, description=None):
    """Return a file of one tensor, written independently of the reader."""
    if description is None:
        description = b"\x08" + varint(DTYPES[array.dtype.str])
        sizes = [varint(size) for size in array.shape]
        if packed:
            description += b"\x12" + varint(len(b"".join(sizes))) + b"".join(sizes)
        else:
            description += b"".join(b"\x10" + size for size in sizes)
    head = struct.pack("<IQIi", 0, 0, 0, len(description))
    return head + description + array.tobytes()


def combined(tmp_path, arrays):
    path = tmp_path / "combined"
    path.write_bytes(b"".join(tensor_bytes(arrays[name]) for name in sorted(arrays)))
    return path


def trained_variables(moments=False):
    found = numpy_bilm.read_lark_folder(TRAINED)
    return {name: array for name, array in found.items() if moments or "_moment_" not in name}
