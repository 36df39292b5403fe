"""Vectors of every line of a text, in an HDF5 file; an interrupted run can be resumed."""

import logging
import signal
import time
from typing import Optional, Sequence

from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.inference.options import LAYERS, OOV_WARNING_RATE
from bilm.network.mixes import VARIANTS
from bilm.program.json_output import write_report
from bilm.program.options import add_json_option, add_model_options, add_quiet_option
from bilm.program.parser import Parser
from bilm.text.vocabulary import UNKNOWN

_log = logging.getLogger("bilm")


def build_parser() -> Parser:
    """Return the parser of `bilm embed`."""
    parser = Parser(
        "bilm embed",
        __doc__,
        ["bilm embed corpus/dev/sentence_file_00000 vectors.hdf5 --model run",
         "bilm embed raw.txt vectors.hdf5 --model run --segment --layers top"],
    )
    add = parser.group("text").add_argument
    add("input", metavar="INPUT",
        help="a sentence a line, words separated by spaces; may be .gz; - is stdin")
    add("--segment", action="store_true", help="the lines are raw text: segment them")
    add("--user_dict", metavar="FILE", help="more words for jieba, with --segment")
    add("--dictionary", metavar="FILE",
        help="words and counts, with --segment, for a biLM of a dictionary's pieces")
    add_model_options(parser)
    add = parser.group("vectors").add_argument
    add("--layers", choices=LAYERS, default="all", help="what to write of the layers")
    add("--mix_from", metavar="PATH", help="weights of --layers mix: mixes.json or LARK's ELMo_w")
    add("--variant", choices=VARIANTS, default="elmo", help="lark: what LARK's encoder computes")
    add("--unknown", choices=UNKNOWN, default="unk",
        help="what stands for unknown words: <UNK>, or the mean of their known characters")
    add("--stateful", action="store_true", help="carry state from line to line")
    add = parser.group("output").add_argument
    add("output", metavar="OUT.hdf5", help="the file to write")
    add("--dtype", choices=("float32", "float16"), default="float32", help="type to store")
    add("--resume", action="store_true", help="continue an interrupted run")
    add_json_option(parser, "the counts as a JSON object")
    add_quiet_option(parser)
    parser.group("device").add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="sentences computed together"
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Embed a text as the command line says."""
    options = build_parser().parse_args(arguments)
    for name in ("user_dict", "dictionary"):
        if getattr(options, name) and not options.segment:
            raise InputError(f"--{name} is for --segment")
    prepare_device(options.use_gpu, options.threads)  # before these imports of Paddle
    from bilm.inference.embedder import Embedder
    from bilm.inference.vector_file import check_output
    from bilm.inference.vectors_of_files import embed_lines, segmenter_for
    from bilm.text.lines import Lines

    check_output(options.output, options.resume)
    embedder = Embedder(
        options.model,
        options.stateful,
        layers=options.layers,
        mix_from=options.mix_from,
        variant=options.variant,
        unknown=options.unknown,
        batch_size=options.batch_size,
        vocab_path=options.vocab_path,
    )
    signal.signal(signal.SIGTERM, _interrupt)
    start = time.monotonic()
    cut = None
    if options.segment:
        cut = segmenter_for(embedder, options.user_dict, options.dictionary)
    with Lines(options.input, cut) as lines:
        report = embed_lines(
            embedder, lines, options.output, options.dtype, options.resume,
            show_progress=not options.quiet,
        )
    rate = report["unknown"] / max(1, report["words"])
    if rate > OOV_WARNING_RATE:
        _log.warning(
            f"{rate:.1%} of the words are unknown to the model: was the text segmented as its "
            "training text was?"
        )
    write_report(options.json, report)
    if options.json != "-":
        composed = f", {report['composed']} of them composed" * (options.unknown == "characters")
        print(
            f"{report['lines']} lines, {report['words']} words, {report['unknown']} unknown "
            f"({rate:.2%}{composed}), {time.monotonic() - start:.1f} seconds"
        )


def _interrupt(*_):
    raise KeyboardInterrupt
