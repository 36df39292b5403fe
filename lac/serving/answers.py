"""The server's answers, without HTTP: words with tags, vectors, a word in several sentences."""

from itertools import islice
from typing import Any, Dict, Iterator, List, Literal, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.mixes import MixWeights
from lac.analysis import SPACE_TAG, Analysis
from lac.tag_names import TAG_NAMES, TagName
from lac.tagging import LAC

Layer = Literal["mix", "average", "first", "top", "static"]


class Word(NamedTuple):
    """A word of a text.

    Attributes:
        text: Its characters.
        tag: Its type.
        start: Its first character's place in the text.
        end: The place after its last character.
        known: Whether the model knows each piece of it. Unknown pieces are read by their
            characters, or as `<UNK>`.
        confidence: See `lac.analysis.Analysis`; None if it was not asked for.
    """

    text: str
    tag: str
    start: int
    end: int
    known: bool
    confidence: Optional[float] = None


class Vectors(NamedTuple):
    """The words of a text and a vector for each.

    Attributes:
        words: The words that ELMo reads: the tagger's pieces, or words of the biLM's own
            segmentation.
        known: Whether the biLM knows each word.
        vectors: Shape (words, features).
    """

    words: List[str]
    known: List[bool]
    vectors: np.ndarray


class Meanings(NamedTuple):
    """One word in several sentences.

    Attributes:
        known: Whether the biLM knows the word, or all pieces of it.
        sentences: The words that ELMo reads in each sentence; the one that is compared is whole.
        positions: The word's place in each sentence.
        contextual: Cosines of the word's contextual vectors, shape (sentences, sentences).
        static: Cosines of its vectors without context, the biLM's token layer; the same shape.
        points: The contextual vectors on the plane in which they vary most, shape (sentences, 2).
        explained: Shares of the variance along the two axes.
    """

    known: bool
    sentences: List[List[str]]
    positions: List[int]
    contextual: np.ndarray
    static: np.ndarray
    points: np.ndarray
    explained: List[float]


class WordNotFound(InputError):
    """A sentence does not contain the word.

    Args:
        word: The word.
        sentence: The sentence's number, from 0.

    Attributes:
        sentence: The sentence's number, from 0.
    """

    def __init__(self, word: str, sentence: int):
        super().__init__(f"sentence {sentence + 1} does not contain {word!r}")
        self.sentence = sentence


class TooManyNumbers(InputError):
    """An answer would hold too many numbers.

    Args:
        limit: Largest allowed number.
        count: Number of numbers in the answer.

    Attributes:
        limit: Largest allowed number.
        count: Number of numbers in the answer.
    """

    def __init__(self, limit: int, count: int):
        super().__init__(f"the vectors would be {count} numbers, at most {limit}; send fewer words")
        self.limit, self.count = limit, count


