"""Flags that several verbs share."""

from bilm.program.options import add_device_options
from bilm.program.parser import Parser


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
