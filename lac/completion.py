"""A script that completes the verbs, flags, choices and files of `lac` in a shell."""

from bilm.cli import run_main
from bilm.completion import new_completion_parser, script
from bilm.parser import Parser
from lac.cli import GROUPS


def build_parser() -> Parser:
    """Return the parser of `lac completion`."""
    return new_completion_parser("lac")


def main(arguments=None) -> None:
    """Print the script."""
    print(script("lac", GROUPS, build_parser().parse_args(arguments).shell))


if __name__ == "__main__":
    run_main(main)
