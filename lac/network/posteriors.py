"""Probabilities of tags and of words, given the sentence, in NumPy and float64."""

from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from lac.analysis import Reading
from lac.network.viterbi import TransitionScores

_SAFE_SUM = 1e-200  # in a larger sum, no term that counts has underflowed
_LOWEST = -1e300  # in place of -inf where it would be taken from itself


class WordPlace(NamedTuple):
    """A word of a sentence.

    Attributes:
        start: Its first step.
        end: The step after its last.
        type: Its type.
    """

    start: int
    end: int
    type: str


def marginals(
    emissions: np.ndarray, lengths: Optional[np.ndarray], scores: TransitionScores
) -> np.ndarray:
    """Return the probability of each tag at each step, float64, shape (batch, steps, tags).

        p(y_t = tag | x) = sum over the paths y with this tag at t of p(y | x)

    Beyond a row's length it is 0.

    Source: the forward-backward algorithm, Rabiner 1989.

    Args:
        emissions: Shape (batch, steps, tags).
        lengths: Shape (batch,), from 0 on; None: all rows are full.
        scores: Scores of the chain.
    """
    chains = _Chains.of(emissions, lengths, scores)
    inside = np.arange(emissions.shape[1]) < chains.lengths[:, None]  # (batch, steps)
    logarithms = chains.forward + chains.backward - chains.log_partition[:, None, None]
    return np.exp(np.where(inside[..., None], logarithms, -np.inf))


def word_probabilities(
    emissions: np.ndarray,
    lengths: Optional[np.ndarray],
    scores: TransitionScores,
    words: Sequence[Sequence[WordPlace]],
    reading: Reading,
    borders: Optional[np.ndarray] = None,
) -> List[np.ndarray]:
    """Return the probabilities of words, for each row an array (its words,).

        p(word | x) = sum over the paths y that are read with this word of p(y | x)

    which are the paths by which a word begins at its start, none within it, and one at its end or
    the sentence ends there, and by which it has its type.

    Args:
        emissions: Shape (batch, steps, tags).
        lengths: Shape (batch,), from 0 on; None: all rows are full.
        scores: Scores of the chain.
        words: Those of each row, within its length.
        reading: How tags are read as words.
        borders: 1 where a word begins whatever the tags are, -1 where none does, 0 where they
            decide, shape (batch, steps); None: they decide everywhere.
    """
    counts = [len(of_row) for of_row in words]
    if not sum(counts):
        return [np.zeros(0) for _ in words]
    chains = _Chains.of(emissions, lengths, scores)
    if borders is None:
        borders = np.zeros(emissions.shape[:2], np.int64)
    rows = np.repeat(np.arange(len(words)), counts)
    starts, ends, types = (np.array(each) for each in zip(*(
        word for of_row in words for word in of_row
    )))
    is_type = types[:, None] == np.array(reading.types)  # (words, tags)
    begin = {0: np.where(reading.begins, chains.transitions, -np.inf), 1: chains.transitions}
    within = {0: np.where(reading.begins, -np.inf, chains.transitions), -1: chains.transitions}
    paths = chains.forward[rows, starts]  # log of the summed exp(score), (words, tags)
    later = np.flatnonzero(starts)
    place = rows[later], starts[later]
    before = chains.forward[rows[later], starts[later] - 1]
    paths[later] = _log_sums_by(borders[place], before, begin) + chains.emissions[place]
    if not reading.by_last:
        paths[~is_type] = -np.inf
    for size in range(1, (ends - starts).max()):
        going = np.flatnonzero(starts + size < ends)
        place = rows[going], starts[going] + size
        paths[going] = _log_sums_by(borders[place], paths[going], within)
        paths[going] += chains.emissions[place]
    after = chains.backward[rows, ends - 1]  # where the sentence ends
    going = np.flatnonzero(ends < chains.lengths[rows])
    place = rows[going], ends[going]
    following = chains.emissions[place] + chains.backward[place]
    into = {kind: transitions.T for kind, transitions in begin.items()}
    after[going] = _log_sums_by(borders[place], following, into)
    if reading.by_last:
        paths[~is_type] = -np.inf
    logarithms = np.logaddexp.reduce(paths + after, axis=-1) - chains.log_partition[rows]
    probabilities = np.minimum(np.exp(logarithms), 1.0)  # whatever the rounding
    return np.split(probabilities, np.cumsum(counts)[:-1])


