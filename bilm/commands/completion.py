"""`bilm completion`."""

from bilm.commands.verbs import GROUPS
from bilm.program.completion import new_completion_parser, script
from bilm.program.parser import Parser


def build_parser() -> Parser:
    """Return the parser of `bilm completion`."""
    return new_completion_parser("bilm")


def main(arguments=None) -> None:
    """Print the script."""
    print(script("bilm", GROUPS, build_parser().parse_args(arguments).shell))
