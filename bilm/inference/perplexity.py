"""Exact perplexity: the full softmax over every token of every sentence."""

import logging
import math
from itertools import islice
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional

import numpy as np

from bilm.text.corpus import Corpus, WindowReader
from bilm.text.segmentation import load_segmentation, segmentation_differences
from bilm.training.metrics import perplexity_of

_log = logging.getLogger("bilm")

OOV_WARNING_RATE = 0.05
# Sentences are sorted by length within so many, or so many tokens, to fill batches with little
# padding.
_SORTED_SENTENCES = 4096
_SORTED_TOKENS = 1 << 20
# A window holds at most so many tokens; longer sentences run in several windows with carried
# state, which gives the same values.
_WINDOW_TOKENS = 4096


class Totals(NamedTuple):
    """Sums over the evaluated text; addition is exact enough to do in any order.

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
    model,
    corpus: Corpus,
    batch_size: int = 32,
    stateful: bool = False,
    num_steps: int = 20,
    progress=None,
    first: int = 0,
    stride: int = 1,
) -> Totals:
    """Return the summed cross entropy of a corpus; no token is dropped or drawn.

    By default each sentence starts from a zero state, so its value depends on nothing
    else. Targets include `</S>` forward and `<S>` backward.

    Args:
        model: A `BiLM`; it is in the mode it was in when this returns.
        corpus: The text.
        batch_size: Sentences, or rows, computed together; changes rounding only.
        stateful: Run windows of num_steps with carried state over consecutive sentences,
            as in training. Then batch_size decides which sentences follow each other.
        num_steps: Steps of a window if stateful.
        progress: Called with the number of sentences, or of tokens if stateful, after each batch.
        first: Evaluate only the batches first, first + stride, ...: so several processes
            share the work. Not if stateful.
        stride: See first.
    """
    import paddle

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
    batches = sentence_batches((ids for ids, _ in corpus.sentences()), batch_size)
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


def sentence_batches(sentences: Iterable[np.ndarray], size: int) -> Iterator[List[np.ndarray]]:
    """Yield batches of at most `size` sentences of similar length, the longest first.

    Sentences are arrays of token ids, shape (tokens,). Similar length is among neighbours, of which
    so many are held as bounded memory allows.
    """
    for block in _blocks(sentences):
        block.sort(key=len, reverse=True)
        for start in range(0, len(block), size):
            yield block[start : start + size]


def _blocks(sentences):
    block, tokens = [], 0
    for ids in sentences:
        block.append(ids)
        tokens += len(ids)
        if len(block) >= _SORTED_SENTENCES or tokens >= _SORTED_TOKENS:
            yield block
            block, tokens = [], 0
    if block:
        yield block


def sentence_nats(model, direction: int, sentences: List[np.ndarray]) -> List[np.ndarray]:
    """Return the cross entropy of each token but the first of sentences, in nats.

    Args:
        model: A `BiLM` in evaluation mode; no gradient must be asked for.
        direction: FORWARD or BACKWARD.
        sentences: Ids in reading order, with both borders; longest sentences first.

    Returns:
        float32 arrays of shape (tokens - 1,), in the order of the sentences.
    """
    found = [[] for _ in sentences]
    state, steps_done = None, 0
    while sentences:
        steps = max(1, _WINDOW_TOKENS // len(sentences))
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
            found[row].append(part)
        steps_done += steps
        sentences = [ids for ids in sentences if len(ids) - 1 > steps_done]
        state = type(state)(*(values[:, : len(sentences)] for values in state))
    return [np.concatenate(parts) for parts in found]


def _window_nats(model, direction, inputs, targets, mask, state):
    """Return the nats of the places in `mask`, row by row, and the new state."""
    import paddle

    from bilm.network.losses import full_softmax_nats

    hidden, state = model.predict_from(direction, paddle.to_tensor(inputs), state)
    places = np.flatnonzero(mask)
    hidden = hidden.reshape([-1, hidden.shape[-1]])
    if len(places) < mask.size:
        hidden = paddle.gather(hidden, paddle.to_tensor(places))
    softmax = model.softmax_of(direction)
    targets = paddle.to_tensor(targets.reshape(-1)[places])
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


def summarise(totals: Totals) -> dict:
    """Return the figures of an evaluation as a JSON object.

    Returns:
        `forward` and `backward` with nats, tokens and perplexity each; `perplexity`, the
        exponential of all nats over all predictions; `tokens`, the predictions of both
        directions together; `oov_rate`, unknown words over words; `sentences`.
    """
    report: Dict[str, object] = {}
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

    Probabilities are the counts of `train` plus one, over both directions' targets: words,
    and one boundary a sentence.

    Args:
        train: What is counted, with the same vocabulary as `test`.
        test: What is predicted; it must hold a sentence.

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


def warn_of_segmentation(trained: Optional[dict], corpus: Corpus) -> None:
    """Warn of each folder of `corpus` that was segmented in another way than `trained` tells.

    Args:
        trained: Of a model; None, where it is not known, warns of nothing.
        corpus: Its folders' segmentation.json is read, where there is one.

    Raises:
        InputError: A segmentation.json is damaged.
    """
    for folder in sorted({shard.parent for shard in corpus.shards}):
        present = load_segmentation(folder)
        differences = segmentation_differences(trained, present) if trained and present else []
        if differences:
            _log.warning(
                f"{folder} was segmented differently than the model's training text: "
                + "; ".join(differences)
            )
