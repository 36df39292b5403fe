"""The programs `bilm` and `lac`, their verbs and flags."""

import argparse

from bilm.commands import verbs as bilm_verbs
from bilm.program.running import command_module
from lac.commands import verbs as lac_verbs

PROGRAMS = {"bilm": bilm_verbs, "lac": lac_verbs}
VERBS = [(program, verb) for program, module in PROGRAMS.items() for verb in module.VERBS]


def module_of(program, verb):
    return command_module(program, verb)


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
