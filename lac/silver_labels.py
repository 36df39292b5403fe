"""LAC's tags for segmented text by jieba's dictionary: silver labels, where no hand has labelled.

The words stay as they are. jieba.posseg tags each sentence; a word that it cuts otherwise is
tagged by itself. Its flags become LAC's types by the table below; dates in digits and neighbouring
words of time become one span, as in the hand labels of data/lac/.
"""

import re
from types import ModuleType
from typing import Iterable, Iterator, List, Union

from bilm.text.lines import numbered_lines, split_words
from bilm.text.shards import find_shards
from lac.tagged_files import TaggedSentence

# jieba's flags to LAC's types; a flag that is not here goes by its first letter
TYPES = {
    "nr": "nr", "nrfg": "nr", "nrt": "nr", "ns": "ns", "nt": "nt", "nz": "nz", "eng": "nz",
    "vd": "vd", "vn": "vn", "ad": "ad", "an": "an",
    "a": "a", "b": "a", "c": "c", "d": "d", "e": "xc", "f": "f", "g": "n", "h": "n", "i": "a",
    "j": "n", "k": "n", "l": "n", "m": "m", "n": "n", "o": "xc", "p": "p", "q": "q", "r": "r",
    "s": "s", "t": "t", "u": "u", "v": "v", "x": "w", "y": "xc", "z": "a",
}
_NUMBER = re.compile(r"[0-9０-９]+")
_DATE_UNITS = ("年", "月", "日")


def type_of(word: str, flag: str) -> str:
    """Return LAC's type of a word to which jieba gives `flag`."""
    kind = TYPES.get(flag) or TYPES[flag[0]]
    if kind == "w" and any(character.isalnum() for character in word):
        return "m" if _NUMBER.match(word) else "nz"
    return kind


def label(words: List[str], posseg: ModuleType) -> TaggedSentence:
    """Return the words of a sentence with LAC's tags.

    Args:
        words: The words.
        posseg: The module jieba.posseg.
    """
    starts = {}
    place = 0
    for pair in posseg.cut("".join(words)):
        starts[place] = pair
        place += len(pair.word)
    types, place = [], 0
    for word in words:
        pair = starts.get(place)
        if pair is None or pair.word != word:
            *_, pair = posseg.cut(word)
        types.append(type_of(word, pair.flag))
        place += len(word)
    _mark_dates(words, types)
    tags = [
        f"t-{'I' if place and types[place - 1] == 't' else 'B'}" if kind == "t" else f"{kind}-B"
        for place, kind in enumerate(types)
    ]
    return TaggedSentence(words, tags)


def _mark_dates(words: List[str], types: List[str]) -> None:
    for place in range(1, len(words)):
        if words[place] in _DATE_UNITS and _NUMBER.fullmatch(words[place - 1]):
            types[place - 1] = types[place] = "t"


def sentences_of(
    patterns: Union[str, Iterable[str]], max_sentences: int = 0
) -> Iterator[List[str]]:
    """Yield the words of sentences of segmented text, evenly spaced if there are too many.

    Args:
        patterns: Corpus files, folders or globs.
        max_sentences: Largest number of sentences; 0: all.
    """
    lines = [line for shard in find_shards(patterns) for _, line in numbered_lines(shard)]
    count = min(max_sentences or len(lines), len(lines))
    for number in range(count):
        words = split_words(lines[number * len(lines) // count])
        if words:
            yield words
