"""Print a script that completes the verbs and flags of `bilm` in a shell."""

from typing import Optional, Sequence

from bilm.commands.verbs import VERBS
from bilm.program.completion import new_completion_parser, script
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `bilm completion`."""
    return new_completion_parser("bilm")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print the script for the shell that the command line names."""
    print(script(VERBS, build_parser().parse_args(arguments).shell))
