"""Pieces: what a tagger tags, and the way to them from text and from tagged words.

    words         the words of a segmenter; the tagger cannot mend them
    characters    one character each, runs of Latin letters and digits whole or split
    dictionary    the most probable path through a dictionary; a piece that the tagger does not
                  know is split into characters

A tagger of characters or of a dictionary's pieces decides itself what a word is: its tags mark
where words begin (`n-B n-I`). The pieces of a text are the text when joined.

Source: Baidu's LAC for pieces of a dictionary.
"""

from itertools import accumulate
from typing import Callable, Iterable, List, NamedTuple, Optional, Sequence

from bilm.text.segmenters import SegmentationOptions, load_segmenter
from lac.analysis import words_of
from lac.tag_schemes import OUTSIDE, TagScheme
from lac.tagged_files import TaggedSentence

KINDS = ("words", "characters", "dictionary")


def kind_of(segmentation: SegmentationOptions) -> str:
    """Return the kind of pieces that a segmenter makes, one of KINDS."""
    return segmentation.segmenter if segmentation.segmenter in KINDS else "words"


def piece_tags(tags: Iterable[str], scheme: TagScheme, target: TagScheme) -> List[str]:
    """Return all tags of pieces for words with some tags, sorted.

    Args:
        tags: Tags of words.
        scheme: Their scheme.
        target: The scheme of the tags of pieces.
    """
    types = {scheme.parse(tag)[1] or OUTSIDE for tag in tags}
    sizes = 1, 2, 3  # which have all marks
    return sorted({tag for kind in types for size in sizes for tag in target.encode(kind, size)})


def piece_scheme(scheme: TagScheme, kind: str) -> TagScheme:
    """Return the scheme of the tags of pieces, for words with tags of another scheme.

    Words keep theirs. Pieces need one in which every word begins with a mark.
    """
    if kind == "words" or scheme.name not in ("bare", "mixed"):
        return scheme
    return TagScheme("suffix")


class EncodedSentence(NamedTuple):
    """A sentence of pieces with tags.

    Attributes:
        sentence: The pieces and their tags.
        lost: Number of words whose borders are not borders of pieces.
    """

    sentence: TaggedSentence
    lost: int


class Pieces:
    """The pieces of one tagger.

    Args:
        segmentation: The segmenter and its options.
        is_known: Returns whether the tagger knows a piece of a dictionary; others are split.
            None: all are known.

    Attributes:
        kind: One of KINDS.

    Raises:
        InputError: The segmenter is not installed, or its dictionary cannot be read.
    """

    def __init__(
        self,
        segmentation: SegmentationOptions,
        is_known: Optional[Callable[[str], bool]] = None,
    ):
        self.kind = kind_of(segmentation)
        self._cut = load_segmenter(segmentation)
        self._is_known = is_known if self.kind == "dictionary" else None

    def cut(self, text: str) -> List[str]:
        """Return the pieces of a text, white space among them; joined, they are the text."""
        pieces = list(self._cut(text))
        if self._is_known is None:
            return pieces
        return [
            part for piece in pieces
            for part in ([piece] if len(piece) == 1 or self._is_known(piece) else piece)
        ]

    def encode(
        self, sentence: TaggedSentence, scheme: TagScheme, target: TagScheme
    ) -> EncodedSentence:
        """Return a sentence of words with tags as one of pieces with tags.

        A piece that holds a word's border belongs to the word that it starts in. A word without
        a tag, O, becomes pieces with the tags O-B and O-I (or those of the scheme for a type O).
        A tagger of words has its sentences as they are.

        Args:
            sentence: Words with tags.
            scheme: The scheme of its tags.
            target: The scheme of the tags of pieces, such as `piece_scheme(scheme)`.
        """
        if self.kind == "words":
            return EncodedSentence(sentence, 0)
        words, types = words_of(sentence.tokens, sentence.tags, scheme)
        pieces = [piece for piece in self.cut("".join(words)) if not piece.isspace()]
        owners = _owners(words, pieces)
        tags: List[str] = []
        lost = 0
        start = 0
        for number, (word, kind) in enumerate(zip(words, types)):
            end = start
            while end < len(pieces) and owners[end] == number:
                end += 1
            lost += "".join(pieces[start:end]) != "".join(word.split())
            if end > start:
                tags += target.encode(kind, end - start)
            start = end
        return EncodedSentence(TaggedSentence(pieces, tags), lost)


def _owners(words: Sequence[str], pieces: Sequence[str]) -> List[int]:
    """Return for each piece the number of the word that holds its first character."""
    word_of = [number for number, word in enumerate(words) for _ in "".join(word.split())]
    starts = accumulate(map(len, pieces), initial=0)
    return [word_of[start] for start, _ in zip(starts, pieces)]
