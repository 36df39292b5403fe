"""Sentences drawn from a biLM, one direction of it."""

from typing import List, NamedTuple, Sequence

import numpy as np
import paddle

from bilm.errors import InputError
from bilm.inference.options import Sampling
from bilm.network.model import BACKWARD, FORWARD, BiLM
from bilm.paddle_compat import as_tensor
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary


class Sentence(NamedTuple):
    """A generated sentence.

    Attributes:
        words: In text order, the given ones included.
        is_complete: Whether its border was drawn before it had the largest number of words.
    """

    words: List[str]
    is_complete: bool


def generate(
    model: BiLM,
    vocabulary: Vocabulary,
    given: Sequence[str] = (),
    num_sentences: int = 1,
    max_words: int = 50,
    sampling: Sampling = Sampling(),
    backward: bool = False,
    seed: int = 0,
) -> List[Sentence]:
    """Return sentences drawn word by word; `<UNK>` is never drawn.

    Args:
        model: In evaluation mode.
        vocabulary: The model's.
        given: Words that each sentence starts with or, backward, ends with.
        num_sentences: Number of sentences.
        max_words: Largest number of words of a sentence, the given ones included.
        sampling: How words are drawn.
        backward: Draw from the backward direction, from the end to the start.
        seed: Sentence n depends on the seed and on n, not on num_sentences.

    Raises:
        InputError: A value is out of range, or a given word is not in the vocabulary.
    """
    _check(model, vocabulary, given, num_sentences, max_words, sampling, backward)
    direction = BACKWARD if backward else FORWARD
    start, end = vocabulary.bos_id, vocabulary.eos_id
    if backward:
        start, end = end, start
    first = [start, *vocabulary.encode(reversed(given) if backward else given)]
    softmax = model.softmax_of(direction)
    randoms = [np.random.default_rng([seed, number]) for number in range(num_sentences)]
    drawn = [first[1:] for _ in range(num_sentences)]
    inputs, state, open_rows = np.array([first] * num_sentences), None, set(range(num_sentences))
    with paddle.no_grad():
        while open_rows and len(drawn[min(open_rows)]) < max_words:
            hidden, state = model.read([direction], as_tensor(inputs[None]), state)
            logits = paddle.matmul(hidden[0, :, -1], softmax.weight, transpose_y=True)
            logits = (logits + softmax.bias).numpy().astype(np.float64)
            logits[:, [start, vocabulary.unk_id]] = -np.inf
            inputs = np.array([[_draw(*pair, sampling)] for pair in zip(logits, randoms)])
            open_rows -= {row for row in open_rows if inputs[row, 0] == end}
            for row in open_rows:
                drawn[row].append(int(inputs[row, 0]))
    return [
        Sentence(vocabulary.decode(ids[::-1] if backward else ids), row not in open_rows)
        for row, ids in enumerate(drawn)
    ]


def _draw(logits, random, sampling):
    if sampling.temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")
    scaled = (logits[order] - logits[order[0]]) / sampling.temperature
    if sampling.top_k:
        scaled[sampling.top_k :] = -np.inf
    probabilities = np.exp(scaled)
    probabilities /= probabilities.sum()
    if sampling.top_p < 1:  # a word counts if those before it have not reached top_p
        before = np.cumsum(probabilities) - probabilities
        probabilities[before >= sampling.top_p] = 0
        probabilities /= probabilities.sum()
    return int(order[random.choice(len(order), p=probabilities)])


def _check(model, vocabulary, given, num_sentences, max_words, sampling, backward):
    for name, value in (("num_sentences", num_sentences), ("max_words", max_words)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")
    if len(given) > max_words:
        raise InputError(f"the given words are {len(given)}, max_words is {max_words}")
    if not 0 <= sampling.temperature < float("inf"):
        raise InputError(f"temperature must be a number from 0 on, not {sampling.temperature}")
    if sampling.top_k < 0 or not 0 < sampling.top_p <= 1:
        raise InputError(
            f"top_k must not be negative and top_p in (0, 1], not {sampling.top_k} and "
            f"{sampling.top_p}"
        )
    unknown = [word for word in given if word not in vocabulary or word in SPECIAL_TOKENS]
    if unknown:
        raise InputError(f"not among the words that the model knows: {', '.join(unknown)}")
    if backward and not model.config.bidirectional:
        raise InputError("the model has no backward direction")
