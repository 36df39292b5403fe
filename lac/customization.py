"""User dictionaries: words that take precedence over the model.

One entry a line: words separated by spaces, each with or without a tag,

    春天/t              one word and its tag
    花 开               where 花开 stands, it is two words, tagged by the model
    云栖 小镇/ns        a tag holds for its own word only

The text of an entry is that of its words, joined; it matches exactly as it is typed, widths are
not folded. Where entries overlap, the one that starts first wins, and of those the longest. An
entry does not match a part of a run of ASCII letters and digits: 12 does not match in 2012.
"""

import os
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.text.lines import decode_line, numbered_lines, split_words

CUSTOMIZATION_FILE = "customization.txt"
Source = Union[PathLike, Iterable[Union[str, bytes]]]  # a file, an open file, or entries


class CustomWord(NamedTuple):
    """A word of an entry.

    Attributes:
        text: The word as it is typed.
        type: Its tag without marks of a scheme; None: the model decides.
    """

    text: str
    type: Optional[str]


class Match(NamedTuple):
    """A place of a text where an entry matches.

    Attributes:
        start: Its first character.
        end: The character after its last.
        words: The words of the entry.
    """

    start: int
    end: int
    words: Tuple[CustomWord, ...]


class Customization:
    """A user dictionary.

    Args:
        lines: Entries; blank lines are skipped. Of entries with the same text the last counts,
            but one character without a tag takes no tag away, as in Baidu's LAC 2.
        source: Name of the dictionary, for messages.

    Raises:
        InputError: A line is malformed; all are listed.
    """

    def __init__(self, lines: Iterable[str], source: str = "customization"):
        self._entries: Dict[str, Tuple[CustomWord, ...]] = {}
        problems = []
        for number, line in enumerate(lines, start=1):
            if not isinstance(line, str):
                raise InputError(f"{source}: entry {number} must be a string, not {line!r}")
            try:
                words = _parse(line)
            except InputError as error:
                problems.append(f"{source}, line {number}: {error}")
                continue
            text = "".join(word.text for word in words)
            if words and (len(text) > 1 or words[0].type or text not in self._entries):
                self._entries[text] = words
        if problems:
            raise InputError("; ".join(problems))
        lengths: Dict[str, set] = {}
        for text in self._entries:
            lengths.setdefault(text[:2], set()).add(len(text))
        # by their first two characters, which few places of a text have in common with an entry
        self._lengths = {start: sorted(each, reverse=True) for start, each in lengths.items()}

    @classmethod
    def load(cls, source: Source) -> "Customization":
        """Return the dictionary in a file, an open file or a list of entries.

        Raises:
            InputError: A line is malformed or not UTF-8.
            OSError: The file cannot be read.
        """
        if isinstance(source, (str, os.PathLike)):
            return cls((line for _, line in numbered_lines(source)), str(source))
        name = str(getattr(source, "name", "customization"))
        try:
            entries = list(source)
        except TypeError:
            raise InputError(
                f"a user dictionary is a file or a list of entries, not {type(source).__name__}"
            ) from None
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: not UTF-8: {error.reason}") from None
        lines = [
            decode_line(entry, name, number) if isinstance(entry, bytes) else entry
            for number, entry in enumerate(entries, start=1)
        ]
        if lines and isinstance(lines[0], str):
            lines[0] = lines[0].removeprefix("\ufeff")
        return cls(lines, name)

    def __len__(self) -> int:
        return len(self._entries)

    def to_text(self) -> str:
        """Return the content of the dictionary's file."""
        return "".join(
            " ".join(word.text + (f"/{word.type}" if word.type else "") for word in words) + "\n"
            for words in self._entries.values()
        )

    def words_of(self, text: str) -> Optional[Tuple[CustomWord, ...]]:
        """Return the words of the entry that is exactly `text`, or None."""
        return self._entries.get(text)

    def find(self, text: str) -> Iterator[Match]:
        """Yield the places where entries match in a text, from left to right."""
        lengths, entries = self._lengths, self._entries
        place, end = 0, len(text)
        while place < end:
            possible = lengths.get(text[place : place + 2], [])
            if text[place] in entries:
                possible = [*possible, 1]
            for length in possible:
                words = entries.get(text[place : place + length])
                if words is None or place + length > end or _cuts_run(text, place, place + length):
                    continue
                yield Match(place, place + length, words)
                place += length
                break
            else:
                place += 1

    def find_as_baidu(self, text: str) -> Iterator[Match]:
        """Yield the places where Baidu's LAC 2 finds entries, which may overlap.

        These are, from left to right and short before long, all matches that end after each
        one before. Parts of runs of letters and digits match, too; an entry that is one
        character without a tag does not.

        Source: LAC 2.1.2, custom.py and prefix_tree.py.
        """
        last = 0
        for start in range(len(text)):
            lengths = {1, *self._lengths.get(text[start : start + 2], ())}
            for length in sorted(lengths):
                end = start + length
                words = self._entries.get(text[start:end])
                if words is None or end > len(text) or end <= last:
                    continue
                if length > 1 or words[0].type:
                    yield Match(start, end, words)
                    last = end


def _cuts_run(text: str, start: int, end: int) -> bool:
    """Return whether a place in a text starts or ends within ASCII letters and digits."""
    return any(
        0 < border < len(text) and _is_latin(text[border - 1]) and _is_latin(text[border])
        for border in (start, end)
    )


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _parse(line: str) -> Tuple[CustomWord, ...]:
    words: List[CustomWord] = []
    for item in split_words(line):
        text, slash, kind = item.rpartition("/")
        if slash and text and kind:
            words.append(CustomWord(text, kind))
        elif item.startswith("/") and len(item) > 1 or item.endswith("/") and len(item) > 1:
            raise InputError(f"expected word or word/tag, found {item!r}")
        else:
            words.append(CustomWord(item, None))
    return tuple(words)
