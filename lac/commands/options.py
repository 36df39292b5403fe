"""Flags that several verbs share."""

import argparse
import logging
from typing import Any, Dict, Sequence

from bilm.program.options import (
    add_device_options,
    add_json_option,
    add_options,
    add_quiet_option,
)
from bilm.program.parser import Parser
from lac.training.options import OBSOLETE, TaggerOptions

_log = logging.getLogger("lac")


def add_model_option(parser: Parser) -> None:
    """Add the flag that names a tagger."""
    parser.group("model").add_argument(
        "--model", required=True, metavar="DIR",
        help="tagger's folder, training run's folder, or sample, which comes with this package",
    )


def add_tagger_options(parser: Parser) -> None:
    """Add the flags of programs that run a tagger: which one, and on what."""
    add_model_option(parser)
    add_device_options(parser)
    parser.group("device").add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="sentences in a batch"
    )


def new_training_parser(program: str, description: str, examples: Sequence[str]) -> Parser:
    """Return a parser with the flags of `TaggerOptions`, --json and --quiet."""
    parser = Parser(
        program, description, examples,
        notes="obsolete, accepted for LARK's scripts: "
        + ", ".join(f"--{name}" for name, _ in OBSOLETE),
    )
    add_options(parser, TaggerOptions)
    for name, _ in OBSOLETE:
        parser.add_argument(f"--{name}", nargs="?", default=argparse.SUPPRESS,
                            help=argparse.SUPPRESS)
    add_json_option(parser, "the final figures as a JSON object")
    add_quiet_option(parser)
    return parser


def without_obsolete(given: Dict[str, Any]) -> Dict[str, Any]:
    """Return the flags that were given without LARK's obsolete ones, which are warned about."""
    for name, advice in OBSOLETE:
        if name in given:
            _log.warning(f"--{name} is obsolete and ignored: {advice}")
    obsolete = {name for name, _ in OBSOLETE}
    return {name: value for name, value in given.items() if name not in obsolete}
