"""Folders and all that is in them."""

from pathlib import Path


def content(folder):
    """Return the bytes of every file below `folder` by name, and None for every folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in Path(folder).rglob("*")
    }
