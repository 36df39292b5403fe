"""`lac export`: a tagger as one model of another runtime's own operators."""

from typing import Optional, Sequence

from bilm.hardware import prepare_device
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `lac export`."""
    parser = Parser(
        "lac export", "Write a tagger as one model, which paddle.inference or an ONNX runtime runs "
        "by itself.", ["lac export exported --model tagger",
                       "lac export exported --model tagger --format onnx"])
    output = parser.group("output")
    output.add_argument(
        "target", metavar="DST", help="folder to write; it appears whole or not at all"
    )
    output.add_argument(
        "--format", choices=("paddle", "onnx"), default="paddle",
        help="paddle: a static model for paddle.inference; onnx: needs the extra [onnx]",
    )
    parser.group("model").add_argument(
        "--model", required=True, metavar="DIR", help="tagger's folder or training run's folder"
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Export as the command line says."""
    options = build_parser().parse_args(arguments)
    prepare_device(use_gpu=False, threads=0)  # before these imports of Paddle
    if options.format == "onnx":
        from lac.exported_files import ONNX_FILE as model
        from lac.onnx_model import export
    else:
        from lac.static_model import MODEL_NAME as model
        from lac.static_model import export
    inputs = export(options.model, options.target)
    print(f"{options.target}: {model}, inputs {', '.join(inputs)}; outputs tags, emissions")
