"""The words that a biLM knows, in LARK's file format."""

from collections import Counter
from typing import Iterable, List, Optional, Sequence, Tuple

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.text.lines import numbered_lines

MAX_PIECES = 16  # characters of an unknown word that are looked up
# What stands for a word outside the vocabulary: `<UNK>`, or its pieces (see `Vocabulary.pieces`).
UNKNOWN = ("unk", "characters")
BOS, EOS, UNK = "<S>", "</S>", "<UNK>"
SPECIAL_TOKENS = (BOS, EOS, UNK)
# LARK's preparation scripts leave this marker in the file; it is not a word and has no id.
_MARKER = "!!!MAXTERMID"


def check_sentences(sentences: Iterable[Iterable[str]]) -> List[List[str]]:
    """Return sentences as lists of words.

    Raises:
        InputError: One is a string, or contains something other than strings.
    """
    if isinstance(sentences, str):
        raise InputError(f"expected a list of sentences, found the string {sentences!r}")
    checked = []
    for number, sentence in enumerate(sentences):
        if isinstance(sentence, str):
            raise InputError(
                f"sentence {number} must be a list of words, not the string {sentence!r}"
            )
        checked.append(list(sentence))
        wrong = next((word for word in checked[-1] if not isinstance(word, str)), None)
        if wrong is not None:
            raise InputError(f"sentence {number}: a word must be a string, not {wrong!r}")
    return checked


