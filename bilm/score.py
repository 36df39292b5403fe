"""Log-probability, in nats, of every word and sentence of a text, in both directions."""

import sys
from itertools import islice
from typing import Dict, Iterator, List, NamedTuple

import numpy as np
from tqdm import tqdm

from bilm.cli import run_main
from bilm.embed_files import Lines
from bilm.errors import InputError
from bilm.evaluate import sentence_nats
from bilm.figures import json_lines
from bilm.hardware import prepare_device
from bilm.options import add_json_option, add_model_options, add_quiet_option, new_parser
from bilm.parser import Parser

_LINES_AT_ONCE = 4096  # sorted by length to fill batches


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


def build_parser() -> Parser:
    """Return the parser of `bilm score`."""
    parser = new_parser(
        "bilm score",
        __doc__,
        ["bilm score corpus/dev/sentence_file_00000 --model run > scores.tsv",
         "echo '明天 会 下雨 。' | bilm score --model run --json -"],
    )
    parser.group("text").add_argument(
        "input", metavar="INPUT", nargs="?", default="-",
        help="a sentence a line, words separated by spaces; .gz; - (the default): stdin",
    )
    add_model_options(parser)
    add_json_option(parser, "an object a line with what the table tells")
    add_quiet_option(parser)
    parser.group("device").add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="sentences computed together"
    )
    return parser


def main(arguments=None) -> None:
    """Print the scores of a text."""
    options = build_parser().parse_args(arguments)
    if options.batch_size < 1:
        raise InputError(f"--batch_size must be at least 1, not {options.batch_size}")
    prepare_device(options.use_gpu, options.threads)
    from bilm.pretrained import load_language_model

    model, checkpoint = load_language_model(options.model, options.vocab_path)
    vocabulary, is_table = checkpoint.vocabulary, options.json != "-"
    hidden = True if options.quiet or sys.stdout.isatty() else None
    with Lines(options.input) as lines, json_lines(options.json) as write, tqdm(
        unit="line", disable=hidden
    ) as bar:
        numbered = enumerate(lines)
        if is_table:
            names = ("forward", "backward")[: model.config.num_directions]
            print("line", "place", "word", "known", *names, sep="\t")
        while block := list(islice(numbered, _LINES_AT_ONCE)):
            texts = [words for _, words in block]
            scores = score_sentences(model, vocabulary, texts, options.batch_size)
            for (line, _), score in zip(block, scores):
                write(as_object(line, score, vocabulary))
                if is_table:
                    print(*as_rows(line, score, vocabulary), sep="\n")
            bar.update(len(block))


if __name__ == "__main__":
    run_main(main)
