"""`lac tag`: the words and tags of a text, line by line.

Formats:
  words     `word/tag word/tag`, spans joined; white space of the text is a word, too
  cut       words without tags, separated by spaces
  entities  an object a line: text, and entities with text, type, start and end
  json      an object a line: text, words and tags (spans joined), tokens and token_tags, offsets
  tsv       tokens, a tab and the model's tags, as `lac train` and `lac evaluate` read them
  conll     a token, a tab and its tag a line, an empty line after each line of the text

Each line of the text is a line of the output, an empty one too, in every format but conll. tsv
and conll hold no white space. Places are characters of the line, from 0 on; of segmented text
those of its words, joined.
"""

import os
import sys
from functools import partial
from typing import Optional, Sequence

from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.program.options import add_quiet_option
from bilm.program.parser import Parser
from bilm.text.lines import numbered_lines, progress_bar
from lac.commands.options import add_tagger_options
from lac.tag_files import BLOCK_LINES, FORMATS, WITH_CONFIDENCE, OutputOptions, tag_lines


def build_parser() -> Parser:
    """Return the parser of `lac tag`."""
    parser = Parser("lac tag", __doc__.replace("`lac tag`: the", "The"), [
        "echo '陈晓岚上周三从苏州回来了。' | lac tag --model tagger",
        "lac tag news.txt.gz --model tagger --format json > news.jsonl",
    ])
    add = parser.group("text").add_argument
    add("file", nargs="?", default="-", metavar="FILE",
        help="UTF-8 text, .gz too; - (the default): stdin")
    add("--input", choices=("raw", "segmented"), default="raw",
        help="segmented: words are separated by spaces")
    add_tagger_options(parser)
    parser.group("model").add_argument(
        "--customization", metavar="FILE", help="user dictionary, whose words win over the model"
    )
    parser.group("output").add_argument(
        "--format", choices=FORMATS, default="words", help="what is printed"
    )
    parser.group("output").add_argument(
        "--confidence", action="store_true",
        help="json and entities: how probable each word is with its borders and its tag",
    )
    add_quiet_option(parser)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Tag as the command line says."""
    options = build_parser().parse_args(arguments)
    if options.confidence and options.format not in WITH_CONFIDENCE:
        formats = " or ".join(WITH_CONFIDENCE)
        raise InputError(f"--confidence needs --format {formats}, not {options.format}")
    if options.file != "-":
        os.stat(options.file)  # before the model is read
    prepare_device(options.use_gpu, options.threads)  # before this import of Paddle
    from lac.tagging import LAC

    lac = LAC(
        options.model, batch_size=options.batch_size, use_gpu=options.use_gpu,
        threads=options.threads,
    )
    if options.customization:
        lac.load_customization(options.customization)
    shown = not options.quiet and not sys.stdout.isatty()
    with progress_bar([options.file], shown) as progress:
        lines = (line for _, line in numbered_lines(options.file, progress))
        is_live = options.file == "-" and sys.stdin.isatty()  # a line in, a line out
        analyse = partial(
            lac.analyse, segmented=options.input == "segmented", confidence=options.confidence
        )
        block_lines = 1 if is_live else BLOCK_LINES
        output = OutputOptions(options.confidence, lac.entity_types)
        for text in tag_lines(analyse, lines, options.format, block_lines, output):
            sys.stdout.buffer.write(f"{text}\n".encode())
            if is_live:
                sys.stdout.buffer.flush()
