"""`lac export`: a tagger as one static model, which paddle.inference runs by itself."""

from typing import Optional, Sequence

from bilm.hardware import prepare_device
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `lac export`."""
    parser = Parser("lac export", "Write a tagger as one static model, which paddle.inference "
                        "runs by itself.", ["lac export exported --model tagger"])
    parser.group("output").add_argument(
        "target", metavar="DST", help="folder to write; it appears whole or not at all"
    )
    parser.group("model").add_argument(
        "--model", required=True, metavar="DIR", help="tagger's folder or training run's folder"
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Export as the command line says."""
    options = build_parser().parse_args(arguments)
    prepare_device(use_gpu=False, threads=0)  # before this import of Paddle
    from lac.static_model import MODEL_NAME, export

    inputs = export(options.model, options.target)
    print(f"{options.target}: {MODEL_NAME}, inputs {', '.join(inputs)}; outputs tags, emissions")
