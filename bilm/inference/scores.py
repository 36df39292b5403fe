"""Log-probability, in nats, of every word and sentence of a text, in both directions."""

from typing import Dict, Iterator, List, NamedTuple

import numpy as np

from bilm.inference.perplexity import sentence_nats


class Score(NamedTuple):
    """The log-probabilities of a sentence.

    Attributes:
        words: Its words.
        forward: log p(word | words before it), one a word, and last that of `</S>`.
        backward: log p(word | the words after it), one a word, and last that of `<S>`; empty
            if the model has no backward direction.
    """

    words: List[str]
    forward: np.ndarray
    backward: np.ndarray


def score_sentences(model, vocabulary, sentences, batch_size: int = 32) -> List[Score]:
    """Return the scores of sentences, exact over the full vocabulary.

    A word outside the vocabulary has the probability of `<UNK>`. A sentence of no words has
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


def as_rows(line: int, score: Score, vocabulary) -> Iterator[str]:
    """Yield the lines of a table: line, place, word, whether known, forward, backward.

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


def as_object(line: int, score: Score, vocabulary) -> dict:
    """Return a JSON object with what `as_rows` tells."""
    found = {
        "line": line,
        "words": score.words,
        "known": [word in vocabulary for word in score.words],
    }
    for name, part in zip(("forward", "backward"), _halves(score)):
        found[name] = {
            "words": [float(_number(value)) for value in part[:-1]],
            "end": float(_number(part[-1])),
            "sum": float(_number(part.sum(dtype=np.float64))),
        }
    return found


def _halves(score):
    return [part for part in (score.forward, score.backward) if len(part)]


def _number(value):
    return f"{value:.6f}"
