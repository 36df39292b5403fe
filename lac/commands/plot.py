"""`lac plot`: draw dev scores, the mix of ELMo and the confusion of types."""

from pathlib import Path
from typing import Optional, Sequence

from bilm.errors import InputError
from bilm.pictures.runs import PICTURE
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `lac plot`."""
    parser = Parser(
        "lac plot", "Draw dev scores, the mix of ELMo's layers and the confusion of types.",
        ["lac plot tagger", "lac plot --figures scores.json --output confusion.svg"],
    )
    add = parser.group("runs").add_argument
    add("runs", nargs="*", metavar="RUN", help="folder of a training run; several are compared")
    add("--figures", metavar="FILE",
        help="what lac evaluate --json wrote: its confusion of types instead of the runs'")
    add("--start_step", type=int, default=0, metavar="N", help="leave out earlier steps")
    parser.group("output").add_argument(
        "--output", metavar="FILE",
        help=f"picture to write: .png, .svg or .pdf (default: {PICTURE} in the first RUN; without "
             "a RUN the name of the figures with .png)",
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Draw as the command line says."""
    options = build_parser().parse_args(arguments)
    if not options.runs and not options.figures:
        raise InputError("nothing to draw: give a RUN, --figures FILE, or both")
    if options.start_step and not options.runs:
        raise InputError("--start_step goes with a RUN")
    output = options.output or (
        Path(options.runs[0]) / PICTURE if options.runs
        else Path(options.figures).with_suffix(".png")
    )
    from lac.pictures.runs import plot_taggers

    plot_taggers(options.runs, output, options.figures, options.start_step)
    print(f"wrote {output}")
