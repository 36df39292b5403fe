"""From the tags of a text's tokens to its words: spans are joined, white space is kept."""

from typing import List, NamedTuple, Optional, Sequence

from lac.tag_schemes import OUTSIDE, TagScheme

SPACE_TAG = "w"  # of white space, which no model tags, as in Baidu's LAC


class Token(NamedTuple):
    """A piece of a text.

    Attributes:
        text: Its characters.
        is_entry: Whether it is a word of the user dictionary.
        type: The tag that the user dictionary gives it, if any.
        is_space: Whether it is white space, which the model does not see.
    """

    text: str
    is_entry: bool = False
    type: Optional[str] = None
    is_space: bool = False


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


def analysis_of(tokens: Sequence[Token], tags: Sequence[str], scheme: TagScheme) -> Analysis:
    """Return the words of a sentence.

    Args:
        tokens: The pieces of the sentence.
        tags: The model's tags of the tokens that are not white space.
        scheme: The scheme of the tags.
    """
    analysis = Analysis([], [], [token.text for token in tokens if not token.is_space], [*tags], [])
    previous, space = OUTSIDE, ""
    remaining = iter(tags)
    for token in tokens:
        if token.is_space:
            space += token.text
            continue
        tag = next(remaining)
        mark, kind = scheme.parse(tag)
        if not token.is_entry and mark in "IE" and not scheme.starts_span(previous, tag):
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
        analysis.token_tags[:] = [
            tag for kind, size in zip(analysis.tags, analysis.sizes) if size
            for tag in ([OUTSIDE] if kind == OUTSIDE else scheme.encode(kind, size))
        ]
    return analysis


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
