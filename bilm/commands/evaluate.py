"""Exact perplexity: the full softmax over every token of every sentence."""

import logging
from typing import Optional, Sequence

from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.inference.options import OOV_WARNING_RATE
from bilm.program.json_output import write_report
from bilm.program.options import add_json_option, add_model_options, add_quiet_option
from bilm.program.parser import Parser

_log = logging.getLogger("bilm")


def build_parser() -> Parser:
    """Return the parser of `bilm evaluate`."""
    parser = Parser(
        "bilm evaluate",
        __doc__,
        ["bilm evaluate --model run --data 'corpus/dev/*' --json figures.json",
         "bilm evaluate --model run --data 'corpus/dev/*' --stateful --num_steps 20"],
    )
    add_model_options(parser)
    add = parser.group("data").add_argument
    add("--data", required=True, action="append", metavar="GLOB",
        help="segmented text; may be given several times")
    add("--unigram", metavar="GLOB", action="append",
        help="also report a unigram model counted on this text, for comparison")
    add = parser.group("computation").add_argument
    add("--batch_size", type=int, default=32, metavar="N", help="sentences computed together")
    add("--stateful", action="store_true", help="windows with carried state")
    add("--num_steps", type=int, default=20, metavar="N", help="tokens of a stateful window")
    add_json_option(parser)
    add_quiet_option(parser)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Evaluate a model as the command line says."""
    options = build_parser().parse_args(arguments)
    for name in ("batch_size", "num_steps"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1, not {getattr(options, name)}")
    prepare_device(options.use_gpu, options.threads)  # before these imports of Paddle
    from tqdm import tqdm

    from bilm.inference.perplexity import evaluate, summarise, unigram_perplexity
    from bilm.storage.models import load_language_model
    from bilm.text.corpus import Corpus
    from bilm.text.segmentation import warn_of_segmentation

    model, vocabulary, segmentation = load_language_model(options.model, options.vocab_path)
    corpus = Corpus(options.data, vocabulary)
    train = Corpus(options.unigram, vocabulary) if options.unigram else None
    counts = corpus.count()
    warn_of_segmentation(segmentation, corpus.shards)
    with tqdm(
        total=counts.tokens if options.stateful else counts.sentences,
        unit="token" if options.stateful else "sentence",
        disable=True if options.quiet else None,
    ) as bar:
        totals = evaluate(
            model, corpus, options.batch_size, options.stateful, options.num_steps, bar.update
        )
    report = summarise(totals)
    if train:
        report["unigram_perplexity"] = unigram_perplexity(train, corpus)
    if report["oov_rate"] > OOV_WARNING_RATE:
        _log.warning(
            f"{report['oov_rate']:.1%} of the words are unknown; the perplexity says "
            "little: was the text segmented as the training text was?"
        )
    write_report(options.json, report)
    if options.json != "-":
        _print(report)


def _print(report) -> None:
    for name in ("forward", "backward"):
        if name in report:
            part = report[name]
            print(f"{name}: perplexity {part['perplexity']:.4f} over {part['tokens']} tokens")
    print(
        f"perplexity {report['perplexity']:.4f}, OOV rate {report['oov_rate']:.2%}, "
        f"{report['sentences']} sentences"
    )
    if "unigram_perplexity" in report:
        print(f"unigram model: perplexity {report['unigram_perplexity']:.4f}")
