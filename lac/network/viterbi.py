"""The best tag sequences of each sentence, in NumPy: on a CPU faster than Paddle's operator."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from lac.tag_schemes import TagScheme

FORBIDDEN = -1e4  # added to the score of a forbidden transition; other scores are far smaller


class TransitionScores(NamedTuple):
    """Scores of a linear chain, float32, logarithms that are not normalised.

    Attributes:
        start: Scores of the tags at the first word, shape (tags,).
        stop: Scores of the tags at the last word, shape (tags,).
        transitions: Scores of each tag (column) after each tag (row), shape (tags, tags).
    """

    start: np.ndarray
    stop: np.ndarray
    transitions: np.ndarray

    def constrained(self, scheme: TagScheme, tags: Sequence[str]) -> "TransitionScores":
        """Return the scores with a penalty on transitions that the scheme forbids.

        Args:
            scheme: The meaning of the tags.
            tags: The tags in the order of their ids.
        """
        start, stop, transitions = (_penalties(rows) for rows in (
            [[scheme.may_follow("O", tag) for tag in tags]],
            [[scheme.may_follow(tag, "O") for tag in tags]],
            [[scheme.may_follow(before, tag) for tag in tags] for before in tags],
        ))
        return TransitionScores(
            self.start + start[0], self.stop + stop[0], self.transitions + transitions
        )


def _penalties(allowed: List[List[bool]]) -> np.ndarray:
    return np.where(np.array(allowed), 0.0, FORBIDDEN).astype(np.float32)


def best_paths(
    emissions: np.ndarray, lengths: Optional[np.ndarray], scores: TransitionScores
) -> List[np.ndarray]:
    """Return the tag ids of the best path of each row, each of shape (length,).

        best path = argmax over y of start[y_1] + sum_t emission[t, y_t]
                    + sum_t transitions[y_(t-1), y_t] + stop[y_n]

    Source: Viterbi 1967; ties go to the lowest id.

    Args:
        emissions: Shape (batch, steps, tags).
        lengths: Shape (batch,), from 0 on; None: all rows are full.
        scores: Scores of the chain.
    """
    batch, steps, tags = emissions.shape
    lengths = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    if not steps or not batch:
        return [np.zeros(0, np.int64) for _ in range(batch)]
    order = np.argsort(-lengths, kind="stable")  # so that the rows still going stand together
    going = np.searchsorted(-lengths[order], -np.arange(steps), side="left")  # at each step
    emissions = emissions[order]
    into = np.ascontiguousarray(scores.transitions.T)  # (to, from)
    best = scores.start + emissions[:, 0]  # (batch, tags)
    first_places = np.arange(batch * tags) * tags
    pointers = []
    for step in range(1, steps):
        rows = going[step]
        if not rows:
            break
        candidates = best[:rows, None, :] + into  # (rows, to, from)
        chosen = candidates.argmax(axis=-1)  # (rows, to)
        flat = first_places[: rows * tags] + chosen.reshape(-1)  # places in the flat candidates
        best[:rows] = candidates.take(flat).reshape(rows, tags) + emissions[:rows, step]
        pointers.append(chosen)
    tag = (best + scores.stop).argmax(axis=-1)  # (batch,)
    paths = np.zeros((batch, steps), np.int64)
    for row, length in enumerate(lengths[order]):
        if length:
            paths[row, length - 1] = tag[row]
    for step in range(len(pointers), 0, -1):
        rows = np.arange(going[step])
        paths[rows, step - 1] = pointers[step - 1][rows, paths[rows, step]]
    places = np.argsort(order)  # of the rows in `paths`
    return [paths[place, :length] for place, length in zip(places, lengths)]


def margins(
    emissions: np.ndarray, lengths: Optional[np.ndarray], scores: TransitionScores
) -> np.ndarray:
    """Return how much better the best path of each row is than its second best, shape (batch,).

        margin = score of the best path - score of the best path that differs from it

    It is a logarithm of odds in nats: exp(margin) times as probable. It is inf where there is no
    second path: one tag, no step, or all other paths forbidden, see `constrained`.

    Source: Viterbi 1967, with the two best paths into each tag.

    Args:
        emissions: Shape (batch, steps, tags).
        lengths: Shape (batch,), from 0 on; None: all rows are full.
        scores: Scores of the chain.
    """
    batch, steps, _ = emissions.shape
    lengths = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    if not steps:
        return np.full(batch, np.inf)
    emissions = emissions.astype(np.float64)
    into = scores.transitions.T.astype(np.float64)  # (to, from)
    best = scores.start + emissions[:, 0]  # (batch, tags)
    gaps = np.full_like(best, np.inf)  # from the best path into each tag to the second best
    for step in range(1, lengths.max(initial=0)):
        going = np.flatnonzero(step < lengths)
        reached, gaps[going] = _best_and_gap(best[going, None] + into, gaps[going, None])
        best[going] = reached + emissions[going, step]
    _, margin = _best_and_gap(best + scores.stop, gaps)
    margin[(lengths == 0) | (margin > -FORBIDDEN / 2)] = np.inf
    return margin


def _best_and_gap(scores: np.ndarray, gaps: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the highest scores along the last axis, and how far below them the second ones are.

    Args:
        scores: Scores of the best path through each place of the last axis; they are overwritten.
        gaps: How far below it the second path through the same place is.
    """
    place = scores.argmax(axis=-1)[..., None]
    best = np.take_along_axis(scores, place, axis=-1)
    gap = np.take_along_axis(np.broadcast_to(gaps, scores.shape), place, axis=-1)
    np.put_along_axis(scores, place, best - gap, axis=-1)
    return best[..., 0], best[..., 0] - scores.max(axis=-1)
