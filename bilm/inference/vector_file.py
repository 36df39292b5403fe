"""Vectors of the lines of a text in an HDF5 file, laid out at once and filled in any order.

bilm-tf's layout: dataset `"<line number from 0>"` for each line; and AllenNLP's
`sentence_to_index`, one JSON string that tells the dataset of each sentence.

The file is created with all its datasets, without their values, and closed. From then on HDF5
has no part in it: vectors are written to where they belong, so that a process killed at any
moment leaves a file that is whole but for some values, and a note beside it says how many batches
are done, and of which file. OUT.partial becomes OUT when all are.
"""

import fcntl
import glob
import json
import math
import os
import time
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Dict, Optional, Tuple

import h5py
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bilm.errors import InputError
from bilm.files import PathLike, reserve, sync_folder, write_bytes_atomically

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
        self._partial, self._note = _working_files(path)
        self._fingerprint, self._dtype = fingerprint, np.dtype(dtype)
        self._shapes, self._noted_at = shapes, time.monotonic()
        self._done, self._is_complete = (0, {}), False
        occupied = self._partial.exists()
        if occupied and not resume:
            raise InputError(
                f"{self._partial} is there, of a run that was interrupted: add --resume to go on "
                f"with it, or remove it and {self._note.name}"
            )
        self._file = self._open()
        try:
            if occupied and self._note.exists():
                self._read_note()
            if not self.batches_done:
                self._lay_out(sentence_index)
            self._offsets = self._read_offsets()
        except BaseException:
            self._file.close()
            if not occupied:
                self._partial.unlink(missing_ok=True)
            raise

    @property
    def batches_done(self) -> int:
        """How many batches are in the file already."""
        return self._done[0]

    @property
    def state(self) -> Dict[str, np.ndarray]:
        """Arrays that the last of these batches left, by name."""
        return self._done[1]

    def _open(self):
        try:
            descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"{self._partial}: cannot be written: {error.strerror}") from None
        file = open(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = _is_same(file, self._partial)
        except BlockingIOError:
            is_ours = False
        if not is_ours:
            file.close()
            raise InputError(f"{self._partial}: another process is writing this file")
        return file

    def _lay_out(self, sentence_index):
        # a note of an earlier file must never be taken for one of this
        self._note.unlink(missing_ok=True)
        sync_folder(self._final.absolute().parent)
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
            reserve(self._file, size)
        except OSError as error:
            raise InputError(
                f"{self._final}: no room for {size / 1e9:.3f} GB: {error.strerror}; float16 takes "
                "half of it (--dtype), one layer its part (--layers top, average or mix)"
            ) from None

    def _read_note(self):
        try:
            with safe_open(self._note, "numpy") as note:
                about = note.metadata()
                state = {name: note.get_tensor(name) for name in note.keys()}  # noqa: SIM118
            found = about[_FINGERPRINT], int(about["inode"])
            batches = int(about["batches"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self._note}: damaged ({error!r}); {self._advice}") from None
        if found[0] != self._fingerprint:
            raise InputError(
                f"{self._partial} was begun with another text, model or option; repeat that "
                f"command with --resume, or {self._advice}"
            )
        if found[1] != os.fstat(self._file.fileno()).st_ino or batches < 0:
            raise InputError(f"{self._note} belongs to another file; {self._advice}")
        self._done = batches, state

    @property
    def _advice(self):
        return f"remove {self._partial.name} and {self._note.name}"

    def _read_offsets(self):
        """Return where the values of each line begin; -1 for a line without words."""
        try:
            with h5py.File(self._partial, "r", locking=False) as file:
                if file.attrs.get(_FINGERPRINT) != self._fingerprint:
                    raise KeyError(_FINGERPRINT)
                return array("q", (_offset(file, line) for line in range(len(self._shapes))))
        except (OSError, KeyError, RuntimeError) as error:
            reason = str(error).strip()
            raise InputError(f"{self._partial}: damaged ({reason}); {self._advice}") from None

    def write(self, line: int, start: int, vectors: np.ndarray) -> None:
        """Write the vectors of consecutive words of a line, from its word `start` on.

        Raises:
            ValueError: The line has fewer words.
        """
        shape, vectors = self._shapes[line], np.ascontiguousarray(vectors, self._dtype)
        if start + vectors.shape[-2] > shape[-2]:
            raise ValueError(f"line {line} has {shape[-2]} words, not so many")
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
        self._done = self.batches_done + 1, state or {}  # in one step: a signal may come between
        if time.monotonic() - self._noted_at > SECONDS_BETWEEN_NOTES:
            self.note()

    def note(self) -> None:
        """Make what is done survive."""
        if self._is_complete:
            return
        batches, state = self._done
        os.fsync(self._file.fileno())
        about = {
            _FINGERPRINT: self._fingerprint,
            "batches": str(batches),
            "inode": str(os.fstat(self._file.fileno()).st_ino),
        }
        write_bytes_atomically(self._note, save(state, about))
        self._noted_at = time.monotonic()

    def complete(self) -> None:
        """Give the file its name: all batches are done.

        Raises:
            InputError: Somebody has put another file in its place.
        """
        os.fsync(self._file.fileno())
        if not _is_same(self._file, self._partial):
            raise InputError(f"{self._partial}: is another file now; start again")
        self._is_complete = True
        os.replace(self._partial, self._final)
        remove_leftovers(self._final)
        sync_folder(self._final.absolute().parent)

    def close(self) -> None:
        """Close the file; what is not complete stays under its working name, to go on with."""
        self._file.close()


def _working_files(path) -> Tuple[Path, Path]:
    """Return where a file is filled, and where the note of what is done stands."""
    partial = Path(path).with_name(Path(path).name + ".partial")
    return partial, partial.with_name(partial.name + ".progress")


def remove_leftovers(path) -> None:
    """Remove the notes of a file that is finished."""
    _, note = _working_files(path)
    for leftover in (note, *note.parent.glob(f".{glob.escape(note.name)}.*.tmp")):
        leftover.unlink(missing_ok=True)


def _is_same(file, path) -> bool:
    """Return whether an open file is the one that has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _offset(file, line) -> int:
    offset = h5py.h5d.open(file.id, str(line).encode()).get_offset()
    return -1 if offset is None else offset


def check_output(output: PathLike, resume: bool = False) -> None:
    """Raise an InputError if a file of vectors cannot be written to `output`.

    Args:
        output: The file.
        resume: Whether the file may already exist.

    Raises:
        InputError: Its folder does not exist, it is a folder itself, or it already exists.
    """
    output = Path(output)
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: there is no folder {output.absolute().parent}; make it first")
    if output.is_dir():
        raise InputError(f"{output} is a folder; give the name of a file")
    if output.exists() and not resume:
        raise InputError(f"{output} is there already; remove it or choose another name")


def is_complete(path: PathLike, fingerprint: str) -> bool:
    """Return whether `path` is a finished file of exactly these vectors."""
    with suppress(OSError), h5py.File(path, "r", locking=False) as file:
        return file.attrs.get(_FINGERPRINT) == fingerprint
    return False


def sentence_index_of(sentences) -> str:
    """Return the JSON text that tells the dataset of each sentence, the last of equal ones."""
    return json.dumps({sentence: str(line) for line, sentence in enumerate(sentences)})
