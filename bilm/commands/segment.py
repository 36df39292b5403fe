"""Turn raw Chinese text into shards of segmented sentences."""

import time
from typing import Optional, Sequence

from bilm.hardware import usable_cores
from bilm.program.json_output import write_report
from bilm.program.options import add_json_option, add_quiet_option
from bilm.program.parser import Parser
from bilm.text.dictionary import WEIGHTS
from bilm.text.segmenters import NORMALIZATIONS, SEGMENTERS, SegmentationOptions


def build_parser() -> Parser:
    """Return the parser of `bilm segment`."""
    parser = Parser(
        "bilm segment",
        __doc__,
        ["bilm segment data/raw/train.txt --output corpus/train",
         "zcat news.gz | bilm segment - --output corpus/news --split_newlines"],
    )
    add = parser.group("text").add_argument
    add("inputs", nargs="+", metavar="INPUT", help="UTF-8 file, .gz, folder, or - for stdin")
    add("--split_semicolons", action="store_true", help="end sentences after ；, too")
    add("--split_newlines", action="store_true", help="end sentences at every line end")
    add = parser.group("words").add_argument
    add("--segmenter", choices=SEGMENTERS, default="jieba",
        help="space: words are separated; characters, dictionary: pieces for a tagger of them")
    add("--dictionary", metavar="FILE",
        help="for the segmenter dictionary: a word and its count a line; jieba: that of jieba")
    add("--dictionary_weights", choices=WEIGHTS, default="counts",
        help="lengths: words of the dictionary weigh their length, as in LAC 2")
    add("--split_latin", action="store_true",
        help="for the segmenter characters: split runs of Latin letters and digits, too")
    add("--user_dict", metavar="FILE", help="more words for jieba: word [count] [tag] a line")
    add("--no_hmm", dest="hmm", action="store_false", help="do not guess unknown words")
    add("--normalize", choices=NORMALIZATIONS, default="none", help="Unicode normalization")
    add = parser.group("output").add_argument
    add("--output", required=True, metavar="DIR", help="folder for the shards")
    add("--lines_per_shard", type=int, default=100_000, metavar="N", help="sentences per shard")
    add_json_option(parser, "the counts as a JSON object")
    add_quiet_option(parser)
    parser.group("device").add_argument(
        "--workers", type=int, default=usable_cores(), metavar="N", help="processes"
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Segment the files named on the command line and print the counts."""
    options = vars(build_parser().parse_args(arguments))
    from bilm.text.segment_files import segment_files

    inputs, output, json_path, quiet = (
        options.pop(name) for name in ("inputs", "output", "json", "quiet")
    )
    sizes = {name: options.pop(name) for name in ("lines_per_shard", "workers")}
    start = time.monotonic()
    counts = segment_files(
        inputs, output, SegmentationOptions(**options), **sizes, show_progress=not quiet
    )
    write_report(json_path, counts)
    if json_path != "-":
        named = ("sentences", "words", "characters", "shards")
        summary = ", ".join(f"{counts[name]} {name}" for name in named)
        print(f"{summary}, {time.monotonic() - start:.1f} seconds")
