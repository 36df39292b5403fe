"""Exact perplexity: the full softmax over every token of every sentence."""

import math
from itertools import chain, islice
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import paddle

from bilm.inference.batching import BATCH_TOKENS, slices, sorted_blocks
from bilm.network.losses import full_softmax_nats
from bilm.network.model import BiLM
from bilm.paddle_compat import as_tensor
from bilm.text.corpus import Corpus, WindowReader

Progress = Optional[Callable[[int], object]]


class Totals(NamedTuple):
    """Sums over the evaluated text.

    Attributes:
        nats: Summed cross entropy of each direction.
        tokens: Predicted tokens, for one direction: words and one boundary a sentence.
        words: Words, boundaries left out.
        unknown: Words that are not in the vocabulary.
        sentences: Sentences.
    """

    nats: np.ndarray
    tokens: int
    words: int
    unknown: int
    sentences: int


def evaluate(
    model: BiLM,
    corpus: Corpus,
    batch_size: int = 32,
    stateful: bool = False,
    num_steps: int = 20,
    progress: Progress = None,
    first: int = 0,
    stride: int = 1,
) -> Totals:
    """Return the summed cross entropy of a corpus; no token is left out or sampled.

    By default each sentence starts from a zero state, so that its value depends on nothing
    else. Targets include `</S>` forward and `<S>` backward.

    Args:
        model: Evaluated in evaluation mode, then returned to its present mode.
        corpus: The text.
        batch_size: Sentences, or rows, computed together; affects rounding only.
        stateful: Run windows of num_steps with carried state over consecutive sentences, as in
            training. Then batch_size determines which sentences follow each other.
        num_steps: Steps of a window if stateful.
        progress: Called with the number of sentences, or of tokens if stateful, after each batch.
        first: Evaluate only the batches first, first + stride, ..., so that several processes
            can share the work. Ignored if stateful.
        stride: See first.
    """
    was_training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            if stateful:
                return _evaluate_stateful(model, corpus, batch_size, num_steps, progress)
            return _evaluate_sentences(model, corpus, batch_size, progress, first, stride)
    finally:
        if was_training:
            model.train()


def _evaluate_sentences(model, corpus, batch_size, progress, first, stride):
    nats = np.zeros(model.config.num_directions)
    tokens = words = unknown = sentences = 0
    blocks = sorted_blocks(ids for ids, _ in corpus.sentences())
    batches = chain.from_iterable(slices(block, batch_size) for block in blocks)
    for batch in islice(batches, first, None, stride):
        for direction in range(len(nats)):
            ordered = batch if direction == 0 else [ids[::-1] for ids in batch]
            for part in sentence_nats(model, direction, ordered):
                nats[direction] += part.sum(dtype=np.float64)
        lengths = np.array([len(ids) for ids in batch])
        tokens += int((lengths - 1).sum())
        words += int((lengths - 2).sum())
        unknown += sum(int((ids == model.config.unk_id).sum()) for ids in batch)
        sentences += len(batch)
        if progress:
            progress(len(batch))
    return Totals(nats, tokens, words, unknown, sentences)


