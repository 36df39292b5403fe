"""`python -m bilm.kernels build`: compile the native operators ahead of their first use."""

from bilm.cli import run_main
from bilm.errors import InputError
from bilm.kernels.build import CannotBuildError, build
from bilm.options import new_parser


def main(arguments=None) -> None:
    """Run `python -m bilm.kernels`."""
    parser = new_parser("Compile the native operators for this machine into the user's cache.")
    parser.prog = "python -m bilm.kernels"
    parser.add_argument("verb", choices=["build"], help="compile them, if they are not there yet")
    parser.add_argument("--again", action="store_true", help="compile even if they are there")
    options = parser.parse_args(arguments)
    try:
        print(build(print, options.again))
    except CannotBuildError as error:
        raise InputError(f"no native operators: {error}") from None


if __name__ == "__main__":
    run_main(main)
