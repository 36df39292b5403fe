"""Tags of sentences of pieces, from a tagger."""

import threading
from itertools import chain
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import paddle

from bilm.errors import InputError
from bilm.inference.batching import plan_blocks
from bilm.paddle_compat import as_tensor
from lac.analysis import Reading
from lac.layer_cache import LayerCache, computed_layers
from lac.lookup import Lookup, TokenIds
from lac.network.model import Tagger
from lac.network.posteriors import WordPlace, word_probabilities
from lac.network.viterbi import FORBIDDEN, TransitionScores, best_paths, margins
from lac.tag_schemes import TagScheme


class Batch(NamedTuple):
    """Sentences that are computed together.

    Attributes:
        numbers: Their numbers.
        emissions: Shape (batch, steps, tags).
        lengths: Pieces in each, shape (batch,).
    """

    numbers: List[int]
    emissions: np.ndarray
    lengths: np.ndarray


class Predictor:
    """Tags sentences of pieces.

    Args:
        tagger: The network, which is put into evaluation mode while it computes. Its weights may
            change between calls of `update`.
        lookup: Turns sentences into the tagger's ids.
        tags: The tags in the order of their ids.
        scheme: The scheme of the tags.
        batch_size: Largest number of sentences computed together; fewer where they are long.

    Raises:
        InputError: batch_size is not positive.
    """

    def __init__(
        self,
        tagger: Tagger,
        lookup: Lookup,
        tags: Sequence[str],
        scheme: TagScheme,
        batch_size: int = 32,
    ):
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        self.tagger, self.lookup, self.tags, self.scheme = tagger, lookup, list(tags), scheme
        self.batch_size = batch_size
        self._begins = np.array([scheme.parse(tag)[0] not in "IE" for tag in tags])
        self._lock = threading.Lock()  # Paddle's layers are not made for several threads
        self.update()

    def update(self) -> None:
        """Use the CRF's weights as they are now."""
        self._scores = decoding_scores(self.tagger, self.scheme, self.tags)

    def predict(
        self,
        sentences: Sequence[Sequence[str]],
        cache: Optional[LayerCache] = None,
        progress: Optional[Callable[[int], object]] = None,
        continues: Optional[Sequence[Sequence[bool]]] = None,
    ) -> List[List[str]]:
        """Return the tags of each sentence, one a piece.

        Args:
            sentences: Lists of pieces; an empty one has no tags.
            cache: ELMo's layers of these sentences, none of which is empty.
            progress: Called with the number of sentences of each batch.
            continues: For each piece whether it must not begin a word; None: any may.

        Raises:
            InputError: A sentence is no list of strings.
        """
        tags: List[List[str]] = [[] for _ in sentences]
        for batch in self.batches(sentences, cache, continues):
            for number, of_sentence in zip(batch.numbers, self.best_tags(batch)):
                tags[number] = of_sentence
            if progress is not None:
                progress(len(batch.numbers))
        return tags

    def batches(
        self,
        sentences: Sequence[Sequence[str]],
        cache: Optional[LayerCache] = None,
        continues: Optional[Sequence[Sequence[bool]]] = None,
    ) -> Iterator[Batch]:
        """Yield the emissions of sentences, without empty ones, in batches of similar length.

        Args:
            sentences: Lists of pieces.
            cache: See `predict`.
            continues: See `predict`.

        Raises:
            InputError: A sentence is no list of strings.
        """
        for numbers in chain.from_iterable(plan_blocks(map(len, sentences), self.batch_size)):
            ids = self.lookup([sentences[number] for number in numbers])
            layers = None if cache is None else cache.layers(numbers)
            fixed = None
            if continues is not None and any(any(continues[number]) for number in numbers):
                fixed = [continues[number] for number in numbers]
            yield Batch(numbers, self._emissions(ids, layers, fixed), ids.lengths)

    def best_tags(self, batch: Batch) -> List[List[str]]:
        """Return the tags of each sentence of a batch."""
        paths = best_paths(batch.emissions, batch.lengths, self._scores)
        return [[self.tags[tag] for tag in path] for path in paths]

    def margins_of(self, batch: Batch) -> np.ndarray:
        """Return what `margins` does of the sentences of a batch, shape (batch,)."""
        return margins(batch.emissions, batch.lengths, self._scores)

    def word_probabilities(
        self, batch: Batch, words: Sequence[Sequence[WordPlace]], reading: Reading,
        borders: Sequence[Sequence[int]],
    ) -> List[np.ndarray]:
        """Return the probabilities of words of each sentence, an array (its words,) each.

        See `lac.network.posteriors.word_probabilities`.

        Args:
            batch: The sentences.
            words: Words of each.
            reading: How tags are read as words.
            borders: See `lac.analysis.fixed_borders`.
        """
        padded = np.zeros(batch.emissions.shape[:2], np.int64)
        for row, own in zip(padded, borders):
            row[: len(own)] = own
        return word_probabilities(
            batch.emissions, batch.lengths, self._scores, words, reading, padded
        )

    def margins(
        self,
        sentences: Sequence[Sequence[str]],
        continues: Optional[Sequence[Sequence[bool]]] = None,
    ) -> np.ndarray:
        """Return how much better each sentence's tags are than the second best, shape (sentences,).

        See `lac.network.viterbi.margins`.

        Args:
            sentences: Lists of pieces; an empty one has no second tags.
            continues: See `predict`.

        Raises:
            InputError: A sentence is no list of strings.
        """
        of_sentences = np.full(len(sentences), np.inf)
        for batch in self.batches(sentences, None, continues):
            of_sentences[batch.numbers] = self.margins_of(batch)
        return of_sentences

    def layers(self, sentences: Sequence[Sequence[str]]) -> List[np.ndarray]:
        """Return ELMo's layers of each sentence.

        Args:
            sentences: Lists of the words that ELMo reads.

        Returns:
            A float32 array (layers, words, features) for each sentence: the token layer, then the
            LSTM layers.

        Raises:
            InputError: The tagger has no ELMo.
        """
        elmo = self.tagger.elmo
        if elmo is None:
            raise InputError("the tagger has no ELMo")
        shape = elmo.bilm.config.num_layers + 1, 0, self.tagger.elmo_size
        of_sentences = [np.empty(shape, np.float32) for _ in sentences]
        with self._lock:
            for batch, layers in computed_layers(elmo, self.lookup, sentences):
                for row, number in enumerate(batch):
                    of_sentences[number] = layers[:, row, : len(sentences[number])]
        return of_sentences

    def _emissions(
        self,
        ids: TokenIds,
        layers: Optional[np.ndarray],
        continues: Optional[Sequence[Sequence[bool]]],
    ) -> np.ndarray:
        with self._lock, paddle.no_grad():
            if self.tagger.training:
                self.tagger.eval()
            emissions = self.tagger(
                *tensors_of(ids, with_elmo=layers is None),
                elmo_layers=None if layers is None else as_tensor(layers),
            ).numpy()
        for row, places in zip(emissions, continues or ()):
            row[: len(places)] += np.outer(places, self._begins) * FORBIDDEN
        return emissions


def decoding_scores(tagger: Tagger, scheme: TagScheme, tags: Sequence[str]) -> TransitionScores:
    """Return the CRF's scores, with penalties if the tagger's decoding is constrained."""
    scores = tagger.crf.scores()
    return scores.constrained(scheme, tags) if tagger.config.constrained_decoding else scores


def tensors_of(ids: TokenIds, with_elmo: bool = True) -> Tuple[Optional[paddle.Tensor], ...]:
    """Return the arguments of `Tagger.forward`, from words to elmo_places."""
    if not with_elmo:
        ids = ids._replace(elmo=None)
    return tuple(None if array is None else as_tensor(array) for array in ids)
