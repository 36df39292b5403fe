"""Cutting text along the most probable path through a dictionary with counts.

A path's probability is the product of count / total over its pieces; a character that is in no
word of the path is a piece of its own and counts as one. Single ASCII letters and digits that
stand side by side become one piece. Among equal paths the one with the longer first piece wins.

Source: the unigram model of jieba and of Baidu's LAC. LAC 2.1.2 stores the length of a word where
its count belongs; `weights="lengths"` computes what it computes.
"""

import re
from math import log
from typing import Any, Dict, List, Mapping, Optional

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.text.lines import is_whole_number, numbered_lines, split_words

WEIGHTS = ("counts", "lengths")

_COUNT_DIGITS = 15  # at most
_ABSENT = object()  # what no word begins with
_SINGLE = re.compile(r"[A-Za-z0-9]")


def is_count(text: str) -> bool:
    """Return whether a text is a count of a word: a whole number from 1, below 10 to the 15th."""
    return is_whole_number(text, _COUNT_DIGITS) and int(text) > 0


class Dictionary:
    """Words with counts, along which text is cut.

    Examples:
        >>> Dictionary({"春天": 5, "天天": 1}).cut("春天天蓝a1")
        ['春天', '天', '蓝', 'a1']

    Args:
        counts: The number of times that each word was seen, at least 1.
        weights: "counts", or "lengths": a word weighs its number of characters.

    Raises:
        InputError: There is no word, or there are no such weights.
    """

    def __init__(self, counts: Mapping[str, int], weights: str = "counts"):
        if weights not in WEIGHTS:
            raise InputError(f"weights must be one of {', '.join(WEIGHTS)}, not {weights!r}")
        if not counts:
            raise InputError("a dictionary needs at least one word")
        self.counts, self.weights = dict(counts), weights
        self._log_total = log(sum(self.counts.values()))
        # of words their logarithm, of what only words begin with None
        self._entries: Dict[str, Optional[float]] = {}
        for word, count in self.counts.items():
            for end in range(1, len(word)):
                self._entries.setdefault(word[:end], None)
            self._entries[word] = log(count if weights == "counts" else len(word))

    @classmethod
    def load(cls, path: PathLike, weights: str = "counts") -> "Dictionary":
        """Return the dictionary in a file: `word count` a line; what follows is not read.

        Counts of a word that is there several times are added.

        Raises:
            InputError: The file is empty or not UTF-8, or a line is malformed.
        """
        counts: Dict[str, int] = {}
        for number, line in numbered_lines(path):
            items = split_words(line)
            if not items:
                continue
            if len(items) < 2 or not is_count(items[1]):
                raise InputError(
                    f"{path}, line {number}: expected a word and its count, at least 1 and of at "
                    f"most {_COUNT_DIGITS} digits, found {line.strip()[:40]!r}"
                )
            counts[items[0]] = counts.get(items[0], 0) + int(items[1])
        if not counts:
            raise InputError(f"{path}: no words there; expected a word and its count in each line")
        return cls(counts, weights)

    def to_text(self) -> str:
        """Return the content of the dictionary's file."""
        return "".join(f"{word} {count}\n" for word, count in self.counts.items())

    def cut(self, text: str) -> List[str]:
        """Return the pieces of a text; joined, they are the text."""
        ends = self._best_ends(text)
        pieces: List[str] = []
        start, in_run = 0, False
        while start < len(text):
            piece = text[start : ends[start]]
            is_single = len(piece) == 1 and _SINGLE.match(piece) is not None
            if is_single and in_run:
                pieces[-1] += piece
            else:
                pieces.append(piece)
            start, in_run = ends[start], is_single
        return pieces

    def _best_ends(self, text: str) -> List[int]:
        """Return for each place the end of the piece that starts the best path from there."""
        entries, log_total, length = self._entries, self._log_total, len(text)
        scores, ends = [0.0] * (length + 1), [0] * length
        for start in range(length - 1, -1, -1):
            end = start + 1
            weight: Any = entries.get(text[start:end], _ABSENT)
            best = ((weight if isinstance(weight, float) else 0.0) - log_total + scores[end], end)
            while weight is not _ABSENT and end < length:
                end += 1
                weight = entries.get(text[start:end], _ABSENT)
                if isinstance(weight, float):
                    best = max(best, (weight - log_total + scores[end], end))
            scores[start], ends[start] = best
        return ends
