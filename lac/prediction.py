"""The tags of sentences, from a tagger."""

import threading
from itertools import chain
from typing import List, Optional, Sequence

import numpy as np
import paddle

from bilm.errors import InputError
from bilm.inference.batching import plan_blocks
from bilm.paddle_compat import as_tensor
from lac.layer_cache import LayerCache, computed_layers
from lac.lookup import Lookup
from lac.network.model import Tagger
from lac.network.viterbi import best_paths
from lac.tag_schemes import TagScheme


class Predictor:
    """Gives the words of sentences their tags.

    Args:
        tagger: Put into evaluation mode while it computes. Its weights may change between
            calls of `update`.
        lookup: The tagger's.
        tags: In the order of their ids.
        scheme: What the tags mean.
        batch_size: Sentences computed together, at most; fewer where they are long.

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
        self._lock = threading.Lock()  # Paddle's layers are not made for several threads
        self.update()

    def update(self) -> None:
        """Take over the CRF's weights as they are now."""
        self._scores = self.tagger.crf.scores()
        if self.tagger.config.constrained_decoding:
            self._scores = self._scores.constrained(self.scheme, self.tags)

    def predict(
        self, sentences: Sequence[Sequence[str]], cache: Optional[LayerCache] = None, progress=None
    ) -> List[List[str]]:
        """Return the tags of each sentence.

        Args:
            sentences: Lists of words; an empty one has no tags.
            cache: ELMo's layers of these sentences, none of which is empty.
            progress: Called with the number of sentences of each batch.

        Returns:
            A list of tags for each sentence, one a word.

        Raises:
            InputError: A sentence is no list of strings.
        """
        found: List[List[str]] = [[] for _ in sentences]
        for batch in chain.from_iterable(plan_blocks(map(len, sentences), self.batch_size)):
            ids = self.lookup([sentences[number] for number in batch])
            layers = None if cache is None else cache.layers(batch)
            for number, path in zip(batch, self.decode(ids, layers)):
                found[number] = [self.tags[tag] for tag in path]
            if progress is not None:
                progress(len(batch))
        return found

    def layers(self, sentences: Sequence[Sequence[str]]) -> List[np.ndarray]:
        """Return ELMo's layers of each sentence, of a tagger that has ELMo.

        Args:
            sentences: Lists of words.

        Returns:
            float32, of shape (layers, words, features) each: the token layer, then the LSTM's.
        """
        config = self.tagger.elmo.bilm.config
        features = config.num_directions * config.projection_size
        found = [np.empty((config.num_layers + 1, 0, features), np.float32) for _ in sentences]
        with self._lock:
            for batch, layers in computed_layers(self.tagger.elmo, self.lookup, sentences):
                for row, number in enumerate(batch):
                    found[number] = layers[:, row, : len(sentences[number])]
        return found

    def decode(self, ids, layers: Optional[np.ndarray] = None) -> List[np.ndarray]:
        """Return the tag ids of each row, of shape (its length,).

        Args:
            ids: `TokenIds`.
            layers: As `LayerCache.layers` returns them, instead of ELMo's ids.
        """
        with self._lock, paddle.no_grad():
            if self.tagger.training:
                self.tagger.eval()
            emissions = self.tagger(
                *tensors_of(ids, with_elmo=layers is None),
                elmo_layers=None if layers is None else as_tensor(layers),
            ).numpy()
        return best_paths(emissions, ids.lengths, self._scores)


def tensors_of(ids, with_elmo: bool = True) -> tuple:
    """Return the arguments of `Tagger.forward` for some `TokenIds`: words to characters."""
    elmo = ids.elmo if with_elmo else None
    return tuple(
        None if array is None else as_tensor(array)
        for array in (ids.words, ids.lengths, elmo, ids.characters)
    )
