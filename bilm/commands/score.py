"""Log-probability, in nats, of every word and sentence of a text, in both directions."""

import sys
from itertools import islice
from typing import Optional, Sequence

from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.program.json_output import json_lines
from bilm.program.options import add_json_option, add_model_options, add_quiet_option
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `bilm score`."""
    parser = Parser(
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
    add_json_option(parser, "one object per line with the content of the table")
    add_quiet_option(parser)
    parser.group("device").add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="sentences computed together"
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print the scores of a text."""
    options = build_parser().parse_args(arguments)
    if options.batch_size < 1:
        raise InputError(f"--batch_size must be at least 1, not {options.batch_size}")
    prepare_device(options.use_gpu, options.threads)  # before these imports of Paddle
    from tqdm import tqdm

    from bilm.inference.batching import SORTED_SENTENCES
    from bilm.inference.scores import as_object, as_rows, score_sentences
    from bilm.storage.models import load_language_model
    from bilm.text.lines import Lines

    model, vocabulary, _ = load_language_model(options.model, options.vocab_path)
    is_table = options.json != "-"
    hidden = True if options.quiet or sys.stdout.isatty() else None
    with Lines(options.input) as lines, json_lines(options.json) as write, tqdm(
        unit="line", disable=hidden
    ) as bar:
        numbered = enumerate(lines)
        if is_table:
            names = ("forward", "backward")[: model.config.num_directions]
            print("line", "place", "word", "known", *names, sep="\t")
        while block := list(islice(numbered, SORTED_SENTENCES)):
            texts = [words for _, words in block]
            scores = score_sentences(model, vocabulary, texts, options.batch_size)
            for (line, _), score in zip(block, scores):
                write(as_object(line, score, vocabulary))
                if is_table:
                    print(*as_rows(line, score, vocabulary), sep="\n")
            bar.update(len(block))
