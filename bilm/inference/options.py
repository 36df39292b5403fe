"""What parsers need to know of inference; without Paddle, so that --help is fast."""

from typing import NamedTuple

LAYERS = ("all", "top", "mix", "average")  # of an `Embedder`
OOV_WARNING_RATE = 0.05  # a larger share of unknown words suggests another segmentation


class Sampling(NamedTuple):
    """How `bilm.inference.sampling.generate` draws the next word.

    Attributes:
        temperature: Logits are divided by it; values below 1 favour likely words. With 0 the
            likeliest word is always taken.
        top_k: Draw from this many of the likeliest words; 0: from all.
        top_p: Draw from the smallest set of likeliest words that have this probability together.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
