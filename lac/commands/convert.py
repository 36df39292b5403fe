"""Convert a biLM from one format to another; or, with `--to lac`, a folder of LARK's LAC demo.

LARK's demo saves the tagger's variables and those of its biLM in one folder. The tagger that is
written computes what the demo computed: variant "lark", a GRU that resets before its product, one
vocabulary for both, no folding of widths, decoding without constraints.
"""

import logging
from typing import Optional, Sequence

from bilm.commands.convert import new_convert_parser, run_conversion
from bilm.errors import InputError
from bilm.hardware import import_paddle
from bilm.program.json_output import write_report
from bilm.program.parser import Parser

_log = logging.getLogger("lac")

FORMAT = "lac"  # the name of a tagger's folder for --to


def build_parser() -> Parser:
    """Return the parser of `lac convert`."""
    parser = new_convert_parser("lac convert", __doc__, [
        "lac convert lark_model tagger --to lac --vocab words.txt --tags tags.txt",
        "lac convert run elmo-torch --to torch",
    ], (FORMAT,))
    parser.group("source").add_argument(
        "--tags", metavar="FILE", help="tags of a model of LARK's LAC demo"
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Convert as the command line says, and report."""
    options = build_parser().parse_args(arguments)
    if options.to != FORMAT:
        if options.tags:
            raise InputError(f"--tags goes with --to {FORMAT}")
        run_conversion(options)
        return
    unused = [
        flag for flag, value in (
            ("--from", options.source_format), ("--new_vocab", options.new_vocab),
            ("--dtype float16", options.dtype == "float16"),
            ("--weights_only", options.weights_only),
        ) if value
    ]
    if unused:
        raise InputError(f"--to {FORMAT} goes without {', '.join(unused)}")
    import_paddle()  # before this import of it
    from lac.convert import import_lark

    done = import_lark(
        options.source, options.target, options.vocab, options.tags,
        cell_clip=options.cell_clip, projection_clip=options.proj_clip,
    )
    write_report(options.json, done._asdict())
    if options.json != "-":
        print(f"LARK's LAC demo -> {options.target}: {done.tensors} tensors of the tagger, its "
              f"biLM, {done.words} words, {done.tags} tags; every tensor read back")
    if not options.vocab:
        _log.warning("no --vocab: the model takes ids only, and lac tag cannot use it")
    if not options.tags:
        _log.warning("no --tags: tags are numbers")
