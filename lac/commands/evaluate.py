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
    parser.group("text").add_argument(
        "--input", choices=("raw", "segmented"), default="raw",
        help="raw: the words are joined, and the tagger cuts; segmented: it gets the words"
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
    from lac.evaluate import score, texts_of, warn_of_unknown_types
    from lac.pretrained import analyser_of, load_tagger
    from lac.score_table import report_lines
    from lac.tagged_files import read_tagged
    from lac.word_scores import words_in

    tagger, stored = load_tagger(options.model)
    analyser = analyser_of(tagger, stored, options.batch_size)
    is_raw = options.input == "raw"
    corpus = read_tagged(options.data)
    warn_of_unknown_types(corpus, stored, options.data)
    texts = texts_of(corpus) if is_raw else [" ".join(each.tokens) for each in corpus.sentences]
    cut = analyser.cut_texts(texts, stored.customization, segmented=not is_raw)
    known = words_in(read_tagged(options.train)) if options.train else stored.training_words
    report = score(
        analyser, corpus, cut, stored.customization if is_raw else None, known,
        show_progress=not options.quiet,
    ).report()
    write_report(options.json, report)
    if options.json != "-":
        print("\n".join(report_lines(report)))
