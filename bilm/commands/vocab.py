"""Build a vocabulary from segmented text."""

from typing import Optional, Sequence

from bilm.program.json_output import write_report
from bilm.program.options import add_json_option, add_quiet_option
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `bilm vocab`."""
    parser = Parser(
        "bilm vocab",
        __doc__,
        ["bilm vocab 'corpus/train/*' --output corpus/vocabulary.txt --min_count 2"],
    )
    add = parser.group("words").add_argument
    add("patterns", nargs="+", metavar="GLOB", help="corpus files, folders or quoted globs")
    add("--min_count", type=int, default=1, metavar="N",
        help="leave out words that occur fewer times")
    add("--max_size", type=int, metavar="N",
        help="words at most, special tokens included (default: all)")
    parser.group("output").add_argument(
        "--output", required=True, metavar="FILE", help="the vocabulary's file; replaced"
    )
    add_json_option(parser)
    add_quiet_option(parser)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Build the vocabulary that the command line asks for and print its size and coverage."""
    options = vars(build_parser().parse_args(arguments))
    from bilm.text.vocabulary_builder import build_vocabulary

    json_path, quiet = options.pop("json"), options.pop("quiet")
    counts = build_vocabulary(**options, show_progress=not quiet)
    write_report(json_path, counts)
    if json_path != "-":
        print(f"tokens {counts['tokens']}")
        print(f"types {counts['types']}")
        print(f"vocabulary size {counts['vocabulary_size']}")
        print(f"coverage {counts['coverage_percent']:.2f} %")
