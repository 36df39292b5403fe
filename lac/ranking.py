"""How important the words of a text are, by LAC's ranker."""

import threading
from itertools import chain
from typing import Dict, List, Sequence

import numpy as np
import paddle

from bilm.inference.batching import plan_blocks
from bilm.paddle_compat import as_tensor
from bilm.storage.tensors import set_weights
from lac.analysis import Analysis
from lac.lookup import Lookup
from lac.network.ranker import Ranker, RankerSizes


class Ranking:
    """Ranks pieces, and words by their most important piece.

    Source: LAC 2.1.2, RankModel.

    Args:
        weights: Parameters of a `Ranker`.
        lookup: That of the tagger, whose pieces the ranker reads.
        tags: The tags of the tagger in the order of their ids.
        batch_size: Largest number of sentences computed together.

    Raises:
        InputError: The parameters do not fit each other.
    """

    def __init__(
        self, weights: Dict[str, np.ndarray], lookup: Lookup, tags: Sequence[str], batch_size: int
    ):
        self._ranker = Ranker(RankerSizes.of(weights, "the ranker"))
        set_weights(self._ranker, weights, "the ranker")
        self._ranker.eval()
        self._lookup, self._batch_size = lookup, batch_size
        self._tag_ids = {tag: number for number, tag in enumerate(tags)}
        self._lock = threading.Lock()

    def of_pieces(
        self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]
    ) -> List[List[int]]:
        """Return the importance of each piece, from 0 on.

        Args:
            sentences: Pieces of each sentence.
            tags: What the tagger gave them.
        """
        ranks: List[List[int]] = [[] for _ in sentences]
        for batch in chain.from_iterable(plan_blocks(map(len, sentences), self._batch_size)):
            words, lengths = self._lookup.words.pad(
                [self._lookup.fold(sentences[number]) for number in batch]
            )
            tag_ids = np.zeros_like(words)
            for row, number in zip(tag_ids, batch):
                row[: len(tags[number])] = [self._tag_ids[tag] for tag in tags[number]]
            with self._lock, paddle.no_grad():
                scores = self._ranker(*map(as_tensor, (words, tag_ids, lengths))).numpy()
            for number, best in zip(batch, scores.argmax(axis=-1)):
                ranks[number] = best[: len(sentences[number])].tolist()
        return ranks


def ranks_of_words(analysis: Analysis, pieces: Sequence[str], ranks: Sequence[int]) -> List[int]:
    """Return the importance of each word: that of its most important character.

    Args:
        analysis: The words of a text.
        pieces: The pieces of the text, white space among them.
        ranks: The importance of each piece.
    """
    of_characters = [rank for piece, rank in zip(pieces, ranks) for _ in piece]
    best, start = [], 0
    for word in analysis.words:
        best.append(max(of_characters[start : start + len(word)]))
        start += len(word)
    return best
