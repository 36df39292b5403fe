"""From the tags of a text's tokens to its words: spans are joined, white space is kept."""

from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

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


class Analysis(NamedTuple):
    """The words and tags of a text.

    Attributes:
        words: The spans; joined, they are the text.
        tags: The type of each word.
        tokens: The tokens that the model tagged: no white space, spans not joined.
        token_tags: The model's tags; those of the spans if the user dictionary gave words.
        sizes: Number of tokens in each word, 0 for white space.
    """

    words: List[str]
    tags: List[str]
    tokens: List[str]
    token_tags: List[str]
    sizes: List[int]

    def add_word(self, text: str, tag: str, size: int) -> None:
        """Append a word of `size` tokens."""
        self.words.append(text)
        self.tags.append(tag)
        self.sizes.append(size)


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
    analysis = Analysis([], [], [token.text for token in tokens if not token.is_space], [*tags], [])
    previous, space = OUTSIDE, ""
    remaining = iter(tags)
    for token in tokens:
        if token.is_space:
            space += token.text
            continue
        tag = next(remaining)
        mark, kind = scheme.parse(tag)
        continues = mark in "IE" and not scheme.starts_span(previous, tag)
        if token.continues or (continues and not token.is_entry):
            analysis.words[-1] += space + token.text
            analysis.sizes[-1] += 1
        else:
            if space:
                analysis.add_word(space, SPACE_TAG, 0)
            analysis.add_word(token.text, token.type or kind or OUTSIDE, 1)
        previous, space = (OUTSIDE if token.is_entry else tag), ""
    if space:
        analysis.add_word(space, SPACE_TAG, 0)
    if any(token.is_entry for token in tokens):
        _encode_tags(analysis, scheme)
    return analysis


def _baidu_analysis(
    tokens: Sequence[Token], tags: Sequence[str], scheme: TagScheme
) -> Analysis:
    analysis = Analysis([], [], [token.text for token in tokens], [*tags], [])
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


def _encode_tags(analysis: Analysis, scheme: TagScheme) -> None:
    """Set the tags of the tokens from the words."""
    analysis.token_tags[:] = [
        tag for kind, size in zip(analysis.tags, analysis.sizes) if size
        for tag in ([OUTSIDE] * size if kind in (OUTSIDE, "") else scheme.encode(kind, size))
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
    matches = list(matches)
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
    if not matches:
        return analysis
    whole = "".join(analysis.words)
    starts = [place for place, is_begin in enumerate(begins) if is_begin]
    tokens = _split_tokens(whole, analysis.tokens, begins)
    changed = Analysis([], [], [token for _, token in tokens], [], [])
    places = iter([*(place for place, _ in tokens), len(whole)])
    place = next(places)
    for start, end in zip(starts, [*starts[1:], len(whole)]):
        size = 0
        while place < end:
            place, size = next(places), size + 1
        word = whole[start:end]
        core = word.rstrip() if convention == "spans" else word
        changed.add_word(core or word, types[end - 1] if size else SPACE_TAG, size)
        if core and core != word:  # an entry begins after white space within a word
            changed.add_word(word[len(core) :], SPACE_TAG, 0)
    _encode_tags(changed, scheme)
    return changed


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
    whole = Analysis([], [], [], [], [])
    for sentence in sentences:
        whole.words.extend(sentence.words)
        whole.tags.extend(sentence.tags)
        whole.tokens.extend(sentence.tokens)
        whole.token_tags.extend(sentence.token_tags)
        whole.sizes.extend(sentence.sizes)
    return whole