class Answers:
    """Answers from one tagger; several threads may use an object at once.

    Args:
        model: The tagger, see `LAC`.
        use_gpu: Whether to compute on a GPU.
        threads: CPU threads; 0: all cores.

    Raises:
        InputError: See `LAC`.
    """

    def __init__(self, model: PathLike, use_gpu: bool = False, threads: int = 0):
        self._lac = LAC(model, use_gpu=use_gpu, threads=threads)
        self._mix: Optional[MixWeights] = None
        if self._lac.tagger.elmo is not None:
            self._mix = self._lac.tagger.elmo.mix_weights()[0]
            self._shares = (self._mix.shares * self._mix.gamma).astype(np.float32)

    @property
    def has_elmo(self) -> bool:
        """Whether there are vectors."""
        return self._mix is not None

    def describe(self) -> Dict[str, Any]:
        """Return the types with their names, sizes, and the weights of ELMo's layers."""
        types = self._lac.types | {SPACE_TAG}
        names = {
            kind: TAG_NAMES.get(kind, TagName(kind, kind))._asdict() for kind in sorted(types)
        }
        elmo = None
        if self._mix is not None:
            elmo = {
                "shares": [round(float(share), 4) for share in self._mix.shares],
                "gamma": round(self._mix.gamma, 4),
                "features": self._lac.tagger.elmo_size,
            }
        return {"types": names, "elmo": elmo}

    def tag(self, texts: Sequence[str], confidence: bool = False) -> List[List[Word]]:
        """Return the words of each text with their tags; joined, they are the text.

        Args:
            texts: Raw text.
            confidence: Whether to compute how sure the model is of each word.
        """
        return [
            [
                Word(text, tag, start, end, known, sure)
                for text, tag, (start, end), known, sure in zip(
                    analysis.words, analysis.tags, analysis.offsets(), self._are_known(analysis),
                    analysis.confidences,
                )
            ]
            for analysis in self._lac.analyse(texts, confidence=confidence)
        ]

    def _are_known(self, analysis: Analysis) -> Iterator[bool]:
        """Yield for each word whether the model knows all its tokens."""
        tokens = iter(analysis.tokens)
        for size in analysis.sizes:
            own = list(islice(tokens, size))
            yield all(map(self._lac.knows, own))

    def embed(
        self, texts: Sequence[str], layer: Layer = "mix", max_numbers: Optional[int] = None
    ) -> List[Vectors]:
        """Return the words of each text that ELMo reads, and their vectors.

        Args:
            texts: Raw text; each is read as one sentence.
            layer: "mix", with the weights that the tagger has learned; "average"; "first" or
                "top" of the LSTM layers; or "static", the token layer, which knows no context.
            max_numbers: Largest number of numbers in all vectors together; None: no limit.

        Raises:
            TooManyNumbers: The answer would be too large.
        """
        sentences = [self._lac.elmo_words(text) for text in texts]
        count = sum(map(len, sentences)) * self._lac.tagger.elmo_size
        if max_numbers is not None and count > max_numbers:
            raise TooManyNumbers(max_numbers, count)
        return [
            Vectors(words, [*map(self._lac.elmo_knows, words)], self._reduce(layers, layer))
            for words, layers in zip(sentences, self._lac.layers(sentences))
        ]

    def compare(self, word: str, texts: Sequence[str], layer: Layer = "first") -> Meanings:
        """Return how similar a word's vectors are in several sentences.

        Where ELMo reads words, the word is one of them, however the sentence would be cut. Where
        it reads characters or other pieces, the word's vector is the mean of its pieces' vectors.

        Args:
            word: The word, which is cut out of each sentence at its first place.
            texts: Raw sentences.
            layer: See `embed`.

        Raises:
            WordNotFound: A sentence does not contain the word.
        """
        cut = self._lac.elmo_words
        pieces = [word] if self._lac.elmo_reads_words else cut(word) or [word]
        heads, tails = [], []
        for number, text in enumerate(texts):
            before, match, after = text.partition(word)
            if not match:
                raise WordNotFound(word, number)
            heads.append(cut(before))
            tails.append(cut(after))
        of_sentences = self._lac.layers(
            [[*head, *pieces, *tail] for head, tail in zip(heads, tails)]
        )
        of_word = [
            layers[:, len(head) : len(head) + len(pieces)].mean(axis=1)
            for layers, head in zip(of_sentences, heads)
        ]
        contextual = np.stack([self._reduce(layers, layer) for layers in of_word])
        static = np.stack([self._reduce(layers, "static") for layers in of_word])
        points, explained = _on_a_plane(contextual)
        return Meanings(
            all(map(self._lac.elmo_knows, pieces)),
            [[*head, word, *tail] for head, tail in zip(heads, tails)], [*map(len, heads)],
            _cosines(contextual), _cosines(static), points, explained,
        )

    def _reduce(self, layers: np.ndarray, layer: Layer) -> np.ndarray:
        """Return the vectors (..., features) from layers (layers, ..., features)."""
        if layer == "mix":
            return np.tensordot(self._shares, layers, axes=1)
        if layer == "average":
            return layers.mean(axis=0)
        return layers[{"static": 0, "first": 1, "top": -1}[layer]]


def _cosines(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.maximum(lengths, 1e-12)
    return np.clip(directions @ directions.T, -1, 1)


def _on_a_plane(vectors: np.ndarray) -> Tuple[np.ndarray, List[float]]:
    """Return points (vectors, 2) by principal components, and the shares of variance."""
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    count = min(2, len(sizes))
    points[:, :count] = left[:, :count] * sizes[:count]
    total = float((sizes**2).sum())
    shares = [float(size**2) / total if total > 0 else 0.0 for size in sizes[:2]]
    return points, shares + [0.0] * (2 - len(shares))
