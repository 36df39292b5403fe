"""The programs `bilm` and `lac`, their verbs and flags."""

import argparse

from bilm.commands.verbs import VERBS as BILM_VERBS
from lac.commands.verbs import VERBS as LAC_VERBS

PROGRAMS = {"bilm": BILM_VERBS, "lac": LAC_VERBS}
VERBS = [(program, verb) for program, verbs in PROGRAMS.items() for verb in verbs.purposes]


def module_of(program, verb):
    return PROGRAMS[program].load(verb)


def parser_of(program, verb):
    return module_of(program, verb).build_parser()


def shown_flags(parser):
    return [flag for action in parser._actions if action.help != argparse.SUPPRESS
            for flag in action.option_strings]


def run(capsys, program, *arguments):
    """Return the exit status of a program, and what it printed on stdout and stderr."""
    try:
        PROGRAMS[program].run(list(arguments))
        status = 0
    except SystemExit as error:
        status = error.code or 0
    return (status, *capsys.readouterr())