class Vocabulary:
    """An ordered set of words; the id of a word is its position.

    File format (LARK, and bilm-tf before it): UTF-8, one word a line; a line
    `!!!MAXTERMID` is skipped and takes no id; `<S>`, `</S>` and `<UNK>` are required.

    Examples:
        >>> vocabulary = Vocabulary([*SPECIAL_TOKENS, "今天", "下雨"])
        >>> vocabulary.encode(["明天", "下雨"])
        [2, 4]
        >>> vocabulary.decode([3, 4])
        ['今天', '下雨']

    Args:
        words: The words in the order of their ids.
        source: Where they come from, for error messages.

    Raises:
        InputError: A word is empty, contains white space, is that marker or appears twice,
            or a special token is missing.
    """

    def __init__(self, words: Iterable[str], source: str = "vocabulary"):
        self.words = tuple(words)
        self._ids = {}
        for number, word in enumerate(self.words):
            if word == _MARKER:
                raise InputError(f"{source}: {word!r} cannot be a word: files with it skip it")
            if not word or len(word.encode("utf-8").split()) != 1:
                raise InputError(f"{source}: word {number + 1} is {word!r}: empty or with spaces")
            if self._ids.setdefault(word, number) != number:
                raise InputError(
                    f"{source}: {word!r} appears twice, as words {self._ids[word] + 1} "
                    f"and {number + 1}; remove one of them"
                )
        missing = [token for token in SPECIAL_TOKENS if token not in self._ids]
        if missing:
            raise InputError(
                f"{source}: missing special tokens {', '.join(missing)}; add a line for each"
            )
        self.bos_id, self.eos_id, self.unk_id = (self._ids[token] for token in SPECIAL_TOKENS)
        self._ids_of_bytes = {word.encode("utf-8"): number for word, number in self._ids.items()}

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    __hash__ = None

    def encode(self, tokens: Iterable[str]) -> List[int]:
        """Return the ids of `tokens`, unk_id for unknown ones. No `<S>` or `</S>` is added."""
        return [self._ids.get(token, self.unk_id) for token in tokens]

    def encode_line(self, line: bytes) -> List[int]:
        """Return the ids of the words of one corpus line, unk_id for unknown ones.

        Words are separated by ASCII white space, as in LARK: an ideographic space (U+3000) is
        part of a word.

        Args:
            line: UTF-8 text, with or without its line end.

        Raises:
            UnicodeDecodeError: The line is not UTF-8.
        """
        line.decode("utf-8")
        return [self._ids_of_bytes.get(word, self.unk_id) for word in line.split()]

    def pad(self, sentences: Sequence[Sequence[str]]) -> Tuple[np.ndarray, np.ndarray]:
        """Return the ids of sentences as rows of equal length, and the lengths.

        Args:
            sentences: Lists of words. No `<S>` or `</S>` is added.

        Returns:
            int64 arrays (batch, steps) and (batch,); eos_id fills the rows.

        Raises:
            InputError: A sentence is not a list of strings.
        """
        sentences = check_sentences(sentences)
        lengths = np.array([len(tokens) for tokens in sentences], np.int64)
        rows = np.full((len(sentences), max([*lengths, 0])), self.eos_id, np.int64)
        for row, tokens in zip(rows, sentences):
            row[: len(tokens)] = self.encode(tokens)
        return rows, lengths

    def pieces(self, word: str) -> List[int]:
        """Return the ids that stand for a word: its own id, or those of its characters.

        Of an unknown word these are the first MAX_PIECES of the characters that are themselves
        words, or unk_id if there are none.
        """
        if word in self._ids:
            return [self._ids[word]]
        ids = [self._ids[character] for character in word if character in self._ids]
        return ids[:MAX_PIECES] or [self.unk_id]

    def pad_pieces(self, sentences: Sequence[Sequence[str]]) -> Tuple[np.ndarray, np.ndarray]:
        """Return the pieces of each word as rows of equal length, and the sentences' lengths.

        Args:
            sentences: Lists of words. No `<S>` or `</S>` is added.

        Returns:
            int64 arrays (batch, steps, pieces) and (batch,). Words are filled up with -1; rows
            are filled up with words whose only piece is eos_id.

        Raises:
            InputError: A sentence is not a list of strings.
        """
        pieces = [[self.pieces(word) for word in tokens] for tokens in check_sentences(sentences)]
        lengths = np.array([len(words) for words in pieces], np.int64)
        width = max((len(ids) for words in pieces for ids in words), default=1)
        rows = np.full((len(pieces), max([*lengths, 0]), width), -1, np.int64)
        rows[:, :, :1] = self.eos_id
        for row, words in zip(rows, pieces):
            for place, ids in zip(row, words):
                place[: len(ids)] = ids
        return rows, lengths

    def decode(self, token_ids: Iterable[int]) -> List[str]:
        """Return the words with the given ids."""
        return [self.words[token_id] for token_id in token_ids]

    def to_text(self) -> str:
        """Return the content of the vocabulary file."""
        return "".join(word + "\n" for word in self.words)

    @classmethod
    def load(cls, path: PathLike) -> "Vocabulary":
        """Return the vocabulary in the file at `path`.

        Raises:
            InputError: The file is empty or not UTF-8, a line is empty or appears twice,
                or a special token is missing.
        """
        words, lines_of = [], {}
        for number, line in numbered_lines(path):
            word = line.strip(" \t\r\n\v\f")
            if word == _MARKER:
                continue
            if not word or " " in word or "\t" in word:
                raise InputError(f"{path}, line {number}: expected one word, found {word!r}")
            if word in lines_of:
                raise InputError(
                    f"{path}, line {number}: {word!r} stands already on line {lines_of[word]}; "
                    "remove one of them"
                )
            lines_of[word] = number
            words.append(word)
        if not words:
            raise InputError(f"{path}: the vocabulary is empty; expected one word a line")
        return cls(words, source=str(path))

    @classmethod
    def from_pretrained(cls, path: PathLike) -> "Vocabulary":
        """Return the vocabulary of the biLM at `path`; a LARK checkpoint has none.

        Args:
            path: A biLM in any form that `bilm.storage.pretrained` lists.

        Raises:
            InputError: There is no biLM at `path`, or it has no vocabulary.
        """
        from bilm.storage.pretrained import load_vocabulary

        return load_vocabulary(path)

    @classmethod
    def from_counts(
        cls, counts: Counter, min_count: int = 1, max_size: Optional[int] = None
    ) -> "Vocabulary":
        """Return the special tokens, then the words by falling count, ties by code point.

        Args:
            counts: How often each word occurs. Special tokens and the marker that `load`
                skips are ignored.
            min_count: Words that occur less often are left out.
            max_size: Largest size of the vocabulary, special tokens included.

        Raises:
            InputError: max_size leaves no room for the special tokens.
        """
        ranked = sorted(
            (word for word, count in counts.items() if count >= min_count),
            key=lambda word: (-counts[word], word),
        )
        if max_size is not None and max_size < len(SPECIAL_TOKENS):
            raise InputError(f"max_size must be at least {len(SPECIAL_TOKENS)}, not {max_size}")
        taken = (*SPECIAL_TOKENS, _MARKER)
        words = [*SPECIAL_TOKENS, *(word for word in ranked if word not in taken)]
        return cls(words[:max_size])
