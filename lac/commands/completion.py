"""Print a script that completes the verbs and flags of `lac` in a shell."""

from typing import Optional, Sequence

from bilm.program.completion import new_completion_parser, script
from bilm.program.parser import Parser
from lac.commands.verbs import VERBS


def build_parser() -> Parser:
    """Return the parser of `lac completion`."""
    return new_completion_parser("lac")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print the script for the shell that the command line names."""
    print(script(VERBS, build_parser().parse_args(arguments).shell))
