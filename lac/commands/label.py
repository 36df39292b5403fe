"""`lac label`: words and tags by a tagger or by jieba's dictionary, for text without labels."""

import argparse
import math
from itertools import islice
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

from bilm.errors import InputError
from bilm.files import write_text_atomically
from bilm.hardware import prepare_device
from bilm.program.parser import Parser
from bilm.text.lines import split_words
from bilm.text.segmenters import import_quietly
from lac.commands.options import add_batch_options
from lac.silver_labels import analyses_with_margins, label, sentences_of, words_as_tokens
from lac.tag_files import BLOCK_LINES
from lac.tagged_files import TaggedSentence, to_line


def build_parser() -> Parser:
    """Return the parser of `lac label`."""
    parser = Parser(
        "lac label", "Label text without labels: silver labels. A tagger gives the words and their "
        "tags; without --model, jieba's dictionary gives segmented text LAC's tags.",
        ["lac label news.txt --model tagger --min_margin 2 --output silver.tsv",
         "lac label 'corpus/train/*' --max_sentences 8000 --output silver.tsv"],
    )
    add = parser.group("text").add_argument
    add("patterns", nargs="+", metavar="GLOB", help="corpus files, folders or quoted globs")
    add("--input", choices=("raw", "segmented"),
        help="segmented: words are separated by spaces, a line is a sentence (default: raw with "
        "--model, otherwise segmented)")
    add("--max_sentences", type=int, default=0, metavar="N",
        help="label N sentences, evenly spaced; 0: all")
    add = parser.group("model").add_argument
    add("--model", metavar="DIR",
        help="tagger's folder, training run's folder, or sample; empty: jieba's dictionary")
    add("--min_margin", type=float, default=0.0, metavar="X",
        help="drop sentences whose best tags score less than X above the second best; 0: none")
    add_batch_options(parser)
    parser.group("output").add_argument(
        "--output", required=True, metavar="FILE", help="tagged text to write"
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Label as the command line says."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    _check(options, parser)
    is_raw = (options.input or ("raw" if options.model else "segmented")) == "raw"
    sentences = sentences_of(options.patterns, options.max_sentences, is_raw)
    if options.model:
        labelled, dropped = _by_tagger(sentences, is_raw, options)
    else:
        labelled, dropped = _by_dictionary(sentences), 0
    lines = [to_line(sentence) + "\n" for sentence in labelled]
    write_text_atomically(options.output, "".join(lines))
    without = f", without {dropped} whose margin is below {options.min_margin:g}"
    print(f"wrote {options.output}: {len(lines)} sentences{without if options.min_margin else ''}")


def _check(options: argparse.Namespace, parser: Parser) -> None:
    if options.max_sentences < 0:
        raise InputError(f"--max_sentences must be 0 or more, not {options.max_sentences}")
    if not 0 <= options.min_margin < math.inf:
        raise InputError(f"--min_margin must be 0 or more, not {options.min_margin:g}")
    if not options.model:
        names = ("min_margin", "use_gpu", "threads", "batch_size")
        given = [name for name in names if getattr(options, name) != parser.get_default(name)]
        if given:
            need = "needs" if len(given) == 1 else "need"
            raise InputError(f"--{' and --'.join(given)} {need} --model: jieba's dictionary has no "
                             "margins, device or batches")
        if options.input == "raw":
            raise InputError("--input raw needs --model; segment the text with `bilm segment`")
    if not Path(options.output).absolute().parent.is_dir():
        raise InputError(f"{options.output}: there is no such folder; make it first")


def _by_dictionary(sentences: Iterator[str]) -> List[TaggedSentence]:
    posseg = import_quietly("jieba.posseg")
    import_quietly("jieba").setLogLevel("ERROR")
    return [label(split_words(sentence), posseg) for sentence in sentences]


def _by_tagger(
    sentences: Iterator[str], is_raw: bool, options: argparse.Namespace
) -> Tuple[List[TaggedSentence], int]:
    """Return the labelled sentences, and the number of those that are dropped."""
    prepare_device(options.use_gpu, options.threads)  # before this import of Paddle
    from lac.pretrained import analyser_of, load_tagger

    tagger, stored = load_tagger(options.model)
    analyser = analyser_of(tagger, stored, options.batch_size)
    labelled: List[TaggedSentence] = []
    dropped = 0
    while block := list(islice(sentences, BLOCK_LINES)):
        if options.min_margin:
            pairs = analyses_with_margins(analyser, block, stored.customization, not is_raw)
            analyses = [analysis for analysis, margin in pairs if margin >= options.min_margin]
            dropped += len(block) - len(analyses)
        else:
            analyses = analyser.analyse(block, stored.customization, segmented=not is_raw)
        labelled += [sentence for sentence in map(words_as_tokens, analyses) if sentence.tokens]
    return labelled, dropped
