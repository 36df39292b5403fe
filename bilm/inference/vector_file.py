"""Vectors of the lines of a text in an HDF5 file, which is filled in any order.

Layout of bilm-tf: a dataset `"<line number from 0>"` for each line. In addition, as AllenNLP has
it, `sentence_to_index`, one JSON string that maps each sentence to the name of its dataset.

HDF5 creates OUT.partial with all its datasets, but without their values, and closes it. Vectors
are then written directly to the places of their datasets, and OUT.partial.progress records how
many batches are complete. OUT.partial becomes OUT when all are.

Why the values are not written through h5py: HDF5 does not guarantee that a file which is open for
writing survives a kill, and may crash itself when a write fails. Here a process that is killed
at any moment, or finds the disk full, leaves a valid file in which only values are missing, so
that `resume` can continue (tests/inference/test_vector_file.py, tests/endurance/test_faults.py).
It is also four times as fast for lines of usual length: 2 s for 20,000 lines, against 8 s.
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
from typing import Dict, Iterable, Optional, Sequence, Tuple

import h5py
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bilm.errors import InputError
from bilm.files import PathLike, reserve, sync_folder, write_bytes_atomically

SENTENCE_INDEX = "sentence_to_index"
_FINGERPRINT = "fingerprint"
SECONDS_BETWEEN_NOTES = 5.0
_BYTES_A_DATASET = 1024  # for HDF5's metadata; a generous estimate
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
        fingerprint: Identifies what the values depend on; only a file with the same one is
            resumed.
        resume: Whether to continue the file of an interrupted run.

    Raises:
        InputError: The file cannot be written, there is no space for it, or files of another run
            are in the way.
    """

    def __init__(
        self,
        path: PathLike,
        shapes: Sequence[Tuple[int, ...]],
        dtype: np.dtype,
        sentence_index: str,
        fingerprint: str,
        resume: bool = False,
    ):
        self._final = Path(path)
        self._partial, self._note = _working_files(path)
        self._fingerprint, self._dtype = fingerprint, np.dtype(dtype)
        self._shapes, self._noted_at = shapes, time.monotonic()
        self._done: Tuple[int, Dict[str, np.ndarray]] = (0, {})  # batches, and the state
        self._is_complete = False
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
        """Number of batches that are complete."""
        return self._done[0]

    @property
    def state(self) -> Dict[str, np.ndarray]:
        """The state after these batches: arrays by name."""
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
        # the note of an earlier file must never be taken for one of this file
        self._note.unlink(missing_ok=True)
        sync_folder(self._final.absolute().parent)
        size = sum(map(math.prod, self._shapes)) * self._dtype.itemsize
        # HDF5 may crash when it cannot write, so the space is allocated first
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
        """Allocate disk space for a file of `size` bytes."""
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
            fingerprint = about[_FINGERPRINT]
            inode, batches = int(about["inode"]), int(about["batches"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self._note}: damaged ({error!r}); {self._advice}") from None
        if fingerprint != self._fingerprint:
            raise InputError(
                f"{self._partial} belongs to a different text, model or option; repeat that "
                f"command with --resume, or {self._advice}"
            )
        if inode != os.fstat(self._file.fileno()).st_ino or batches < 0:
            raise InputError(f"{self._note} belongs to another file; {self._advice}")
        self._done = batches, state

    @property
    def _advice(self):
        return f"remove {self._partial.name} and {self._note.name}"

    def _read_offsets(self):
        """Return the byte at which the values of each line begin; -1 for a line without words."""
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
            raise ValueError(f"line {line} has only {shape[-2]} words")
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
        """Count a batch as complete, and save the progress every few seconds.

        Args:
            state: Arrays that the next batch needs, by name.
        """
        self._done = self.batches_done + 1, state or {}  # in one step: a signal may come between
        if time.monotonic() - self._noted_at > SECONDS_BETWEEN_NOTES:
            self.note()

    def note(self) -> None:
        """Save the progress, so that it survives a power failure."""
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
        """Give the file its final name, when all batches are complete.

        Raises:
            InputError: The working file has been replaced by another one.
        """
        os.fsync(self._file.fileno())
        if not _is_same(self._file, self._partial):
            raise InputError(f"{self._partial}: is another file now; start again")
        self._is_complete = True
        os.replace(self._partial, self._final)
        remove_leftovers(self._final)
        sync_folder(self._final.absolute().parent)

    def close(self) -> None:
        """Close the file; an incomplete one keeps its working name and can be resumed."""
        self._file.close()


def _working_files(path: PathLike) -> Tuple[Path, Path]:
    """Return the names of the file to fill and of the note of its progress."""
    partial = Path(path).with_name(Path(path).name + ".partial")
    return partial, partial.with_name(partial.name + ".progress")


def remove_leftovers(path: PathLike) -> None:
    """Remove the notes of a finished file."""
    _, note = _working_files(path)
    for leftover in (note, *note.parent.glob(f".{glob.escape(note.name)}.*.tmp")):
        leftover.unlink(missing_ok=True)


def _is_same(file, path) -> bool:
    """Return whether `path` is the name of an open file."""
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


def sentence_index_of(sentences: Iterable[str]) -> str:
    """Return the JSON text that maps each sentence to its dataset, the last one of equal ones."""
    return json.dumps({sentence: str(line) for line, sentence in enumerate(sentences)})
