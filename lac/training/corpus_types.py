"""Which files of the training data belong to which corpus, by their names."""

import glob
from itertools import takewhile
from pathlib import Path
from typing import Dict, List, Sequence

from bilm.errors import InputError
from lac.tagged_files import find_tagged_files


def files_of_types(pattern: str, types: Sequence[str]) -> List[List[str]]:
    """Return the names of the files of each corpus, sorted.

    A file belongs to a corpus if its name, or that of a folder around it, starts with the
    corpus's name; if it starts with several, the longest one counts. Folders that the pattern
    names without wildcards do not count.

    Args:
        pattern: A file, a folder or a glob, see `find_tagged_files`.
        types: The names of the corpora.

    Raises:
        InputError: A file belongs to none of them, or to several, or a corpus has no file.
    """
    base = _fixed_folder(pattern)
    files: Dict[str, List[str]] = {kind: [] for kind in types}
    for name in find_tagged_files(pattern):
        parts = Path(name).relative_to(base).parts
        longest = {
            max((kind for kind in types if part.startswith(kind)), key=len, default=None)
            for part in parts
        }
        owners = [kind for kind in types if kind in longest]
        if len(owners) != 1:
            raise InputError(
                f"{name}: belongs to {' and '.join(owners) or 'none'} of the corpora of "
                "--corpus_type_list; its name or that of a folder around it must start with one"
            )
        files[owners[0]].append(name)
    for kind, names in files.items():
        if not names:
            raise InputError(f"{pattern}: no file there belongs to the corpus {kind}; its name or "
                             "that of a folder around it must start so")
    return list(files.values())


def _fixed_folder(pattern: str) -> Path:
    """Return the folder that the part of a pattern before its first wildcard names."""
    parts: Sequence[str] = Path(pattern).parts
    if glob.glob(pattern, recursive=True):  # otherwise it is a name that looks like a glob
        parts = tuple(takewhile(lambda part: not glob.has_magic(part), parts))
    path = Path(*parts)
    return path if path.is_dir() else path.parent
