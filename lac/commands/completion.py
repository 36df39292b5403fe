"""`lac completion`."""

from typing import Optional, Sequence

from bilm.program.completion import new_completion_parser, script
from bilm.program.parser import Parser
from lac.commands.verbs import GROUPS


def build_parser() -> Parser:
    """Return the parser of `lac completion`."""
    return new_completion_parser("lac")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print the script."""
    print(script("lac", GROUPS, build_parser().parse_args(arguments).shell))
