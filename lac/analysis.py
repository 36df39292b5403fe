"""From the tags of a text's tokens to its words: spans are joined, white space is kept."""

from itertools import accumulate
from typing import Collection, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from lac.customization import Match
from lac.tag_schemes import OUTSIDE, TagScheme

SPACE_TAG = "w"  # of white space, which no model tags, as in Baidu's LAC

# How the tags of tokens are read as words:
#   spans   a word is a span, as in conlleval
#   baidu   as in Baidu's LAC 2: only B and S begin a word, the last token decides its type, and
#           white space is text like any other
CONVENTIONS = ("spans", "baidu")


class Token(NamedTuple):
    """A piece of a text.

    Attributes:
        text: Its characters.
        is_entry: Whether it is a word of the user dictionary.
        type: The tag that the user dictionary gives it, if any.
        is_space: Whether it is white space, which the model does not see.
        continues: Whether it continues a word of segmented text.
    """

    text: str
    is_entry: bool = False
    type: Optional[str] = None
    is_space: bool = False
    continues: bool = False


class Entity(NamedTuple):
    """A word that names something.

    Attributes:
        text: Its characters.
        type: Such as "nr".
        start: Its first character's place in the text.
        end: The place after its last character.
        confidence: See `Analysis`.
    """

    text: str
    type: str
    start: int
    end: int
    confidence: Optional[float] = None


class Analysis(NamedTuple):
    """The words and tags of a text.

    Attributes:
        words: The spans; joined, they are the text.
        tags: The type of each word.
        tokens: The tokens that the model tagged: no white space, spans not joined.
        token_tags: The model's tags; those of the spans if the user dictionary gave words.
        sizes: Number of tokens in each word, 0 for white space.
        confidences: For each word the CRF's probability that a word with these borders and this
            type stands here, whatever its other tags are: that of all paths that are read so.
            None where it was not asked for, for white space, and where the user dictionary
            decided.
    """

    words: List[str]
    tags: List[str]
    tokens: List[str]
    token_tags: List[str]
    sizes: List[int]
    confidences: List[Optional[float]]

    @classmethod
    def of_tokens(cls, tokens: List[str], token_tags: List[str]) -> "Analysis":
        """Return an analysis without words."""
        return cls([], [], tokens, token_tags, [], [])

    def add_word(
        self, text: str, tag: str, size: int, confidence: Optional[float] = None
    ) -> None:
        """Append a word of `size` tokens."""
        self.words.append(text)
        self.tags.append(tag)
        self.sizes.append(size)
        self.confidences.append(confidence)

    def offsets(self) -> List[Tuple[int, int]]:
        """Return start and end of each word, in characters of the text.

        White space counts. The text is that of the words, joined; of segmented text that is not
        the white space between words.
        """
        ends = list(accumulate(map(len, self.words)))
        return list(zip([0, *ends], ends))

    def entities(self, types: Collection[str]) -> List[Entity]:
        """Return the words of some types, in order."""
        words = zip(self.words, self.tags, self.offsets(), self.confidences)
        return [
            Entity(word, kind, *places, confidence) for word, kind, places, confidence in words
            if kind in types and not word.isspace()
        ]


class Reading(NamedTuple):
    """How the tags of a tag set are read as words.

    Attributes:
        begins: Whether a word begins at a tag (column) that follows another (row), bool, shape
            (tags, tags).
        types: The type of a word that each tag decides.
        by_last: Whether the last tag of a word decides its type, not the first.
    """

    begins: np.ndarray
    types: List[str]
    by_last: bool

    @classmethod
    def of(cls, tags: Sequence[str], scheme: TagScheme, convention: str) -> "Reading":
        """Return how `analysis_of` reads tags.

        Args:
            tags: The tags in the order of their ids.
            scheme: Their scheme.
            convention: One of CONVENTIONS.
        """
        marks, types = zip(*map(scheme.parse, tags))
        if convention == "baidu":
            begins = np.tile([mark in "BS" for mark in marks], (len(tags), 1))
            return cls(begins, list(types), by_last=True)
        begins = np.array([[not scheme.continues(one, tag) for tag in tags] for one in tags])
        return cls(begins, [kind or OUTSIDE for kind in types], by_last=False)


def analysis_of(
    tokens: Sequence[Token], tags: Sequence[str], scheme: TagScheme, convention: str = "spans"
) -> Analysis:
    """Return the words of a sentence.

    Args:
        tokens: The pieces of the sentence.
        tags: The model's tags of the tokens that are not white space.
        scheme: The scheme of the tags.
        convention: One of CONVENTIONS.
    """
    if convention == "baidu":
        return _baidu_analysis(tokens, tags, scheme)
    pieces = [token.text for token in tokens if not token.is_space]
    analysis = Analysis.of_tokens(pieces, [*tags])
    previous, space = OUTSIDE, ""
    remaining = iter(tags)
    for token in tokens:
        if token.is_space:
            space += token.text
            continue
        tag = next(remaining)
        if token.continues or (not token.is_entry and scheme.continues(previous, tag)):
            analysis.words[-1] += space + token.text
            analysis.sizes[-1] += 1
        else:
            if space:
                analysis.add_word(space, SPACE_TAG, 0)
            analysis.add_word(token.text, token.type or scheme.parse(tag)[1] or OUTSIDE, 1)
        previous, space = (OUTSIDE if token.is_entry else tag), ""
    if space:
        analysis.add_word(space, SPACE_TAG, 0)
    if any(token.is_entry for token in tokens):
        _encode_tags(analysis, scheme, tags)
    return analysis


