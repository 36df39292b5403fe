"""Labelled sentences and the last layer, shared by classify.py and classify_static.py."""

from pathlib import Path

import numpy as np
import paddle

from bilm.text.segmenters import SegmentationOptions, load_segmenter, segment_sentence

LABELS = ("negative", "positive")
DATA = Path(__file__).parents[1] / "data/sentiment"


def read_sentences(path):
    """Read a file of lines `label<TAB>raw sentence`; return the words and target of each."""
    cut = load_segmenter(SegmentationOptions())
    rows = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [(segment_sentence(text, cut), LABELS.index(label)) for label, text in rows]


def encode(sentences, vocabulary):
    """Return token ids (sentences, steps), lengths and targets (sentences,)."""
    words, targets = zip(*sentences)
    # an unknown word is read as its characters, many of which are words themselves
    words = [[token for word in row for token in ([word] if word in vocabulary else word)]
             for row in words]
    return (*vocabulary.pad(words), np.array(targets))


def pool(vectors, lengths):
    """Return mean, maximum and minimum of (batch, steps, features) over the steps of each row."""
    beyond = paddle.arange(paddle.shape(vectors)[1]).astype("int64") >= lengths.unsqueeze(1)
    beyond = beyond.astype("float32").unsqueeze(-1)
    mean = (vectors * (1 - beyond)).sum(axis=1) / lengths.unsqueeze(1).astype("float32")
    far = 1e9 * beyond
    return paddle.concat([mean, (vectors - far).max(axis=1), (vectors + far).min(axis=1)], axis=-1)


def last_layer(features):
    """Return the layer from pooled features to scores, initialised to 0 and thus not random."""
    zeros = paddle.nn.initializer.Constant(0.0)
    return paddle.nn.Linear(3 * features, len(LABELS), weight_attr=zeros)
