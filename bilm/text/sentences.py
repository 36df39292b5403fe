"""Raw text files to sentences: which files are read, and where sentences end."""

import codecs
import os
import re
import unicodedata
from itertools import chain
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Union

from tqdm import tqdm

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.text.lines import not_utf8, open_input, read_lines
from bilm.text.shards import SEGMENTATION_FILE

MAX_SENTENCE_CHARACTERS = 100_000  # a longer one ends with its line, to bound memory

_MAX_LINE_BYTES = 4 << 20  # a longer line is read in parts, to bound memory
_CLOSERS = re.escape("”’」』）】》〉〕］｝〗〙〛｣﹂﹄﹞»›)]}")
_STRAIGHT_QUOTES = "\"'＂＇"  # they open as well as close
_WIDE_PUNCTUATION = "“”‘’…—·"  # of ambiguous width to Unicode, wide in Chinese text


def find_inputs(inputs: Union[PathLike, Iterable[PathLike]]) -> List[str]:
    """Return the names of the files that `inputs` stand for, in that order, without duplicates.

    Args:
        inputs: Files; folders, which stand for all files in them at any depth, sorted,
            except hidden ones; "-" for standard input.

    Raises:
        InputError: An input does not exist, or a folder has no files.
    """
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    names = []
    for name in map(str, inputs):
        if name == "-" or os.path.isfile(name):
            names.append(name)
            continue
        if not os.path.exists(name):
            raise InputError(f"no such file or folder: {name}; check the spelling")
        files = [path for path in Path(name).rglob("*") if _is_visible_file(path, name)]
        if not files:
            raise InputError(f"no files in the folder {name}; check the spelling")
        names += map(str, sorted(files))
    return list(dict.fromkeys(names))


def read_sentences(
    names: Iterable[str], progress: Optional[tqdm] = None, **options: bool
) -> Iterator[str]:
    """Yield the sentences of files; the end of a file ends a sentence.

    Args:
        names: Names that `find_inputs` returned.
        progress: Progress bar to move by the bytes read.
        options: Those of `split_sentences`.

    Raises:
        InputError: A file is not UTF-8, or a damaged gzip file.
    """
    for name in names:
        yield from split_sentences(_decoded_lines(name, progress), **options)


def split_sentences(
    lines: Iterable[str],
    split_semicolons: bool = False,
    split_newlines: bool = False,
    spaced: bool = False,
) -> Iterator[str]:
    """Yield the sentences of a text, none empty, without white space at their ends.

    A sentence ends after a run of 。？！ and the closing quotes and brackets that follow it,
    even those at the start of the next line; at a blank line; at the end of the text. A
    straight quote after 。？！ counts as a closing one, but at the start of a line as an
    opening one. Other line ends vanish between two CJK characters and become a space
    elsewhere. ASCII punctuation ends no sentence. A line is never split because of its length,
    but a sentence of more than MAX_SENTENCE_CHARACTERS ends with its line.

    Args:
        lines: Lines of text, with or without their line ends, such as an open text file.
        split_semicolons: Whether ； also ends a sentence.
        split_newlines: Whether every line end ends a sentence.
        spaced: Whether spaces separate the words, so that joined lines always need one.
    """
    ends = "。？！；" if split_semicolons else "。？！"
    for sentence in _split(lines, ends, split_newlines, spaced):
        sentence = sentence.strip()
        if sentence:
            yield sentence


def cut_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, which concatenated are exactly the text.

    They end where `split_sentences` with split_newlines ends them.
    """
    start = 0
    for match in _ANY_END.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def ends_sentence(text: str) -> bool:
    """Return whether the text ends with the end of a sentence."""
    matches = [match.end() for match in _ANY_END.finditer(text)]
    return bool(matches) and matches[-1] == len(text)


def _end_of(ends):
    """Return the pattern of a sentence's end: a run of `ends` and the closers after it."""
    return rf"[{ends}](?:\s*[{ends}{_CLOSERS}]|[{_STRAIGHT_QUOTES}])*"


_ANY_END = re.compile(rf"{_end_of('。？！')}|[\r\n]+")


def _split(lines, ends, split_newlines, spaced):
    sentence_end = re.compile(_end_of(ends))
    late_end = re.compile(rf"(?:\s*[{ends}{_CLOSERS}])*")
    pending, ended = "", False  # the unfinished sentence, and whether only closers may follow
    for line in lines:
        line, start = line.strip(), 0
        pending += _gap(pending, line, spaced)
        if ended:
            start = late_end.match(line).end()  # type: ignore[union-attr] # it matches "", too
            yield pending + line[:start]
            pending, ended = "", False
        for match in sentence_end.finditer(line, start):
            pending += line[start : match.end()]
            start = match.end()
            ended = start == len(line)
            if not ended:
                yield pending
                pending = ""
        pending += line[start:]
        if split_newlines or not line or len(pending) > MAX_SENTENCE_CHARACTERS:
            yield pending
            pending, ended = "", False
    yield pending


def _gap(before, after, spaced):
    if not before or not after or (not spaced and _is_wide(before[-1]) and _is_wide(after[0])):
        return ""
    return " "


def _is_wide(character):
    return character in _WIDE_PUNCTUATION or unicodedata.east_asian_width(character) in "WF"


def _decoded_lines(name, progress):
    # not `numbered_lines`: a part of a long line may end in the middle of a character
    decoder = codecs.getincrementaldecoder("utf-8")()
    number = 1
    with open_input(name) as file:
        for line in chain(read_lines(file, progress, _MAX_LINE_BYTES), [b""]):
            try:
                text = decoder.decode(line, final=not line)
            except UnicodeDecodeError as error:
                raise not_utf8(name, number, error) from None
            yield text
            number += line.endswith(b"\n")


def _is_visible_file(path, folder):
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.is_file() and path.name != SEGMENTATION_FILE
