"""A script that completes the verbs, flags, choices and files of a program in a shell."""

import argparse

import shtab

from bilm.program.options import new_parser, parse_boolean
from bilm.program.parser import Parser
from bilm.program.running import command_module

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
        groups: Its verbs, such as `bilm.commands.verbs.GROUPS`.
        shell: One of SHELLS.
    """
    return shtab.complete(_program_parser(program, groups), shell)


def _program_parser(program, groups):
    """Return a parser with a subparser for each verb, which the shells' functions are made from."""
    parser = argparse.ArgumentParser(program)
    parser.add_argument("--version", action="version", version="", help="show the version and exit")
    verbs = parser.add_subparsers(parser_class=argparse.ArgumentParser)
    for group in groups.values():
        for verb, purpose in group.items():
            own = command_module(program, verb).build_parser()
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
