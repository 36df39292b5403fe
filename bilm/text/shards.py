"""Corpus files: which ones a pattern means, how they are read, how new ones are written."""

import codecs
import glob
import gzip
import os
import shutil
import sys
import zlib
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Callable, Optional

from tqdm import tqdm

from bilm.errors import InputError
from bilm.files import atomic_folder, sync_folder

SHARD_PREFIX = "sentence_file_"
SEGMENTATION_FILE = "segmentation.json"


def find_shards(patterns) -> list:
    """Return the corpus files that `patterns` mean: sorted paths without duplicates.

    A pattern is a file, a folder (which stands for the sentence_file_* files in it) or a
    glob of those; `**` matches folders at any depth. Hidden files and segmentation.json
    are never corpus files.

    Args:
        patterns: One pattern or several.

    Raises:
        InputError: A pattern matches no corpus file.
    """
    if isinstance(patterns, (str, os.PathLike)):
        patterns = [patterns]
    found = {}
    for pattern in patterns:
        shards = [shard for path in _expand(os.fspath(pattern)) for shard in _shards_at(path)]
        if not shards:
            raise InputError(
                f"no corpus file matches {os.fspath(pattern)!r}; give a file, a glob, "
                f"or a folder with {SHARD_PREFIX}* files"
            )
        found.update((os.path.abspath(shard), shard) for shard in shards)
    return sorted(found.values())


def open_shard(path):
    """Return the file at `path`, opened for reading bytes; a name in .gz is decompressed.

    Reading raises InputError where a gzip file is damaged.
    """
    return _GzipShard(path, "rb") if str(path).endswith(".gz") else open(path, "rb")


def read_lines(file, progress=None, limit: int = -1):
    """Yield the lines of an open binary file, without a byte order mark before the first.

    Args:
        file: What `open_shard` returned, or another binary file.
        progress: Progress bar to move by the bytes read, of a gzip file the compressed ones.
        limit: Lines with more bytes than this come in several parts; -1 means no limit.
    """
    position = 0
    while line := file.readline(limit):
        start = position
        position = file.fileobj.tell() if isinstance(file, _GzipShard) else position + len(line)
        if progress is not None:
            progress.update(position - start)
        yield line if start else line.removeprefix(codecs.BOM_UTF8)


def numbered_lines(path, progress=None, on_error: Optional[Callable] = None):
    """Yield the number and the text of each line of a UTF-8 file, without line ends.

    A byte order mark is left out.

    Args:
        path: A file in .gz is decompressed; "-" is standard input.
        progress: See `read_lines`.
        on_error: Called with the InputError of each line that is not UTF-8, which is left out then;
            None: it is raised.

    Raises:
        InputError: A line is not UTF-8.
    """
    with nullcontext(sys.stdin.buffer) if str(path) == "-" else open_shard(path) as file:
        for number, line in enumerate(read_lines(file, progress), start=1):
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                problem = not_utf8(path, number, error)
                if on_error is None:
                    raise problem from None
                on_error(problem)
                continue
            yield number, text


def not_utf8(name, line_number: int, error: UnicodeDecodeError) -> InputError:
    """Return the error that tells where a file is not UTF-8 and how to convert it."""
    return InputError(
        f"{name}, line {line_number}: not UTF-8: {error.reason}; convert the file first, "
        "for example with iconv -f GB18030 -t UTF-8"
    )


def progress_bar(paths, show: bool):
    """Return a tqdm bar over the bytes of the files at `paths`; "-" has no known size.

    It writes to stderr, and only when `show` is true and stderr is a terminal.
    """
    sizes = [None if str(path) == "-" else os.path.getsize(path) for path in paths]
    total = None if None in sizes else sum(sizes)
    return tqdm(total=total, unit="B", unit_scale=True, disable=None if show else True)


@contextmanager
def new_shards(output):
    """Yield a hidden folder to fill; its files move to `output` when the block ends well.

    segmentation.json moves last. When the block raises, nothing is left.

    Raises:
        InputError: `output` holds shards or segmentation.json already.
        OSError: Files cannot be written there.
    """
    output = Path(output)
    _refuse_shards(output)
    created = [folder for folder in (output, *output.parents) if not folder.exists()]
    finished, moved = output / ".segmented", []
    try:
        output.mkdir(parents=True, exist_ok=True)
        for leftover in (finished, *output.glob(f".tmp-{finished.name}-*")):  # of a killed run
            shutil.rmtree(leftover, ignore_errors=True)
        with atomic_folder(finished) as folder:
            yield folder
        _refuse_shards(output)  # of another run that was faster
        for path in sorted(finished.iterdir(), key=lambda path: (path.suffix, path.name)):
            moved.append(output / path.name)
            path.rename(moved[-1])
        finished.rmdir()
        sync_folder(output)
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        shutil.rmtree(finished, ignore_errors=True)
        for folder in created:
            with suppress(OSError):
                folder.rmdir()
        raise


def write_shards(lines, folder, lines_per_shard: int) -> int:
    """Write sentence_file_00000, ... in `folder`; return how many.

    Args:
        lines: Iterator of lines with their line ends.
        folder: Where the shards go.
        lines_per_shard: Number of lines in each shard but the last.

    Raises:
        OSError: A file cannot be written; what was written stays.
    """
    num_shards = 0
    for first in lines:
        path = Path(folder) / f"{SHARD_PREFIX}{num_shards:05d}"
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(first)
            file.writelines(islice(lines, lines_per_shard - 1))
        num_shards += 1
    return num_shards


def _refuse_shards(output):
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; give the name of a folder for the shards")
    if any(output.glob(f"{SHARD_PREFIX}*")) or (output / SEGMENTATION_FILE).exists():
        raise InputError(
            f"{output} holds a segmented corpus already; remove its {SHARD_PREFIX}* and "
            f"{SEGMENTATION_FILE}, or choose another folder"
        )


def _expand(pattern):
    if os.path.exists(pattern):  # also a name that holds glob characters
        return [Path(pattern)]
    return [Path(name) for name in glob.glob(pattern, recursive=True)]


def _shards_at(path):
    files = path.glob(f"{SHARD_PREFIX}*") if path.is_dir() else [path]
    return [
        file
        for file in files
        if file.is_file() and file.name != SEGMENTATION_FILE and not file.name.startswith(".")
    ]


class _GzipShard(gzip.GzipFile):
    def read(self, size=-1):
        return self._checked(super().read, size)

    def readline(self, size=-1):
        return self._checked(super().readline, size)

    def seek(self, *position):
        return self._checked(super().seek, *position)

    def _checked(self, method, *arguments):
        try:
            return method(*arguments)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"{self.name}: damaged gzip file: {error}; make or copy it again"
            ) from None