def fixed_borders(tokens: Sequence[Token], convention: str) -> List[int]:
    """Return where words begin whatever the tags of tokens are.

    Args:
        tokens: The pieces of a sentence.
        convention: One of CONVENTIONS.

    Returns:
        For each token that is not white space 1 if a word begins there, -1 if none does, and 0 if
        the tags decide.
    """
    borders, is_after_entry = [], True  # the sentence's start
    for token in tokens:
        if not token.is_space:
            begins = is_after_entry or (token.is_entry and convention == "spans")
            borders.append(-1 if token.continues else int(begins))
            is_after_entry = token.is_entry and convention == "spans"
    return borders


def _baidu_analysis(
    tokens: Sequence[Token], tags: Sequence[str], scheme: TagScheme
) -> Analysis:
    analysis = Analysis.of_tokens([token.text for token in tokens], [*tags])
    for token, tag in zip(tokens, tags):
        mark, kind = scheme.parse(tag)
        begins = mark in "BS" and not token.continues
        if begins or not analysis.words:
            analysis.add_word(token.text, token.type or kind, 1)
        else:
            analysis.words[-1] += token.text
            analysis.tags[-1] = token.type or kind
            analysis.sizes[-1] += 1
    return analysis


def _encode_tags(analysis: Analysis, scheme: TagScheme, before: Sequence[str]) -> None:
    """Set the tags of the tokens from the words.

    Args:
        analysis: The words.
        scheme: The scheme of the tags.
        before: The model's tags, which tell whether it marks where words without a tag begin.
    """
    bare = ("",) if any(scheme.parse(tag)[1] == OUTSIDE for tag in before) else ("", OUTSIDE)
    analysis.token_tags[:] = [
        tag for kind, size in zip(analysis.tags, analysis.sizes) if size
        for tag in ([OUTSIDE] * size if kind in bare else scheme.encode(kind, size))
    ]


def words_of(
    tokens: Sequence[str], tags: Sequence[str], scheme: TagScheme
) -> Tuple[List[str], List[str]]:
    """Return the words of a tagged sentence, its spans joined, and their types, O for none."""
    analysis = analysis_of([Token(token) for token in tokens], tags, scheme)
    return analysis.words, analysis.tags


def with_entries(
    analysis: Analysis, matches: Iterable[Match], scheme: TagScheme, convention: str = "spans"
) -> Analysis:
    """Return the analysis of a text in which words of a user dictionary take precedence.

    A word begins where a word of an entry begins, and after the entry; nowhere else within it.
    Of a word whose type the entry leaves open, the last character's type before counts: that of
    its word, or in the convention "baidu" that of its token.

    Source: Baidu's LAC, for the last two.

    Args:
        analysis: The analysis of the whole text.
        matches: Places of entries, which may overlap; later ones win.
        scheme: The scheme of the tags.
        convention: One of CONVENTIONS.
    """
    matches = list(matches)
    if not matches:
        return analysis
    begins: List[bool] = []
    types: List[str] = []
    for word, kind in zip(analysis.words, analysis.tags):
        begins += [True] + [False] * (len(word) - 1)
        types += [kind] * len(word)
    if convention == "baidu":
        types = [
            scheme.parse(tag)[1] for token, tag in zip(analysis.tokens, analysis.token_tags)
            for _ in token
        ]
    for match in matches:
        start = match.start
        for text, own_type in match.words:
            end = start + len(text)
            begins[start:end] = [True] + [False] * (end - start - 1)
            if own_type is not None:
                types[start:end] = [own_type] * (end - start)
            start = end
        if start < len(begins):
            begins[start] = True
    whole = "".join(analysis.words)
    starts = [place for place, is_begin in enumerate(begins) if is_begin]
    tokens = _split_tokens(whole, analysis.tokens, begins)
    changed = Analysis.of_tokens([token for _, token in tokens], [])
    confidences = _confidences_beside(analysis, matches)
    places = iter([*(place for place, _ in tokens), len(whole)])
    place = next(places)
    for start, end in zip(starts, [*starts[1:], len(whole)]):
        size = 0
        while place < end:
            place, size = next(places), size + 1
        word = whole[start:end]
        core = word.rstrip() if convention == "spans" else word
        confidence = confidences.get((start, start + len(core)))
        changed.add_word(core or word, types[end - 1] if size else SPACE_TAG, size, confidence)
        if core and core != word:  # an entry begins after white space within a word
            changed.add_word(word[len(core) :], SPACE_TAG, 0)
    _encode_tags(changed, scheme, analysis.token_tags)
    return changed


def _confidences_beside(
    analysis: Analysis, matches: Iterable[Match]
) -> Dict[Tuple[int, int], Optional[float]]:
    """Return the confidences of the words that no entry touches, by their offsets."""
    touched = {place for match in matches for place in range(match.start, match.end)}
    return {
        offsets: confidence
        for offsets, confidence in zip(analysis.offsets(), analysis.confidences)
        if touched.isdisjoint(range(*offsets))
    }


def _split_tokens(
    text: str, tokens: Sequence[str], begins: Sequence[bool]
) -> List[Tuple[int, str]]:
    """Return start and text of each token, split where a word begins inside it."""
    parts = []
    end = 0
    for token in tokens:
        start = text.index(token, end)  # only white space stands between tokens
        end = start + len(token)
        inner = [place for place in range(start + 1, end) if begins[place]]
        parts += [(a, text[a:b]) for a, b in zip([start, *inner], [*inner, end])]
    return parts


def joined(sentences: Sequence[Analysis]) -> Analysis:
    """Return the analysis of a text from those of its sentences."""
    whole = Analysis.of_tokens([], [])
    for sentence in sentences:
        whole.words.extend(sentence.words)
        whole.tags.extend(sentence.tags)
        whole.tokens.extend(sentence.tokens)
        whole.token_tags.extend(sentence.token_tags)
        whole.sizes.extend(sentence.sizes)
        whole.confidences.extend(sentence.confidences)
    return whole
