"""Sentences drawn from a biLM, one direction of it."""

from typing import Optional, Sequence

from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.inference.options import Sampling
from bilm.program.json_output import json_lines
from bilm.program.options import add_json_option, add_model_options
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `bilm generate`."""
    parser = Parser(
        "bilm generate",
        __doc__,
        ["bilm generate --model run --num_sentences 3",
         "bilm generate --model run --prefix '今天 天气' --top_p 0.9 --seed 7"],
    )
    add_model_options(parser)
    add, defaults = parser.group("sentences").add_argument, Sampling()
    add("--prefix", default="", metavar="WORDS",
        help="words, separated by spaces, to start with (with --backward: to end with)")
    add("--num_sentences", type=int, default=1, metavar="N", help="number of sentences")
    add("--max_words", type=int, default=50, metavar="N", help="words of a sentence, at most")
    add("--backward", action="store_true", help="draw from the end of the sentence to its start")
    add = parser.group("drawing").add_argument
    add("--temperature", type=float, default=defaults.temperature, metavar="X",
        help="below 1: likelier words; 0: always the likeliest")
    add("--top_k", type=int, default=defaults.top_k, metavar="N",
        help="draw from the N likeliest words; 0: from all")
    add("--top_p", type=float, default=defaults.top_p, metavar="X",
        help="draw from the likeliest words that together have probability X")
    add("--seed", type=int, default=0, metavar="N", help="random seed")
    add_json_option(parser, "an object a sentence")
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print generated sentences, words separated by spaces; a sentence cut short ends with …."""
    options = build_parser().parse_args(arguments)
    if options.seed < 0:
        raise InputError(f"--seed must not be negative, not {options.seed}")
    prepare_device(options.use_gpu, options.threads)  # before these imports of Paddle
    from bilm.inference.sampling import generate
    from bilm.storage.models import load_language_model
    from bilm.text.lines import split_words

    model, vocabulary, _ = load_language_model(options.model, options.vocab_path)
    sentences = generate(
        model,
        vocabulary,
        split_words(options.prefix),
        options.num_sentences,
        options.max_words,
        Sampling(options.temperature, options.top_k, options.top_p),
        options.backward,
        options.seed,
    )
    with json_lines(options.json) as write:
        for sentence in sentences:
            write(sentence._asdict())
            if options.json != "-":
                cut = [] if sentence.is_complete else ["…"]
                print(*([*cut, *sentence.words] if options.backward else [*sentence.words, *cut]))
