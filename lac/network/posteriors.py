"""Probabilities of tags and of words, given the sentence, in NumPy and float64."""

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from lac.network.viterbi import TransitionScores

_SAFE_SUM = 1e-200  # in a larger sum, no term that counts has underflowed


class TaggedSpan(NamedTuple):
    """Consecutive steps of a sentence and their tags.

    Attributes:
        start: The first step.
        tags: The ids of the tags from there on, at least one.
    """

    start: int
    tags: Sequence[int]

    @property
    def end(self) -> int:
        """The step after the last."""
        return self.start + len(self.tags)


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


def span_probabilities(
    emissions: np.ndarray,
    lengths: Optional[np.ndarray],
    scores: TransitionScores,
    spans: Sequence[Sequence[TaggedSpan]],
    begins: np.ndarray,
) -> List[np.ndarray]:
    """Return the probabilities of spans as whole units, for each row an array (its spans,).

        p(span | x) = p(y_start ... y_(end-1) = its tags, and y_end begins a unit | x)

    where the end of the sentence begins a unit, too: with the tags of a word, the probability
    that a word of this type stands exactly there.

    Args:
        emissions: Shape (batch, steps, tags).
        lengths: Shape (batch,), from 0 on; None: all rows are full.
        scores: Scores of the chain.
        spans: Those of each row, within its length.
        begins: bool, shape (tags,): whether a tag begins a unit, such as B, S and O, and does not
            continue one.
    """
    counts = [len(of_row) for of_row in spans]
    if not sum(counts):
        return [np.zeros(0) for _ in spans]
    chains = _Chains.of(emissions, lengths, scores)
    every = [span for of_row in spans for span in of_row]
    rows = np.repeat(np.arange(len(spans)), counts)
    starts, ends, first, last = (np.array(values) for values in zip(*(
        (span.start, span.end, span.tags[0], span.tags[-1]) for span in every
    )))
    sizes = ends - starts
    owners = np.repeat(np.arange(len(every)), sizes)  # of each step of each span
    tags = np.concatenate([span.tags for span in every])
    steps = np.arange(len(tags)) - np.repeat(np.cumsum(sizes) - sizes - starts, sizes)
    within = np.flatnonzero(steps > starts[owners])  # the steps after a span's first
    inner = np.bincount(
        owners[within],
        chains.emissions[rows[owners[within]], steps[within], tags[within]]
        + chains.transitions[tags[within - 1], tags[within]],
        minlength=len(every),
    )
    logarithms = (
        chains.forward[rows, starts, first] + inner + chains.after(rows, ends, last, begins)
        - chains.log_partition[rows]
    )
    return np.split(np.exp(logarithms), np.cumsum(counts)[:-1])


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

    def after(
        self, rows: np.ndarray, ends: np.ndarray, last: np.ndarray, begins: np.ndarray
    ) -> np.ndarray:
        """Return the log of the summed exp(score) of paths after spans, shape (spans,).

        Args:
            rows: The row of each span.
            ends: The step after each span.
            last: The last tag of each span.
            begins: Whether each tag may follow a span.
        """
        logarithms = self.backward[rows, ends - 1, last]  # where the sentence ends
        going = np.flatnonzero(ends < self.lengths[rows])
        place = rows[going], ends[going]
        following = self.transitions[last[going]] + self.emissions[place] + self.backward[place]
        logarithms[going] = np.logaddexp.reduce(np.where(begins, following, -np.inf), axis=-1)
        return logarithms


def _log_sums(scores: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """Return log(exp(scores) @ exp(transitions)), shape (rows, to).

    Args:
        scores: Shape (rows, from).
        transitions: Shape (from, to).
    """
    top, highest = scores.max(axis=-1, keepdims=True), transitions.max()
    sums = np.exp(scores - top) @ np.exp(transitions - highest)
    rows, to = np.nonzero(sums < _SAFE_SUM)  # only forbidden transitions lead there
    sums[rows, to] = 1.0
    logarithms = np.log(sums) + (top + highest)
    logarithms[rows, to] = np.logaddexp.reduce(scores[rows] + transitions.T[to], axis=-1)
    return logarithms
