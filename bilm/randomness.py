"""Random numbers as a function of their purpose, so that there is no state to save or restore."""

import numpy as np

# The position is part of the seed, so a new purpose goes to the end.
_PURPOSES = (
    "shards", "sentences", "candidates", "resets", "dropout", "initial weights", "tagged sentences",
    "unknown words", "ablation", "corpus", "mixed corpora",
)


def random_for(purpose: str, *numbers: int) -> np.random.Generator:
    """Return the generator that belongs to a purpose and some numbers, such as seed and step.

    Args:
        purpose: One of those above; each must always come with the same number of numbers.
        numbers: From 0 on; a resumed run passes the same ones.

    Raises:
        ValueError: There is no such purpose, or a number is negative.
    """
    return np.random.default_rng(_seed_of(purpose, numbers))


def seed_for(purpose: str, *numbers: int) -> int:
    """Return a seed for a generator of another library, such as `paddle.seed`.

    Args:
        purpose: See `random_for`.
        numbers: See `random_for`.

    Raises:
        ValueError: There is no such purpose, or a number is negative.
    """
    return int(_seed_of(purpose, numbers).generate_state(1)[0])


def _seed_of(purpose, numbers):
    return np.random.SeedSequence([_PURPOSES.index(purpose) + 1, *numbers])
