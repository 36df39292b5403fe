"""The files of a corpus: which ones a pattern matches, and how new ones are written."""

import glob
import os
import shutil
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Union

from bilm.errors import InputError
from bilm.files import PathLike, atomic_folder, sync_folder

SHARD_PREFIX = "sentence_file_"
SEGMENTATION_FILE = "segmentation.json"


def find_shards(patterns: Union[PathLike, Iterable[PathLike]]) -> List[Path]:
    """Return the corpus files that `patterns` match: sorted paths without duplicates.

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
    paths: Dict[str, Path] = {}  # by absolute name
    for pattern in patterns:
        shards = [shard for path in _expand(os.fspath(pattern)) for shard in _shards_at(path)]
        if not shards:
            raise InputError(
                f"no corpus file matches {os.fspath(pattern)!r}; give a file, a glob, "
                f"or a folder with {SHARD_PREFIX}* files"
            )
        paths.update((os.path.abspath(shard), shard) for shard in shards)
    return sorted(paths.values())


@contextmanager
def new_shards(output: PathLike) -> Iterator[Path]:
    """Yield a hidden folder to fill; its files move to `output` when the block succeeds.

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


def write_shards(lines: Iterator[str], folder: PathLike, lines_per_shard: int) -> int:
    """Write sentence_file_00000, ... in `folder` and return their number.

    Args:
        lines: Lines with their line ends.
        folder: Must exist.
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
