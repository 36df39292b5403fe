"""Counts and checksum of a shard, by one fast pass over its bytes."""

import codecs
import hashlib
from typing import Callable, NamedTuple, Optional, Tuple

import numpy as np

from bilm.files import PathLike
from bilm.text.lines import decode_line, open_bytes

Progress = Optional[Callable[[int], None]]

_COUNT_BYTES = 8 << 20
_ASCII_SPACES = np.zeros(256, bool)
_ASCII_SPACES[[9, 10, 11, 12, 13, 32]] = True


class CorpusCounts(NamedTuple):
    """Counts of a corpus.

    Attributes:
        sentences: Lines with a word.
        words: Words, separated by ASCII white space.
        blank_lines: Lines without a word.
    """

    sentences: int
    words: int
    blank_lines: int

    @property
    def tokens(self) -> int:
        """The predictions of one direction: words, and one boundary for each sentence."""
        return self.words + self.sentences


def count_shard(shard: PathLike, progress: Progress = None) -> Tuple[CorpusCounts, str]:
    """Return the counts of a shard and the SHA-256 of its text, decompressed.

    Args:
        shard: The file.
        progress: Called with the number of bytes after each part that was read.

    Raises:
        InputError: A line is not UTF-8; the message names it.
    """
    sentences = words = lines = 0
    in_word = line_has_words = False
    last = b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    digest = hashlib.sha256()
    with open_bytes(shard) as file:
        while block := file.read(_COUNT_BYTES):
            digest.update(block)
            _check_utf8(decoder, block, False, shard)
            if not last and block.startswith(codecs.BOM_UTF8):
                block = b"   " + block[3:]
            spaces = _ASCII_SPACES[np.frombuffer(block, np.uint8)]
            starts = np.flatnonzero(~spaces & np.concatenate([[not in_word], spaces[:-1]]))
            newlines = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
            line_of_start = np.searchsorted(newlines, starts)
            occupied = len(np.unique(line_of_start))
            if line_has_words and len(starts) and line_of_start[0] == 0:
                occupied -= 1
            sentences, words = sentences + occupied, words + len(starts)
            lines += len(newlines)
            in_last_line = bool(len(starts)) and line_of_start[-1] == len(newlines)
            line_has_words = in_last_line or (line_has_words and not len(newlines))
            in_word, last = not spaces[-1], block
            if progress:
                progress(len(block))
    _check_utf8(decoder, b"", True, shard)
    lines += bool(last) and not last.endswith(b"\n")
    return CorpusCounts(sentences, words, lines - sentences), digest.hexdigest()


def _check_utf8(decoder, block, final, shard):
    """Raise an InputError if a block is not UTF-8; decoding blocks is faster than lines."""
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        with open_bytes(shard) as file:  # again, to name the line
            for number, line in enumerate(file, start=1):
                decode_line(line, shard, number)


def sha256_of_text(shard: PathLike, progress: Progress = None) -> str:
    """Return the SHA-256 of a shard's text, decompressed.

    Args:
        shard: The file.
        progress: Called with the number of bytes after each part that was read.

    Raises:
        InputError: A gzip file is damaged.
    """
    digest = hashlib.sha256()
    with open_bytes(shard) as file:
        while block := file.read(_COUNT_BYTES):
            digest.update(block)
            if progress:
                progress(len(block))
    return digest.hexdigest()
