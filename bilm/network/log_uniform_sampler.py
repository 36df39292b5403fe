"""Candidates for a sampled softmax, drawn without replacement."""

import numpy as np

from bilm.kernels.arguments import Candidates


class LogUniformSampler:
    """Draws classes without replacement, frequent ones (low ids) more often.

    A class k has log-uniform probability p_k = log((k + 2) / (k + 1)) / log(V + 1). The
    draw holds it with probability 1 - (1 - p_k)^tries, where tries makes these probabilities
    sum to num_candidates. It is systematic sampling from the classes in random order, so
    exactly num_candidates distinct classes are drawn and the probabilities are exact; for the
    usual loop, which draws and drops repetitions, they are known only approximately.

    Source: bilm-tf and LARK for the distribution; Hartley and Rao 1962, "Sampling with
    Unequal Probabilities and without Replacement", for the draw.

    Args:
        num_classes: V; ids must be ordered by falling frequency.
        num_candidates: Between 1 and num_classes.

    Raises:
        ValueError: It is not.
    """

    def __init__(self, num_classes: int, num_candidates: int):
        if not 1 <= num_candidates <= num_classes:
            raise ValueError(
                f"num_candidates must be between 1 and {num_classes}, not {num_candidates}"
            )
        self.num_candidates = num_candidates
        ranks = np.arange(num_classes, dtype=np.float64)
        probabilities = np.log1p(1 / (ranks + 1)) / np.log(num_classes + 1)
        self.expected_counts = _inclusion_probabilities(probabilities, num_candidates)

    def draw(self, targets: np.ndarray, random: np.random.Generator) -> Candidates:
        """Return candidates for the tokens that have the given targets.

        Args:
            targets: Class ids, shape (tokens,); the candidates do not depend on them.
            random: Its state moves on; the same state draws the same.
        """
        order = random.permutation(len(self.expected_counts))
        ends = np.cumsum(self.expected_counts[order])
        ends *= self.num_candidates / ends[-1]  # takes off the sum's rounding error
        marks = random.random() + np.arange(self.num_candidates)
        places = np.minimum(np.searchsorted(ends, marks, side="right"), len(order) - 1)
        ids = np.sort(order[places])
        places = np.minimum(np.searchsorted(ids, targets), len(ids) - 1)
        return Candidates(
            ids.astype(np.int64),
            self.expected_counts[ids],
            self.expected_counts[targets],
            np.where(ids[places] == targets, places, -1),
        )


def _inclusion_probabilities(probabilities, num_candidates):
    # 1 - (1 - p)^tries grows with tries; bisection finds where it sums to num_candidates
    if num_candidates == len(probabilities):
        return np.ones_like(probabilities)
    miss = np.log1p(-probabilities) if len(probabilities) > 1 else probabilities
    low, high = 0.0, 1.0
    while -np.expm1(high * miss).sum() < num_candidates:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if -np.expm1(middle * miss).sum() < num_candidates:
            low = middle
        else:
            high = middle
    inclusion = -np.expm1(high * miss)
    return inclusion * (num_candidates / inclusion.sum())
