"""A script that completes the verbs, flags, choices and files of `bilm` in a shell."""

import argparse
from importlib import import_module

import shtab

from bilm.cli import GROUPS, run_main
from bilm.options import new_parser, parse_boolean
from bilm.parser import Parser

SHELLS = ("bash", "zsh", "tcsh")

# What the name of a value in --help says about how to complete it.
_COMPLETERS = {
    "DIR": shtab.DIRECTORY,
    **dict.fromkeys(("FILE", "PATH", "GLOB", "INPUT", "RUN", "SRC", "DST", "A", "B", "OUT"),
                    shtab.FILE),
}


def script(program: str, groups: dict, shell: str) -> str:
    """Return the script that completes a program's command line.

    Args:
        program: Its name.
        groups: Its verbs, such as `bilm.cli.GROUPS`; their modules have a `build_parser`.
        shell: One of SHELLS.
    """
    return shtab.complete(_program_parser(program, groups), shell)


def _program_parser(program, groups):
    """Return a parser with a subparser for each verb, which the shells' functions are made from."""
    parser = argparse.ArgumentParser(program)
    parser.add_argument("--version", action="version", version="", help="show the version and exit")
    verbs = parser.add_subparsers(parser_class=argparse.ArgumentParser)
    for group in groups.values():
        for verb, (module, purpose) in group.items():
            own = import_module(module).build_parser()
            for action in own._actions:
                _tell_how_to_complete(action)
            verbs.add_parser(verb, help=purpose, parents=[own], add_help=False)
    return parser


def _tell_how_to_complete(action):
    if action.type is parse_boolean:
        action.choices = (True, False)
    kind = (action.metavar or "").partition(".")[0]
    if kind in _COMPLETERS:
        action.complete = _COMPLETERS[kind]


def new_completion_parser(program: str) -> Parser:
    """Return the parser of the verb `completion` of a program."""
    parser = new_parser(
        f"{program} completion",
        f"Print a script that completes the verbs, flags, choices and files of `{program}`.",
        notes="Where the shells look for it: docs/command_line.md.",
        examples=[f"{program} completion bash > ~/.local/share/bash-completion/completions/"
                  f"{program}"],
    )
    parser.group("shell").add_argument("shell", choices=SHELLS, help="for which shell")
    return parser


def build_parser() -> Parser:
    """Return the parser of `bilm completion`."""
    return new_completion_parser("bilm")


def main(arguments=None) -> None:
    """Print the script."""
    print(script("bilm", GROUPS, build_parser().parse_args(arguments).shell))


if __name__ == "__main__":
    run_main(main)
