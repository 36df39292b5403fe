"""Random numbers as a function of what they are for: nothing to save, nothing to restore."""

import numpy as np

# The position is part of the seed, so a new purpose goes to the end.
_PURPOSES = (
    "shards", "sentences", "candidates", "resets", "dropout", "initial weights", "tagged sentences",
    "unknown words", "ablation",
)


def seed_of(purpose: str, *numbers: int) -> np.random.SeedSequence:
    """Return the seed that belongs to a purpose and some numbers, such as seed and step.

    Args:
        purpose: One of those above; each must always come with as many numbers.
        *numbers: From 0 on; a resumed run gives the same ones.

    Raises:
        ValueError: There is no such purpose, or a number is negative.
    """
    return np.random.SeedSequence([_PURPOSES.index(purpose) + 1, *numbers])


def random_for(purpose: str, *numbers: int) -> np.random.Generator:
    """Return a generator seeded by `seed_of`."""
    return np.random.default_rng(seed_of(purpose, *numbers))


def seed_paddle(purpose: str, *numbers: int) -> None:
    """Seed Paddle's own random numbers, such as those of dropout, by `seed_of`."""
    import paddle

    paddle.seed(int(seed_of(purpose, *numbers).generate_state(1)[0]))
