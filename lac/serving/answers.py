"""What the server answers, without HTTP: words with tags, vectors, a word in several sentences."""

import math
from itertools import islice
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from bilm.errors import InputError
from bilm.network.mixes import MixWeights
from lac.tag_names import TAG_NAMES, TagName
from lac.tag_schemes import OUTSIDE, TagScheme
from lac.tagging import LAC, SPACE_TAG, Analysis

LAYERS = ("mix", "average", "first", "top", "static")


class Word(NamedTuple):
    """A word of a text.

    Attributes:
        text: Its characters.
        tag: Its type.
        known: Whether the model knows each part of it; one that it does not is read by its
            characters, or as `<UNK>`.
    """

    text: str
    tag: str
    known: bool


class Vectors(NamedTuple):
    """The words of a text and a vector for each.

    Attributes:
        words: As the segmenter cuts the text.
        known: Whether the biLM knows each word.
        vectors: Shape (words, features).
    """

    words: List[str]
    known: List[bool]
    vectors: np.ndarray


class Meanings(NamedTuple):
    """One word in several sentences.

    Attributes:
        known: Whether the biLM knows the word.
        sentences: Their words.
        positions: Where the word stands in each.
        contextual: Cosines of the word's contextual vectors, shape (sentences, sentences).
        static: The same of its vectors without context, the biLM's token layer.
        points: The contextual vectors on the plane in which they vary most, shape (sentences, 2).
        explained: Shares of the variance that the two axes hold.
    """

    known: bool
    sentences: List[List[str]]
    positions: List[int]
    contextual: np.ndarray
    static: np.ndarray
    points: np.ndarray
    explained: List[float]


class WordNotFound(InputError):
    """A sentence lacks the word that it was given for.

    Args:
        word: The word.
        sentence: The sentence's number, from 0.

    Attributes:
        sentence: Its number, from 0.
    """

    def __init__(self, word: str, sentence: int):
        super().__init__(f"sentence {sentence + 1} does not contain {word!r}")
        self.sentence = sentence


class TooManyNumbers(InputError):
    """An answer would hold more numbers than are allowed.

    Args:
        limit: Numbers that are allowed.
        found: Numbers that it would hold.

    Attributes:
        limit: Numbers that are allowed.
        found: Numbers that it would hold.
    """

    def __init__(self, limit: int, found: int):
        super().__init__(f"the vectors would be {found} numbers, at most {limit}; send fewer words")
        self.limit, self.found = limit, found


class Answers:
    """Answers from one tagger; may be used by several threads.

    Args:
        model: As `LAC` takes it.
        use_gpu: Whether to compute on a GPU.
        threads: CPU threads; 0: all cores.

    Raises:
        InputError: As `LAC`.
    """

    def __init__(self, model, use_gpu: bool = False, threads: int = 0):
        self._lac = LAC(model, use_gpu=use_gpu, threads=threads)
        self._mix: Optional[MixWeights] = None
        if self._lac.tagger.elmo is not None:
            self._mix = self._lac.tagger.elmo.mix_weights()[0]
            self._shares = (self._mix.shares * self._mix.gamma).astype(np.float32)

    @property
    def has_elmo(self) -> bool:
        """Whether there are vectors."""
        return self._mix is not None

    @property
    def _features(self):
        config = self._lac.tagger.elmo.bilm.config
        return config.num_directions * config.projection_size

    def describe(self) -> Dict:
        """Return the types with their names, sizes, and how much each layer of ELMo counts."""
        scheme = TagScheme(self._lac.stored.config.scheme)
        types = {scheme.parse(tag)[1] or OUTSIDE for tag in self._lac.stored.tags} | {SPACE_TAG}
        names = {
            kind: TAG_NAMES.get(kind, TagName(kind, kind))._asdict() for kind in sorted(types)
        }
        elmo = None
        if self._mix is not None:
            elmo = {
                "shares": [round(float(share), 4) for share in self._mix.shares],
                "gamma": round(self._mix.gamma, 4),
                "features": self._features,
            }
        return {"types": names, "elmo": elmo}

    def tag(self, texts: Sequence[str]) -> List[List[Word]]:
        """Return the words of each text with their tags; joined, they are the text."""
        return [
            list(map(Word, found.words, found.tags, self._are_known(found)))
            for found in self._lac.analyse(texts)
        ]

    def _are_known(self, found: Analysis):
        """Yield of each word whether the model knows all tokens of it."""
        tokens = iter(found.tokens)
        for size in found.sizes:
            own = list(islice(tokens, size))
            yield all(map(self._lac.knows, own))

    def embed(
        self, texts: Sequence[str], layer: str = "mix", max_numbers: float = math.inf
    ) -> List[Vectors]:
        """Return the words of each text and their vectors.

        Args:
            texts: Raw text; each is read as one sentence.
            layer: "mix", as the tagger has learned it; "average"; "first" or "top", of the LSTM
                layers; or "static", the token layer, which knows no context.
            max_numbers: In all vectors together.

        Raises:
            TooManyNumbers: The answer would be too large.
        """
        sentences = [self._lac.cut(text) for text in texts]
        count = sum(map(len, sentences)) * self._features
        if count > max_numbers:
            raise TooManyNumbers(max_numbers, count)
        return [
            Vectors(words, [self._lac.knows(word) for word in words], self._reduce(layers, layer))
            for words, layers in zip(sentences, self._lac.layers(sentences))
        ]

    def compare(self, word: str, texts: Sequence[str], layer: str = "first") -> Meanings:
        """Return how alike a word's vectors are in several sentences.

        Args:
            word: Cut out of each sentence as one word, where it first stands.
            texts: Raw sentences.
            layer: As `embed` takes it.

        Raises:
            WordNotFound: A sentence lacks it.
        """
        sentences, positions = [], []
        for number, text in enumerate(texts):
            before, found, after = text.partition(word)
            if not found:
                raise WordNotFound(word, number)
            head = self._lac.cut(before)
            sentences.append([*head, word, *self._lac.cut(after)])
            positions.append(len(head))
        of_word = [
            layers[:, place] for layers, place in zip(self._lac.layers(sentences), positions)
        ]
        contextual = np.stack([self._reduce(layers, layer) for layers in of_word])
        static = np.stack([self._reduce(layers, "static") for layers in of_word])
        points, explained = _on_a_plane(contextual)
        return Meanings(
            self._lac.knows(word), sentences, positions, _cosines(contextual), _cosines(static),
            points, explained,
        )

    def _reduce(self, layers, layer):
        """Return the vectors (..., features) that are wanted of (layers, ..., features)."""
        if layer == "mix":
            return np.tensordot(self._shares, layers, axes=1)
        if layer == "average":
            return layers.mean(axis=0)
        return layers[{"static": 0, "first": 1, "top": -1}[layer]]


def _cosines(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.maximum(lengths, 1e-12)
    return np.clip(directions @ directions.T, -1, 1)


def _on_a_plane(vectors: np.ndarray):
    """Return points (vectors, 2) by principal components, and the shares of variance."""
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    count = min(2, len(sizes))
    points[:, :count] = left[:, :count] * sizes[:count]
    total = float((sizes**2).sum())
    shares = [float(size**2) / total if total > 0 else 0.0 for size in sizes[:2]]
    return points, shares + [0.0] * (2 - len(shares))
