"""`lac label`: tags by jieba's dictionary, for text without labels."""

from pathlib import Path
from typing import Optional, Sequence

from bilm.errors import InputError
from bilm.files import write_text_atomically
from bilm.program.parser import Parser
from bilm.text.segmenters import import_quietly
from lac.silver_labels import label, sentences_of
from lac.tagged_files import to_line


def build_parser() -> Parser:
    """Return the parser of `lac label`."""
    parser = Parser(
        "lac label", "Label segmented text with LAC's tags by jieba's dictionary: silver labels, "
        "where no hand has labelled.",
        ["lac label 'corpus/train/*' --max_sentences 8000 --output silver.tsv"],
    )
    add = parser.group("text").add_argument
    add("patterns", nargs="+", metavar="GLOB", help="corpus files, folders or quoted globs")
    add("--max_sentences", type=int, default=0, metavar="N",
        help="label N sentences, evenly spaced; 0: all")
    parser.group("output").add_argument(
        "--output", required=True, metavar="FILE", help="tagged text to write"
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Label as the command line says."""
    options = build_parser().parse_args(arguments)
    if options.max_sentences < 0:
        raise InputError(f"--max_sentences must be 0 or more, not {options.max_sentences}")
    if not Path(options.output).absolute().parent.is_dir():
        raise InputError(f"{options.output}: there is no such folder; make it first")
    posseg = import_quietly("jieba.posseg")
    import_quietly("jieba").setLogLevel("ERROR")
    lines = [
        to_line(label(words, posseg)) + "\n"
        for words in sentences_of(options.patterns, options.max_sentences)
    ]
    write_text_atomically(options.output, "".join(lines))
    print(f"wrote {options.output}: {len(lines)} sentences")
