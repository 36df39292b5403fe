"""Files and folders that are written whole or not at all, checksums and JSON."""

import hashlib
import json
import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Dict, Iterator, Union

from bilm.errors import InputError

PathLike = Union[str, "os.PathLike[str]"]


def check_new_folder(path: PathLike) -> None:
    """Raise an InputError if `path` exists and is not an empty folder."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is there already; remove it or choose another name")


def write_text_atomically(path: PathLike, text: str) -> None:
    """Write `text` to the file at `path`, which holds either its old or its new content."""
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: PathLike, content: bytes) -> None:
    """Write `content` to the file at `path`, which holds either its old or its new content."""
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: PathLike) -> Iterator[BinaryIO]:
    """Yield a binary file to write, which replaces the one at `path` when the block succeeds.

    A link is followed. A device or a pipe, which cannot be replaced, is written to directly.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            yield file
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: PathLike) -> Iterator[Path]:
    """Yield a new folder to fill, which becomes `target` when the block succeeds.

    Every file is synced to disk before the folder gets its name; a folder that had the
    name is removed. When the block raises, nothing is left. `clear_leftovers` removes
    what a killed process leaves.

    Raises:
        OSError: The folder cannot be written.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".tmp-{target.name}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for path in sorted(temporary.rglob("*")):
            if path.is_dir():
                sync_folder(path)
            else:
                _sync_file(path)
        sync_folder(temporary)
        _put_in_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary, target):
    """Rename the folder; one that has the name is kept as `.old-...` until this has succeeded."""
    old = target.with_name(f".old-{target.name}")
    if target.exists():
        os.rename(target, old)
    try:
        os.rename(temporary, target)
    except OSError:
        if old.exists():
            os.rename(old, target)
        raise
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def clear_leftovers(folder: PathLike, name_pattern: str) -> None:
    """Clean up after interrupted `atomic_folder` and `atomic_file` calls.

    A folder that was about to be replaced gets its name back.

    Args:
        folder: The folder of the targets.
        name_pattern: Regular expression of the targets' whole names; nothing else is touched.
    """
    for path in Path(folder).glob(".*"):
        old = re.fullmatch(rf"\.old-({name_pattern})", path.name)
        if old:
            target = path.with_name(old.group(1))
            if target.exists():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(FileNotFoundError):  # another process was faster
                    os.rename(path, target)
        elif re.fullmatch(rf"\.tmp-({name_pattern})-\d+", path.name):
            shutil.rmtree(path, ignore_errors=True)
        elif re.fullmatch(rf"\.({name_pattern})\.\d+\.tmp", path.name):
            path.unlink(missing_ok=True)


def sha256_of(path: PathLike) -> str:
    """Return the SHA-256 of the file at `path` in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def reserve(file: IO[bytes], size: int) -> None:
    """Allocate disk space for an open file of `size` bytes, where the system can.

    Raises:
        OSError: There is not enough space.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    elif os.fstat(file.fileno()).st_size < size:
        file.truncate(size)


def _sync_file(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: PathLike) -> None:
    """Make new names in the folder at `path` survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: PathLike) -> Dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        InputError: The file contains something else.
    """
    return parse_json(Path(path).read_bytes(), str(path))


def parse_json(text: Union[str, bytes], source: str) -> Dict[str, Any]:
    """Return the JSON object that a text contains.

    Args:
        text: UTF-8 if bytes.
        source: Where the text comes from, for error messages.

    Raises:
        InputError: The text is not a JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{source}: expected a JSON object, found {type(value).__name__}")
    return value


def write_json(path: PathLike, value: Dict[str, Any]) -> None:
    """Write a JSON object to a file."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    Path(path).write_text(text, encoding="utf-8")
