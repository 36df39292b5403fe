"""Draw learning curves from the metrics of training runs."""

from pathlib import Path
from typing import Optional, Sequence

from bilm.pictures.runs import PICTURE, plot_runs
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `bilm plot`."""
    parser = Parser("bilm plot", __doc__, [
        "bilm plot run", "bilm plot run other --start_step 1000 --output curves.svg",
    ])
    add = parser.group("runs").add_argument
    add("runs", nargs="+", metavar="RUN", help="folder of a training run; several are compared")
    add("--start_step", type=int, default=0, metavar="N", help="leave out earlier steps")
    parser.group("output").add_argument(
        "--output", metavar="FILE",
        help=f"picture to write: .png, .svg or .pdf (default: {PICTURE} in the first RUN)",
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Draw what the command line says."""
    options = build_parser().parse_args(arguments)
    output = options.output or Path(options.runs[0]) / PICTURE
    plot_runs(options.runs, output, options.start_step)
    print(f"wrote {output}")
