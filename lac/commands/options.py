"""Flags that several verbs share."""

from typing import Sequence

from bilm.program.options import (
    add_device_options,
    add_json_option,
    add_obsolete_options,
    add_options,
    add_quiet_option,
    note_on_obsolete,
)
from bilm.program.parser import Parser
from lac.training.options import OBSOLETE, TaggerOptions


def add_model_option(parser: Parser) -> None:
    """Add the flag that names a tagger."""
    parser.group("model").add_argument(
        "--model", required=True, metavar="DIR",
        help="tagger's folder, training run's folder, or sample, which comes with this package",
    )


def add_tagger_options(parser: Parser) -> None:
    """Add the flags of programs that run a tagger: which one, and on what."""
    add_model_option(parser)
    add_batch_options(parser)


def add_batch_options(parser: Parser) -> None:
    """Add the flags that say how a tagger computes."""
    add_device_options(parser)
    parser.group("device").add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="sentences in a batch"
    )


def add_known_words_option(parser: Parser) -> None:
    """Add the flag that names the words that training had."""
    parser.group("text").add_argument(
        "--train", metavar="GLOB",
        help="tagged text of the training: words that it does not have are scored on their own",
    )


def new_training_parser(program: str, description: str, examples: Sequence[str]) -> Parser:
    """Return a parser with the flags of `TaggerOptions`, --json and --quiet."""
    parser = Parser(
        program, description, examples,
        notes=note_on_obsolete(OBSOLETE),
    )
    add_options(parser, TaggerOptions)
    add_obsolete_options(parser, OBSOLETE)
    add_json_option(parser, "the final figures as a JSON object")
    add_quiet_option(parser)
    return parser
