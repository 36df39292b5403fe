"""Convert a biLM from one format to another, and check the result."""

import logging
import time
from argparse import Namespace
from typing import Optional, Sequence

from bilm.conversion.convert import convert
from bilm.program.json_output import write_report
from bilm.program.options import add_json_option, add_quiet_option
from bilm.program.parser import Parser
from bilm.storage.formats.known import FORMATS

_log = logging.getLogger("bilm")


def new_convert_parser(
    prog: str, description: str, examples: Sequence[str], other_formats: Sequence[str] = ()
) -> Parser:
    """Return the parser of the command line; other programs may know more formats to write."""
    parser = Parser(prog, description, examples)
    add = parser.group("source").add_argument
    add("source", metavar="SRC", help="model folder or file, in any known format")
    add("--from", dest="source_format", choices=FORMATS, help="format of SRC (default: detected)")
    add("--vocab", metavar="FILE", help="vocabulary of a model that comes without")
    add("--cell_clip", type=float, metavar="X",
        help="largest absolute value in a cell, if SRC does not specify it (default: 3.0)")
    add("--proj_clip", type=float, metavar="X",
        help="largest absolute value in a projection, if SRC does not specify it (default: 3.0)")
    add = parser.group("output").add_argument
    add("target", metavar="DST", help="folder to write; it appears whole or not at all")
    add("--to", required=True, choices=(*FORMATS, *other_formats), help="format to write")
    add("--new_vocab", metavar="FILE", help="move embedding and softmax to this vocabulary")
    add("--dtype", choices=("float32", "float16"), default="float32", help="type to store")
    add("--weights_only", action="store_true",
        help="leave out the optimiser's moments, which only further training needs")
    add("--no-verify", "--no_verify", dest="verify", action="store_false",
        help="do not read the result back")
    add_json_option(parser, "what was done as a JSON object")
    add_quiet_option(parser)
    return parser


def build_parser() -> Parser:
    """Return the parser of `bilm convert`."""
    return new_convert_parser("bilm convert", __doc__, [
        "bilm convert run elmo-torch --to torch",
        "bilm convert lark_checkpoint model --to bilm --vocab vocabulary.txt",
    ])


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Convert as the command line says, and report it."""
    run_conversion(build_parser().parse_args(arguments))


def run_conversion(options: Namespace) -> None:
    """Convert as the parsed `options` of `new_convert_parser` say, and report it.

    Raises:
        InputError: As of `convert`.
    """
    start = time.monotonic()
    done = convert(
        options.source, options.target, options.to, options.source_format, options.vocab,
        options.new_vocab, options.dtype, options.verify, show_progress=not options.quiet,
        weights_only=options.weights_only, cell_clip=options.cell_clip,
        projection_clip=options.proj_clip,
    )
    seconds = time.monotonic() - start
    for phrase in done.lost:
        _log.warning(f"{options.to} cannot hold {phrase}")
    for phrase in done.warnings:
        _log.warning(phrase)
    write_report(options.json, {**done._asdict(), "seconds": round(seconds, 3)})
    if options.json != "-":
        _print(done, options, seconds)


def _print(done, options, seconds) -> None:
    print(
        f"{done.source_format} -> {options.to}: {done.num_tensors} tensors, {done.num_moments} "
        f"moments, {done.num_bytes / 1e6:.1f} MB in {seconds:.1f} s"
    )
    if done.differences:
        largest = ", ".join(f"{name} {value:.1e}" for name, value in done.differences.items())
        print(f"verified: every tensor read back; largest difference of outputs: {largest}")
    elif options.verify:
        print("verified: every tensor read back; outputs not compared: there are odd values")
    if done.words:
        print(f"vocabulary: {done.words}")
