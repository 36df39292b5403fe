"""Log-probability, in nats, of every word and sentence of a text, in both directions."""

import argparse
import json
import sys
from typing import Dict, Iterator, List, NamedTuple

import numpy as np
from tqdm import tqdm

from bilm.cli import run_main
from bilm.embed import plan_blocks
from bilm.embed_files import Lines, read_block
from bilm.errors import InputError
from bilm.evaluate import sentence_nats
from bilm.hardware import select_device, tune_cpu
from bilm.options import parse_boolean
from bilm.vocabulary import BOS, EOS


class Score(NamedTuple):
    """The log-probabilities of a sentence.

    Attributes:
        words: Its words.
        forward: log p(word | the words before it), one a word, and last that of </S>.
        backward: log p(word | the words after it), one a word, and last that of <S>; empty
            if the model has no backward direction.
    """

    words: List[str]
    forward: np.ndarray
    backward: np.ndarray


def score_sentences(model, vocabulary, sentences, batch_size: int = 32) -> List[Score]:
    """Return the scores of sentences, exact over the full vocabulary.

    A word outside the vocabulary has the probability of <UNK>. A sentence of no words has
    that of its border only.

    Args:
        model: A `BiLM` in evaluation mode.
        vocabulary: Its `Vocabulary`.
        sentences: Lists of words.
        batch_size: Sentences computed together; changes rounding only.
    """
    import paddle

    ids = [np.array([vocabulary.bos_id, *vocabulary.encode(words), vocabulary.eos_id])
           for words in sentences]
    order = sorted(range(len(ids)), key=lambda number: -len(ids[number]))
    found: Dict[int, list] = {}
    with paddle.no_grad():
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for direction in range(model.config.num_directions):
                rows = [ids[number][:: -1 if direction else 1] for number in batch]
                for number, nats in zip(batch, sentence_nats(model, direction, rows)):
                    found.setdefault(number, []).append(-nats)
    scores = []
    for number, words in enumerate(sentences):
        forward, *rest = found[number]
        backward = rest[0] if rest else np.empty(0, np.float32)
        # read from the end: the last word comes first, and the border stays last
        backward = np.concatenate([backward[:-1][::-1], backward[-1:]])
        scores.append(Score(list(words), forward, backward))
    return scores
