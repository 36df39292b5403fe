"""`lac tag`: the words and tags of a text, line by line.

Formats:
  words  `word/tag word/tag`, spans joined; white space of the text is a word, too
  json   an object a line: text, words and tags (spans joined), tokens and token_tags
  tsv    tokens, a tab and the model's tags, as `lac train` and `lac evaluate` read them
  conll  a token, a tab and its tag a line, an empty line after each line of the text

Each line of the text is a line of words, json and tsv, an empty one too. tsv and conll hold no
white space.
"""

import os
import sys
from functools import partial
from typing import Optional, Sequence

from bilm.hardware import prepare_device
from bilm.program.options import add_quiet_option
from bilm.program.parser import Parser
from bilm.text.lines import numbered_lines, progress_bar
from lac.commands.options import add_tagger_options
from lac.tag_files import BLOCK_LINES, FORMATS, tag_lines


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
    add_quiet_option(parser)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Tag as the command line says."""
    options = build_parser().parse_args(arguments)
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
        analyse = partial(lac.analyse, segmented=options.input == "segmented")
        block_lines = 1 if is_live else BLOCK_LINES
        for text in tag_lines(analyse, lines, options.format, block_lines):
            sys.stdout.buffer.write(f"{text}\n".encode())
            if is_live:
                sys.stdout.buffer.flush()
