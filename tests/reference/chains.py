"""Small linear chains and the scores of all their paths, by enumeration."""

from itertools import product

import numpy as np

from lac.network.viterbi import TransitionScores


def random_case(seed, batch=4, steps=5, tags=3, scale=2.0):
    random = np.random.default_rng(seed)
    emissions, start, stop, transitions = (
        random.normal(0, scale, shape).astype(np.float32)
        for shape in ((batch, steps, tags), (tags,), (tags,), (tags, tags))
    )
    lengths = random.integers(1, steps + 1, batch)
    lengths[0], lengths[-1] = steps, 1
    return emissions, lengths, TransitionScores(start, stop, transitions)


def path_score(emissions, path, scores):
    """Return the score of one sentence's path; emissions (length, tags)."""
    total = scores.start[path[0]] + scores.stop[path[-1]]
    total += sum(row[tag] for row, tag in zip(emissions, path))
    return total + sum(scores.transitions[pair] for pair in zip(path, path[1:]))


def all_scores(emissions, scores):
    """Return {path: score} of every path of one sentence."""
    paths = product(range(emissions.shape[1]), repeat=len(emissions))
    return {path: path_score(emissions.astype(np.float64), path, scores) for path in paths}
