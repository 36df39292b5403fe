"""Silver labels, where no hand has labelled: a tagger's words, or LAC's tags by jieba's dictionary.

With jieba's dictionary the words of segmented text stay as they are. jieba.posseg tags each
sentence; a word that it cuts otherwise is tagged by itself. Its flags become LAC's types by the
table below; dates in digits and neighbouring words of time become one span, as in the hand labels
of data/lac/.
"""

import re
from types import ModuleType
from typing import Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from bilm.text.lines import numbered_lines, split_words
from bilm.text.sentences import cut_sentences
from bilm.text.shards import find_shards
from lac.analyser import Analyser
from lac.analysis import Analysis
from lac.customization import Customization
from lac.tag_schemes import OUTSIDE, TagScheme
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


def analyses_with_margins(
    analyser: Analyser, texts: Sequence[str], customization: Optional[Customization] = None,
    segmented: bool = False,
) -> List[Tuple[Analysis, float]]:
    """Return the words and tags of texts with their margins; each sentence is computed once.

    Args:
        analyser: The tagger's.
        texts: The texts.
        customization: See `Analyser.analyse`.
        segmented: See `Analyser.analyse`.

    Returns:
        The results of `Analyser.analyse` and `Analyser.margins`.
    """
    cut = analyser.cut_texts(texts, customization, segmented)
    predictor = analyser.predictor
    tags: List[List[str]] = [[] for _ in cut.sentences]
    margins = np.full(len(cut.sentences), np.inf)
    for batch in predictor.batches(cut.tokens(), continues=cut.continues()):
        margins[batch.numbers] = predictor.margins_of(batch)
        for number, of_sentence in zip(batch.numbers, predictor.best_tags(batch)):
            tags[number] = of_sentence
    analyses = analyser.words(cut, tags, customization if not segmented else None)
    return [
        (analysis, float(margins[start:end].min(initial=np.inf)))
        for analysis, start, end in zip(analyses, [0, *cut.ends], cut.ends)
    ]


def words_as_tokens(analysis: Analysis) -> TaggedSentence:
    """Return the words of a text without white space, each with the tag of a span of its type.

    A word that holds ASCII white space, which separates words in files, is a span of several.
    """
    scheme = TagScheme("suffix")
    labelled = TaggedSentence([], [])
    for word, kind in zip(analysis.words, analysis.tags):
        parts = [] if word.isspace() else split_words(word)
        labelled.tokens.extend(parts)
        if parts:
            is_span = kind not in (OUTSIDE, "")
            labelled.tags.extend(scheme.encode(kind, len(parts)) if is_span
                                 else [OUTSIDE] * len(parts))
    return labelled


def sentences_of(
    patterns: Union[str, Iterable[str]], max_sentences: int = 0, is_raw: bool = False
) -> Iterator[str]:
    """Yield the sentences of text, none blank, evenly spaced if there are too many.

    Args:
        patterns: Corpus files, folders or globs.
        max_sentences: Largest number of sentences; 0: all.
        is_raw: Whether lines are cut into sentences; otherwise each is one.
    """
    lines = (line for shard in find_shards(patterns) for _, line in numbered_lines(shard))
    sentences = [
        sentence for line in lines for sentence in (cut_sentences(line) if is_raw else [line])
    ]
    count = min(max_sentences or len(sentences), len(sentences))
    for number in range(count):
        sentence = sentences[number * len(sentences) // count]
        if split_words(sentence):
            yield sentence
