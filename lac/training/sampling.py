"""Which sentences of several corpora an epoch has, and in which order."""

from typing import List, Sequence

import numpy as np

from bilm.randomness import random_for


def epoch_order(
    sizes: Sequence[int], proportions: Sequence[float], seed: int, epoch: int
) -> np.ndarray:
    """Return the numbers of an epoch's sentences in random order, as many as there are in all.

    The corpora stand one after another. Each gives its share of the epoch: the next sentences of
    its random permutations, which follow one another through the epochs. So the sentences of
    a corpus have been read equally often, some of them once more.

    Args:
        sizes: Number of sentences of each corpus, at least 1.
        proportions: Share of each corpus, together 1.
        seed: Decides the permutations.
        epoch: From 0 on.

    Returns:
        int64, shape (sum of sizes,).

    Raises:
        ValueError: There are not as many proportions as sizes.
    """
    if len(sizes) != len(proportions):
        raise ValueError(f"{len(sizes)} sizes and {len(proportions)} proportions")
    first, parts = 0, []
    for corpus, (size, count) in enumerate(zip(sizes, shares(sum(sizes), proportions))):
        start, end = epoch * count, (epoch + 1) * count  # in its permutations, one after another
        turns = range(start // size, -(-end // size))
        order = [random_for("corpus", seed, corpus, turn).permutation(size) for turn in turns]
        if order:
            skipped = start - turns[0] * size
            parts.append(first + np.concatenate(order)[skipped : skipped + count])
        first += size
    return random_for("mixed corpora", seed, epoch).permutation(np.concatenate(parts))


def shares(total: int, proportions: Sequence[float]) -> List[int]:
    """Return `total` divided by proportions: whole numbers whose sum it is.

    They are the rounded products where the sum of these is the total; otherwise the products with
    the largest fractions are rounded up.

    Args:
        total: The number to divide.
        proportions: Together 1.
    """
    exact = np.array(proportions) * (total / sum(proportions))
    counts = np.floor(exact + 1e-9).astype(np.int64)  # 0.7 * 10 may be just below 7
    missing = total - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts.tolist()
