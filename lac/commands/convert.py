"""Convert a biLM from one format to another; or, with `--to lac`, a tagger of Baidu's.

A folder `lac_model`, `seg_model` or `rank_model` of Baidu's LAC 2 becomes a tagger that gives the
same words, tags and ranks.

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
from lac.baidu import is_baidu_folder

_log = logging.getLogger("lac")

FORMAT = "lac"  # the name of a tagger's folder for --to


def build_parser() -> Parser:
    """Return the parser of `lac convert`."""
    parser = new_convert_parser("lac convert", __doc__, [
        "lac convert LAC/lac_model baidu-lac --to lac",
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
    is_baidu = is_baidu_folder(options.source)
    not_of_baidu = [
        flag for flag in ("vocab", "tags", "cell_clip", "proj_clip")
        if is_baidu and getattr(options, flag) is not None
    ]
    if not_of_baidu:
        raise InputError(f"{options.source}: a folder of Baidu's LAC 2 has its own dictionaries; "
                         f"leave out --{', --'.join(not_of_baidu)}")
    import_paddle()  # before this import of it
    from lac.convert import import_baidu, import_lark

    if is_baidu:
        imported = import_baidu(options.source, options.target)
        write_report(options.json, imported._asdict())
        if options.json != "-":
            print(f"Baidu's LAC 2 -> {options.target}: {imported.tensors} tensors, "
                  f"{imported.words} words, {imported.tags} tags; every tensor read back")
        return
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
