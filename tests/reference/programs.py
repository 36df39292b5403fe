"""The programs `bilm` and `lac`, their verbs and flags."""

import argparse
from importlib import import_module

from bilm.program import running as cli
from lac import cli as lac_cli

PROGRAMS = {"bilm": cli, "lac": lac_cli}
VERBS = [(program, verb) for program, module in PROGRAMS.items() for verb in module.VERBS]


def module_of(program, verb):
    return import_module(PROGRAMS[program].VERBS[verb][0])


def parser_of(program, verb):
    return module_of(program, verb).build_parser()


def shown_flags(parser):
    return [flag for action in parser._actions if action.help != argparse.SUPPRESS
            for flag in action.option_strings]


def run(capsys, program, *arguments):
    """Return the exit status of a program, and what it printed on stdout and stderr."""
    try:
        PROGRAMS[program].main(list(arguments))
        status = 0
    except SystemExit as error:
        status = error.code or 0
    return (status, *capsys.readouterr())
