"""Labelled sentences as batches, and the last layer: what all ways of `classify.py` share."""

from pathlib import Path

import numpy as np
import paddle

from bilm.segmenters import SegmentationOptions, load_segmenter, segment_sentence

LABELS = ("negative", "positive")
DATA = Path(__file__).parents[1] / "data/sentiment"


def read_sentences(path):
    """Return the words and the target of each line: label, tab, raw sentence."""
    cut = load_segmenter(SegmentationOptions())
    rows = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [(segment_sentence(text, cut), LABELS.index(label)) for label, text in rows]


def encode(sentences, vocabulary):
    """Return token ids (sentences, steps), lengths and targets (sentences,)."""
    words, targets = zip(*sentences)
    # an unknown word is read as its characters, of which many are words themselves
    words = [[token for word in row for token in ([word] if word in vocabulary else word)]
             for row in words]
    return (*vocabulary.pad(words), np.array(targets))


def batches(data, rows, size=16):
    """Yield what `encode` returned for `rows`, some at a time.

    All have the same number of steps: on Paddle 2.6 a static program of any number of steps fails
    on a batch that has fewer of them than one before.
    """
    for start in range(0, len(rows), size):
        yield [array[rows[start : start + size]] for array in data]


class Head(paddle.nn.Layer):
    """From vectors (batch, steps, features) to scores (batch, 2); padding does not count."""

    def __init__(self, features):
        super().__init__()
        zeros = paddle.nn.initializer.Constant(0.0)  # nothing is drawn: both modes start equal
        self.linear = paddle.nn.Linear(2 * features, len(LABELS), weight_attr=zeros)

    def forward(self, vectors, lengths):
        mask = paddle.arange(paddle.shape(vectors)[1]).astype("int64") < lengths.unsqueeze(1)
        mask = mask.astype("float32").unsqueeze(-1)
        mean = (vectors * mask).sum(axis=1) / lengths.unsqueeze(1).astype("float32")
        largest = (vectors - 1e9 * (1 - mask)).max(axis=1)
        return self.linear(paddle.concat([mean, largest], axis=-1))
