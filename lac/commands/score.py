"""`lac score`: precision, recall and F1 of any program's words and tags."""

from typing import Optional, Sequence

from bilm.program.json_output import write_report
from bilm.program.options import add_json_option
from bilm.program.parser import Parser
from lac.commands.options import add_known_words_option
from lac.file_scores import score_files
from lac.score_table import report_lines
from lac.tagged_files import read_tagged
from lac.word_scores import words_in


def build_parser() -> Parser:
    """Return the parser of `lac score`."""
    parser = Parser(
        "lac score",
        "How many words and tags of a tagged text another program found: line i of PREDICTED "
        "belongs to line i of GOLD. Both hold words, a tab and tags, or word/tag, with or without "
        "the marks B, I, E and S.",
        ["lac score data/lac/dev.tsv predicted.txt --train data/lac/train.tsv"],
    )
    add = parser.group("text").add_argument
    add("gold", metavar="GOLD", help="tagged text: the right words and tags")
    add("predicted", metavar="PREDICTED",
        help="the same text with predicted words and tags; -: stdin")
    add_known_words_option(parser)
    add_json_option(parser)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Score as the command line says."""
    options = build_parser().parse_args(arguments)
    is_known = words_in(read_tagged(options.train)).__contains__ if options.train else None
    report = score_files(options.gold, options.predicted, is_known).report()
    write_report(options.json, report)
    if options.json != "-":
        print("\n".join(report_lines(report)))
