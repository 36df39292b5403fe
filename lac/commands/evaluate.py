"""`lac evaluate`: precision, recall and F1 of a tagger on tagged text."""

from typing import Optional, Sequence

from bilm.hardware import prepare_device
from bilm.program.json_output import write_report
from bilm.program.options import add_json_option, add_quiet_option
from bilm.program.parser import Parser
from lac.commands.options import add_known_words_option, add_tagger_options


def build_parser() -> Parser:
    """Return the parser of `lac evaluate`."""
    parser = Parser(
        "lac evaluate",
        "How many words and tags of a tagged text a tagger finds.",
        ["lac evaluate --model tagger --data data/lac/dev.tsv --json scores.json"],
    )
    parser.group("text").add_argument(
        "--data", required=True, metavar="GLOB", help="tagged text: file, folder or glob"
    )
    add_known_words_option(parser)
    add_tagger_options(parser)
    add_json_option(parser)
    add_quiet_option(parser)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Evaluate as the command line says."""
    options = build_parser().parse_args(arguments)
    prepare_device(options.use_gpu, options.threads)  # before these imports of Paddle
    from lac.evaluate import score, warn_of_unknown_tags
    from lac.pretrained import load_predictor
    from lac.score_table import report_lines
    from lac.tagged_files import read_tagged
    from lac.word_scores import words_in

    predictor = load_predictor(options.model, options.batch_size)
    corpus = read_tagged(options.data, predictor.scheme)
    warn_of_unknown_tags(corpus, predictor.tags, options.data)
    is_known = words_in(read_tagged(options.train)).__contains__ if options.train else None
    report = score(predictor, corpus, is_known, show_progress=not options.quiet).report()
    write_report(options.json, report)
    if options.json != "-":
        print("\n".join(report_lines(report)))
