"""`python -m bilm.kernels build`: compile the native operators ahead of their first use."""

from typing import Optional, Sequence

from bilm.errors import InputError
from bilm.kernels.build import CannotBuildError, build
from bilm.program.parser import Parser
from bilm.program.running import run_main


def build_parser() -> Parser:
    """Return the parser of `python -m bilm.kernels`."""
    parser = Parser(
        "python -m bilm.kernels",
        "Compile the native operators for this machine into the user's cache.",
        ["python -m bilm.kernels build"],
    )
    add = parser.group("compiling").add_argument
    add("verb", choices=["build"], help="compile them, if they are not there yet")
    add("--again", action="store_true", help="compile even if they are there")
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run `python -m bilm.kernels`."""
    options = build_parser().parse_args(arguments)
    try:
        print(build(print, options.again))
    except CannotBuildError as error:
        raise InputError(f"no native operators: {error}") from None


if __name__ == "__main__":
    run_main(main)