def sentence_nats(
    model: BiLM, direction: int, sentences: Sequence[np.ndarray]
) -> List[np.ndarray]:
    """Return the cross entropy, in nats, of each token of sentences except the first.

    Args:
        model: In evaluation mode; gradients must be off.
        direction: FORWARD or BACKWARD.
        sentences: Ids in reading order, with both borders; longest sentences first.

    Returns:
        float32 arrays of shape (tokens - 1,), in the order of the sentences.
    """
    parts: List[List[np.ndarray]] = [[] for _ in sentences]
    state, steps_done = None, 0
    while sentences:
        steps = max(1, BATCH_TOKENS // len(sentences))
        steps = min(steps, len(sentences[0]) - 1 - steps_done)
        inputs = np.full((len(sentences), steps), model.config.eos_id)
        targets, mask = inputs.copy(), np.zeros(inputs.shape, bool)
        for row, ids in enumerate(sentences):
            window = ids[steps_done : steps_done + steps + 1]
            filled = slice(len(window) - 1)
            inputs[row, filled], targets[row, filled] = window[:-1], window[1:]
            mask[row, filled] = True
        nats, state = _window_nats(model, direction, inputs, targets, mask, state)
        ends = np.cumsum(mask.sum(axis=1))[:-1]
        for row, part in enumerate(np.split(nats, ends)):
            parts[row].append(part)
        steps_done += steps
        sentences = [ids for ids in sentences if len(ids) - 1 > steps_done]
        state = type(state)(*(values[:, :, : len(sentences)] for values in state))
    return [np.concatenate(windows) for windows in parts]


def _window_nats(model, direction, inputs, targets, mask, state):
    """Return the nats at the positions in `mask`, row by row, and the new state."""
    hidden, state = model.read([direction], as_tensor(inputs[None]), state)
    places = np.flatnonzero(mask)
    hidden = hidden.reshape([-1, hidden.shape[-1]])
    if len(places) < mask.size:
        hidden = paddle.gather(hidden, as_tensor(places))
    softmax = model.softmax_of(direction)
    targets = as_tensor(targets.reshape(-1)[places])
    nats = full_softmax_nats(hidden, targets, softmax.weight, softmax.bias)
    return nats.numpy(), state


def _evaluate_stateful(model, corpus, batch_size, num_steps, progress):
    config = model.config
    nats = np.zeros(config.num_directions)
    states = [None] * len(nats)
    tokens = words = unknown = sentences = 0
    for batch in WindowReader(corpus, batch_size, num_steps, len(nats)):
        mask = np.ones(batch.inputs.shape[1:], bool) if batch.mask is None else batch.mask
        for direction in range(len(nats)):
            window_nats, states[direction] = _window_nats(
                model,
                direction,
                batch.inputs[direction],
                batch.targets[direction],
                mask,
                states[direction],
            )
            nats[direction] += window_nats.sum(dtype=np.float64)
        ends = int((batch.targets[0][mask] == config.eos_id).sum())
        tokens, sentences = tokens + batch.num_tokens, sentences + ends
        words += batch.num_tokens - ends
        unknown += int((batch.targets[0][mask] == config.unk_id).sum())
        if progress:
            progress(batch.num_tokens)
    return Totals(nats, tokens, words, unknown, sentences)


def perplexity_of(nats: float) -> float:
    """Return exp(nats), at most the largest float."""
    return math.exp(min(nats, 709.0))


def summarise(totals: Totals) -> Dict[str, Any]:
    """Return the results of an evaluation as a JSON object.

    Returns:
        `forward` and `backward` with nats, tokens and perplexity each; `perplexity`, the
        exponential of all nats over all predictions; `tokens`, the predictions of both
        directions together; `oov_rate`, unknown words over words; `sentences`.
    """
    report: Dict[str, Any] = {}
    for name, nats in zip(("forward", "backward"), totals.nats.tolist()):
        report[name] = {
            "nats": nats,
            "tokens": totals.tokens,
            "perplexity": perplexity_of(nats / totals.tokens),
        }
    predictions = totals.tokens * len(totals.nats)
    report["perplexity"] = perplexity_of(float(totals.nats.sum()) / predictions)
    report["tokens"] = predictions
    report["oov_rate"] = totals.unknown / totals.words
    report["sentences"] = totals.sentences
    return report


def unigram_perplexity(train: Corpus, test: Corpus) -> float:
    """Return the perplexity of a unigram model on the tokens that `evaluate` predicts.

    Probabilities are proportional to the counts in `train` plus one, of words and of one
    boundary a sentence.

    Args:
        train: The text to count, with the same vocabulary as `test`.
        test: The text to predict; it must hold a sentence.

    Raises:
        InputError: A line of either is not UTF-8.
    """
    counts = [np.ones(len(corpus.vocabulary)) for corpus in (train, test)]
    for count, corpus in zip(counts, (train, test)):
        for ids, _ in corpus.sentences():
            np.add.at(count, ids[1:], 1)
    probabilities = counts[0] / counts[0].sum()
    occurrences = counts[1] - 1
    return math.exp(-(occurrences * np.log(probabilities)).sum() / occurrences.sum())
