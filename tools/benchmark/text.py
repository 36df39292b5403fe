"""Text to train on, made up."""

from pathlib import Path
from typing import Tuple

import numpy as np

from bilm.text.vocabulary import SPECIAL_TOKENS


def write_zipf_text(folder, vocab_size: int) -> Tuple[Path, Path]:
    """Write 8,000 sentences of 25 words by Zipf's law, and their vocabulary; return both paths."""
    words = [f"w{rank}" for rank in range(vocab_size - len(SPECIAL_TOKENS))]
    shares = 1.0 / np.arange(1, len(words) + 1)
    ranks = np.random.default_rng(0).choice(len(words), [8_000, 25], p=shares / shares.sum())
    text = Path(folder) / f"words_{vocab_size}.txt"
    text.write_text("\n".join(" ".join(words[rank] for rank in row) for row in ranks) + "\n",
                    encoding="utf-8")
    vocabulary = Path(folder) / f"vocabulary_{vocab_size}.txt"
    vocabulary.write_text("\n".join([*SPECIAL_TOKENS, *words]) + "\n", encoding="utf-8")
    return text, vocabulary
