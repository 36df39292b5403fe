"""Vectors of the lines of a text in an HDF5 file, laid out at once and filled in any order.

bilm-tf's layout: dataset `"<line number from 0>"` for each line; and AllenNLP's
`sentence_to_index`, one JSON string that tells the dataset of each sentence.

The file is created with all its datasets, without their values, and closed. From then on HDF5
has no part in it: vectors are written to where they belong, so that a process killed at any
moment leaves a file that is whole but for some values, and a note beside it says which batches
are done. OUT.partial and OUT.partial.progress become OUT when all are.
"""

import fcntl
import json
import math
import os
import time
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Dict, Optional

import h5py
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bilm.errors import InputError
from bilm.files import sync_folder, write_bytes_atomically

SENTENCE_INDEX = "sentence_to_index"
_FINGERPRINT = "fingerprint"
SECONDS_BETWEEN_NOTES = 5.0
_BYTES_A_DATASET = 1024  # of what HDF5 needs beside the values; more than was ever seen
_CONTIGUOUS = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
_CONTIGUOUS.set_layout(h5py.h5d.CONTIGUOUS)
_CONTIGUOUS.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
_CONTIGUOUS.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
_CONTIGUOUS.set_obj_track_times(False)


class VectorFile:
    """An HDF5 file of vectors that is being filled.

    Args:
        path: Its final name, which must be free.
        shapes: The shape of each line's dataset; the axis before the last counts words.
        dtype: float32 or float16.
        sentence_index: The JSON text for `sentence_to_index`.
        fingerprint: Tells what the values depend on; only a file with the same one is resumed.
        resume: Whether to go on with what an interrupted run left.

    Attributes:
        batches_done: How many batches are in the file already.
        state: Arrays that the last of these batches left, by name.

    Raises:
        InputError: The file cannot be written, there is no room for it, or what is there does
            not allow it.
    """

    def __init__(
        self,
        path,
        shapes,
        dtype: np.dtype,
        sentence_index: str,
        fingerprint: str,
        resume: bool = False,
    ):
        self._final = Path(path)
        self._partial = self._final.with_name(self._final.name + ".partial")
        self._note = self._partial.with_name(self._partial.name + ".progress")
        self._fingerprint, self._dtype = fingerprint, np.dtype(dtype)
        self.batches_done, self.state = 0, {}
        occupied = self._partial.exists()
        if occupied and not resume:
            raise InputError(
                f"{self._partial} is there, of a run that was interrupted: add --resume to go on "
                "with it, or remove it"
            )
        self._shapes, self._noted_at = shapes, time.monotonic()
        self._file = self._open()
        try:
            if occupied and self._note.exists():
                self._read_note()
            if not self.batches_done:
                self._lay_out(sentence_index)
            with h5py.File(self._partial, "r", locking=False) as file:
                self._offsets = array("q", (_offset(file, line) for line in range(len(shapes))))
        except BaseException:
            self._file.close()
            if not occupied:
                self._partial.unlink()
            raise

    def _open(self):
        descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT, 0o666)
        file = open(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise InputError(f"{self._partial}: another process is writing this file") from None
        return file

    def _lay_out(self, sentence_index):
        size = sum(map(math.prod, self._shapes)) * self._dtype.itemsize
        # HDF5 itself may crash where it cannot write, so the room is asked for before
        self._reserve(size + len(self._shapes) * _BYTES_A_DATASET + 8 * len(sentence_index))
        with h5py.File(self._partial, "w", locking=False) as file:
            file.attrs[_FINGERPRINT] = self._fingerprint
            kind = h5py.h5t.py_create(self._dtype.newbyteorder("<"))
            for line, shape in enumerate(self._shapes):
                space = h5py.h5s.create_simple(tuple(shape))
                h5py.h5d.create(file.id, str(line).encode(), kind, space, _CONTIGUOUS)
            text = file.create_dataset(SENTENCE_INDEX, (1,), h5py.string_dtype("utf-8"))
            text[0] = sentence_index
        self._reserve(os.fstat(self._file.fileno()).st_size)

    def _reserve(self, size):
        """Take room on the disk for a file of so many bytes."""
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            raise InputError(
                f"{self._final}: no room for {size / 1e9:.3f} GB: {error.strerror}; float16 takes "
                "half of it (--dtype), one layer its part (--layers top, average or mix)"
            ) from None

    def _read_note(self):
        try:
            with safe_open(self._note, "numpy") as note:
                about = note.metadata()
                self.state = {name: note.get_tensor(name) for name in note.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(f"{self._note}: damaged: {error}; start without --resume") from None
        if about[_FINGERPRINT] != self._fingerprint:
            raise InputError(
                f"{self._partial} was begun with another text, model or option; repeat that "
                "command with --resume, or remove the file"
            )
        self.batches_done = int(about["batches"])

    def write(self, line: int, start: int, vectors: np.ndarray) -> None:
        """Write the vectors of consecutive words of a line, from its word `start` on."""
        shape, vectors = self._shapes[line], np.ascontiguousarray(vectors, self._dtype)
        row_size = shape[-1] * self._dtype.itemsize
        planes = vectors if len(shape) == 3 else vectors[None]
        for number, plane in enumerate(planes):
            first_row = number * shape[-2] + start
            self._write_at(self._offsets[line] + first_row * row_size, plane)

    def _write_at(self, offset, values):
        rest = memoryview(values).cast("B")
        while rest:
            written = os.pwrite(self._file.fileno(), rest, offset)
            offset, rest = offset + written, rest[written:]

    def finish_batch(self, state: Optional[Dict[str, np.ndarray]] = None) -> None:
        """Count a batch as done; every few seconds this is made to survive a power failure."""
        self.batches_done += 1
        self.state = state or {}
        if time.monotonic() - self._noted_at > SECONDS_BETWEEN_NOTES:
            self.note()

    def note(self) -> None:
        """Make what is done survive."""
        os.fsync(self._file.fileno())
        about = {_FINGERPRINT: self._fingerprint, "batches": str(self.batches_done)}
        write_bytes_atomically(self._note, save(self.state, about))
        self._noted_at = time.monotonic()

    def complete(self) -> None:
        """Give the file its name: all batches are done."""
        os.fsync(self._file.fileno())
        os.replace(self._partial, self._final)
        self._note.unlink(missing_ok=True)
        sync_folder(self._final.parent)

    def close(self) -> None:
        self._file.close()


def _offset(file, line) -> int:
    offset = h5py.h5d.open(file.id, str(line).encode()).get_offset()
    return -1 if offset is None else offset


def is_complete(path, fingerprint: str) -> bool:
    """Return whether `path` is a finished file of exactly these vectors."""
    with suppress(OSError), h5py.File(path, "r", locking=False) as file:
        return file.attrs.get(_FINGERPRINT) == fingerprint
    return False


def sentence_index_of(sentences) -> str:
    """Return the JSON text that tells the dataset of each sentence, the last of equal ones."""
    return json.dumps({sentence: str(line) for line, sentence in enumerate(sentences)})
