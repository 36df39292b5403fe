"""Scripts that complete the verbs, flags, choices and files of a program in a shell."""

import argparse

import shtab

from bilm.program.options import parse_boolean
from bilm.program.parser import Parser
from bilm.program.running import Verbs

SHELLS = ("bash", "zsh", "tcsh")

# How to complete a value, by its name in --help.
_COMPLETERS = {
    "DIR": shtab.DIRECTORY,
    **dict.fromkeys(("FILE", "PATH", "GLOB", "INPUT", "RUN", "SRC", "DST", "A", "B", "OUT"),
                    shtab.FILE),
}


def script(verbs: Verbs, shell: str) -> str:
    """Return the script that completes a program's command line.

    Args:
        verbs: The program's.
        shell: One of SHELLS.
    """
    return shtab.complete(_program_parser(verbs), shell)


def _program_parser(verbs):
    """Return a parser with a subparser for each verb, from which shtab makes the functions."""
    parser = argparse.ArgumentParser(verbs.program)
    parser.add_argument("--version", action="version", version="", help="show the version and exit")
    added = parser.add_subparsers(parser_class=argparse.ArgumentParser)
    for verb, purpose in verbs.purposes.items():
        own = verbs.load(verb).build_parser()
        for action in own.actions:
            _set_completion(action)
        added.add_parser(verb, help=purpose, parents=[own], add_help=False)
    return parser


def _set_completion(action):
    if action.type is parse_boolean:
        action.choices = (True, False)
    kind = (action.metavar or "").partition(".")[0]
    if kind in _COMPLETERS:
        action.complete = _COMPLETERS[kind]


def new_completion_parser(program: str) -> Parser:
    """Return the parser of a program's verb `completion`."""
    parser = Parser(
        f"{program} completion",
        f"Print a script that completes the verbs, flags, choices and files of `{program}`.",
        notes="Where the shells look for it: docs/command_line.md.",
        examples=[f"{program} completion bash > ~/.local/share/bash-completion/completions/"
                  f"{program}"],
    )
    parser.group("shell").add_argument("shell", choices=SHELLS, help="for which shell")
    return parser