class _Chains(NamedTuple):
    """The scores of a batch of sentences, summed over the paths into and out of each tag.

    Attributes:
        emissions: float64, shape (batch, steps, tags).
        transitions: float64, shape (tags, tags).
        lengths: Shape (batch,).
        forward: Log of the summed exp(score) of the paths up to each tag, which counts.
        backward: The same of the paths after each tag, which does not count.
        log_partition: The same of all paths, shape (batch,).
    """

    emissions: np.ndarray
    transitions: np.ndarray
    lengths: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    log_partition: np.ndarray

    @classmethod
    def of(
        cls, emissions: np.ndarray, lengths: Optional[np.ndarray], scores: TransitionScores
    ) -> "_Chains":
        """Return the sums of some sentences, of any value beyond their lengths."""
        batch, steps, _ = emissions.shape
        lengths = np.full(batch, steps) if lengths is None else np.asarray(lengths)
        emissions = emissions.astype(np.float64)
        start, stop, transitions = (part.astype(np.float64) for part in scores)
        forward, backward = np.zeros((2, *emissions.shape))
        for step in range(steps):
            before = _log_sums(forward[:, step - 1], transitions) if step else start
            forward[:, step] = before + emissions[:, step]
        for step in range(steps - 1, -1, -1):
            backward[:, step] = stop
            going = np.flatnonzero(step + 1 < lengths)
            if len(going):
                after = emissions[going, step + 1] + backward[going, step + 1]
                backward[going, step] = _log_sums(after, transitions.T)
        log_partition = np.zeros(batch)
        if steps:
            log_partition = np.logaddexp.reduce(forward[:, 0] + backward[:, 0], axis=-1)
        return cls(emissions, transitions, lengths, forward, backward, log_partition)


def _log_sums_by(
    kinds: np.ndarray, scores: np.ndarray, transitions: Dict[int, np.ndarray]
) -> np.ndarray:
    """Return `_log_sums` with the transitions of each row's kind; -inf if it has none.

    Args:
        kinds: Shape (rows,).
        scores: Shape (rows, from).
        transitions: Shape (from, to), by kind.
    """
    logarithms = np.full(scores.shape, -np.inf)
    for kind, of_kind in transitions.items():
        chosen = np.flatnonzero(kinds == kind)
        if len(chosen):
            logarithms[chosen] = _log_sums(scores[chosen], of_kind)
    return logarithms


def _log_sums(scores: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """Return log(exp(scores) @ exp(transitions)), shape (rows, to); -inf where nothing leads.

    Args:
        scores: Shape (rows, from).
        transitions: Shape (from, to).
    """
    top = scores.max(axis=-1, keepdims=True).clip(_LOWEST)
    highest = transitions.max().clip(_LOWEST)
    sums = np.exp(scores - top) @ np.exp(transitions - highest)
    is_small = sums < _SAFE_SUM
    if not is_small.any():
        return np.log(sums) + (top + highest)
    leads = np.isfinite(scores).astype(float) @ np.isfinite(transitions).astype(float) > 0
    sums[is_small] = 1.0
    logarithms = np.log(sums) + (top + highest)
    logarithms[~leads] = -np.inf
    rows, to = np.nonzero(is_small & leads)  # only forbidden transitions lead there
    logarithms[rows, to] = np.logaddexp.reduce(scores[rows] + transitions.T[to], axis=-1)
    return logarithms
