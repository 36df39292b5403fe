"""Log-probability, in nats, of every word and sentence of a text, in both directions."""

from typing import Dict, Iterator, List, NamedTuple, Sequence

import numpy as np
import paddle

from bilm.inference.batching import slices
from bilm.inference.perplexity import sentence_nats
from bilm.network.model import BiLM
from bilm.text.vocabulary import Vocabulary


class Score(NamedTuple):
    """The log-probabilities of a sentence.

    Attributes:
        words: The words of the sentence.
        forward: log p(word | words before it) of each word, then of `</S>`.
        backward: log p(word | words after it) of each word, then of `<S>`; empty if the model
            has no backward direction.
    """

    words: List[str]
    forward: np.ndarray
    backward: np.ndarray


def score_sentences(
    model: BiLM, vocabulary: Vocabulary, sentences: Sequence[Sequence[str]], batch_size: int = 32
) -> List[Score]:
    """Return the scores of sentences, exact over the full vocabulary.

    A word outside the vocabulary has the probability of `<UNK>`. A sentence without words has
    only that of its border.

    Args:
        model: In evaluation mode.
        vocabulary: The model's.
        sentences: Lists of words.
        batch_size: Sentences computed together; affects rounding only.
    """
    ids = [np.array([vocabulary.bos_id, *vocabulary.encode(words), vocabulary.eos_id])
           for words in sentences]
    longest_first = sorted(range(len(ids)), key=lambda number: len(ids[number]), reverse=True)
    log_probabilities: List[List[np.ndarray]] = [[] for _ in ids]  # forward, backward of each
    with paddle.no_grad():
        for batch in slices(longest_first, batch_size):
            for direction in range(model.config.num_directions):
                rows = [ids[number][:: -1 if direction else 1] for number in batch]
                for number, nats in zip(batch, sentence_nats(model, direction, rows)):
                    log_probabilities[number].append(-nats)
    scores = []
    for words, (forward, *rest) in zip(sentences, log_probabilities):
        backward = rest[0] if rest else np.empty(0, np.float32)
        # read from the end: the last word comes first, and the border stays last
        backward = np.concatenate([backward[:-1][::-1], backward[-1:]])
        scores.append(Score(list(words), forward, backward))
    return scores


def as_rows(line: int, score: Score, vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the rows of a table: line, place, word, whether known, forward, backward.

    The place "end" has the borders (`</S>` forward, `<S>` backward), "sum" the whole sentence.
    """
    places = [
        *((str(place), word, str(int(word in vocabulary)))
          for place, word in enumerate(score.words, start=1)),
        ("end", "", ""),
    ]
    for number, place in enumerate(places):
        yield "\t".join([str(line), *place, *(_number(part[number]) for part in _halves(score))])
    sums = (_number(part.sum(dtype=np.float64)) for part in _halves(score))
    yield "\t".join([str(line), "sum", "", "", *sums])


def as_object(line: int, score: Score, vocabulary: Vocabulary) -> Dict[str, object]:
    """Return the content of `as_rows` as a JSON object."""
    entry = {
        "line": line,
        "words": score.words,
        "known": [word in vocabulary for word in score.words],
    }
    for name, part in zip(("forward", "backward"), _halves(score)):
        entry[name] = {
            "words": [float(_number(value)) for value in part[:-1]],
            "end": float(_number(part[-1])),
            "sum": float(_number(part.sum(dtype=np.float64))),
        }
    return entry


def _halves(score):
    return [part for part in (score.forward, score.backward) if len(part)]


def _number(value):
    return f"{value:.6f}"
