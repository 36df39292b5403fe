"""Lines of UTF-8 text: of files, of gzip files and of standard input, which is named "-"."""

import codecs
import gzip
import os
import re
import sys
import tempfile
import zlib
from contextlib import nullcontext
from typing import (
    BinaryIO,
    Callable,
    ContextManager,
    Iterable,
    Iterator,
    List,
    Optional,
    TextIO,
    Tuple,
    Union,
)

from tqdm import tqdm

from bilm.errors import InputError
from bilm.files import PathLike

ByteFile = Union[BinaryIO, gzip.GzipFile]

_WORD = re.compile(r"[^ \t\n\r\v\f]+")


def split_words(line: str) -> List[str]:
    """Return the words of a line, which are separated by ASCII white space.

    LARK separates them in the same way: an ideographic space (U+3000) is part of a word.
    """
    return _WORD.findall(line)


def is_whole_number(text: str, max_digits: int) -> bool:
    """Return whether a text is a number of at most `max_digits` ASCII digits and nothing else."""
    return text.isascii() and text.isdecimal() and len(text) <= max_digits


def open_bytes(path: PathLike) -> ByteFile:
    """Open a file for reading bytes, decompressed if its name ends in .gz.

    Reading raises InputError where a gzip file is damaged.
    """
    return _GzipFile(path, "rb") if str(path).endswith(".gz") else open(path, "rb")


def open_input(name: PathLike) -> ContextManager[ByteFile]:
    """Return a context with the bytes of a file, see `open_bytes`, or of "-", standard input."""
    return nullcontext(sys.stdin.buffer) if str(name) == "-" else open_bytes(name)


def read_lines(
    file: ByteFile, progress: Optional[tqdm] = None, limit: int = -1
) -> Iterator[bytes]:
    """Yield the lines of an open file, without a byte order mark before the first.

    Args:
        file: What `open_bytes` returned, or another binary file.
        progress: Progress bar to move by the bytes read, of a gzip file the compressed ones.
        limit: Lines with more bytes than this come in several parts; -1 means no limit.
    """
    position = 0
    while line := file.readline(limit):
        start = position
        if isinstance(file, _GzipFile):
            position = file.fileobj.tell()  # type: ignore[union-attr]
        else:
            position += len(line)
        if progress is not None:
            progress.update(position - start)
        yield line if start else line.removeprefix(codecs.BOM_UTF8)


def numbered_lines(
    name: PathLike,
    progress: Optional[tqdm] = None,
    on_error: Optional[Callable[[InputError], object]] = None,
) -> Iterator[Tuple[int, str]]:
    """Yield the number, from 1 on, and the text of each line of a file, without line ends.

    A byte order mark is left out.

    Args:
        name: See `open_input`.
        progress: See `read_lines`.
        on_error: Called with the error of each line that is not UTF-8, which is skipped; by
            default the error is raised.

    Raises:
        InputError: A line is not UTF-8, or a gzip file is damaged.
    """
    with open_input(name) as file:
        for number, line in enumerate(read_lines(file, progress), start=1):
            try:
                text = decode_line(line, name, number)
            except InputError as error:
                if on_error is None:
                    raise
                on_error(error)
            else:
                yield number, text.rstrip("\r\n")


def decode_line(line: bytes, name: PathLike, number: int) -> str:
    """Return the text of a line of the file `name`.

    Raises:
        InputError: It is not UTF-8.
    """  # noqa: DOC501 - `not_utf8` returns that InputError
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(name, number, error) from None


def not_utf8(name: PathLike, line_number: int, error: UnicodeDecodeError) -> InputError:
    """Return the error that says where a file is not UTF-8, and how to convert it."""
    return InputError(
        f"{name}, line {line_number}: not UTF-8: {error.reason}; convert the file first, "
        "for example with iconv -f GB18030 -t UTF-8"
    )


def progress_bar(names: Iterable[PathLike], show: bool) -> tqdm:
    """Return a bar over the bytes of files; that of "-", standard input, has no total.

    It is written to stderr, and only if `show` is true and stderr is a terminal.
    """
    names = list(map(str, names))
    total = None if "-" in names else sum(map(os.path.getsize, names))
    return tqdm(total=total, unit="B", unit_scale=True, disable=None if show else True)


class Lines:
    """The lines of a text as lists of words; they can be read repeatedly until `close`.

    Args:
        name: See `open_input`; words are separated as `split_words` does.
        cut: Function that splits a raw line into words; None: the lines are segmented.

    Raises:
        InputError: There is no such file, or a line is not UTF-8.
    """

    def __init__(self, name: PathLike, cut: Optional[Callable[[str], List[str]]] = None):
        self._name = str(name)
        self._copy: Optional[TextIO] = None
        if self._name != "-" and not os.path.exists(self._name):
            raise InputError(f"{self._name}: No such file")
        if cut is not None or not os.path.isfile(self._name):  # such as "-", or a pipe
            self._copy = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")
            for _, line in numbered_lines(self._name):
                self._copy.write((line if cut is None else " ".join(cut(line))) + "\n")

    def close(self) -> None:
        """Remove the copy that was made of an input that cannot be read twice."""
        if self._copy is not None:
            self._copy.close()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[List[str]]:
        """Yield the words of each line; those of an empty line are an empty list.

        Raises:
            InputError: The text is not UTF-8, or a gzip file is damaged.
        """
        if self._copy is None:
            return (split_words(line) for _, line in numbered_lines(self._name))
        self._copy.seek(0)
        return map(split_words, self._copy)


class _GzipFile(gzip.GzipFile):
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
