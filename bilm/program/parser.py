"""The parser of every program: help in groups, with examples, and errors of one line.

All use of argparse's private attributes is in this module.
"""

import argparse
import re
import sys
import textwrap
from typing import List, NoReturn, Optional, Sequence

import bilm
from bilm.errors import suggestion


class Parser(argparse.ArgumentParser):
    """A parser whose help has groups, and whose errors are one line with a suggestion.

    It has the flags --help, --version and --debug. Flags cannot be abbreviated: an abbreviation
    may become ambiguous with the next flag, and a mistyped flag must not be taken for another one.

    Args:
        prog: The program, such as "bilm pretrain".
        description: Its purpose; paragraphs are filled, indented lines are kept.
        examples: Command lines, shown at the end of the help.
        notes: A paragraph before the examples.

    Attributes:
        examples: The command lines.
    """

    def __init__(self, prog: str, description: str, examples: Sequence[str] = (), notes: str = ""):
        shown = "\n".join(["examples:", *(f"  {example}" for example in examples)])
        super().__init__(
            prog=prog,
            description=description,
            epilog="\n\n".join([notes] * bool(notes) + [shown] * bool(examples)),
            formatter_class=_Help,
            add_help=False,
            allow_abbrev=False,
        )
        self.examples = tuple(examples)
        self._general = self.add_argument_group("general")
        add = self._general.add_argument
        add("-h", "--help", action="help", help="show this help and exit")
        add("--version", action="version", version=f"{prog} {bilm.__version__}",
            help="show the version and exit")
        add("--debug", action=_SeenBefore, help="show where an error happened, as a traceback")

    @property
    def actions(self) -> List[argparse.Action]:
        """The arguments, as argparse describes them."""
        return self._actions

    def group(self, title: str) -> argparse._ArgumentGroup:
        """Return the group of the help with this title, which is created if necessary."""
        for group in self._action_groups:
            if group.title == title:
                return group
        group = self.add_argument_group(title)
        self._action_groups.sort(key=lambda other: other is self._general)  # which comes last
        return group

    def parse_args(  # type: ignore[override]
        self, args: Optional[Sequence[str]] = None, namespace: Optional[argparse.Namespace] = None
    ) -> argparse.Namespace:
        """Return the values; an unknown flag is reported before a missing one."""
        args = sys.argv[1:] if args is None else list(args)
        unknown = self._unknown_flag(args)
        if unknown:
            known = [flag for action in self.actions if action.help != argparse.SUPPRESS
                     for flag in action.option_strings]
            self.error(f"unknown option {unknown}{suggestion(unknown, known)}")
        return super().parse_args(args, namespace)

    def _unknown_flag(self, arguments):
        if "--" in arguments:
            arguments = arguments[: arguments.index("--")]
        flags = [argument.split("=", 1)[0] for argument in arguments
                 if re.match("--?[A-Za-z]", argument) and " " not in argument]
        if {"-h", "--help"} & set(flags):
            return None
        return next((flag for flag in flags if flag not in self._option_string_actions), None)

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(
                action,
                f"invalid choice: {value!r}, none of {', '.join(known)}"
                + suggestion(str(value), known),
            )

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        message = " ".join(message.splitlines())
        end = " " if message.endswith("?") else "; "
        self.exit(2, f"error: {message}{end}`{self.prog} --help` lists all\n")


class _SeenBefore(argparse.Action):
    """A flag without a value, which `bilm.program.running.run_main` handles."""

    def __init__(self, option_strings, dest, **settings):
        nothing = argparse.SUPPRESS
        super().__init__(option_strings, nothing, nargs=0, default=nothing, **settings)

    def __call__(self, *_):
        pass


class _Help(argparse.HelpFormatter):
    """Shows defaults, every name of a flag with its value once, and a short usage line."""

    def __init__(self, prog, **settings):
        super().__init__(prog, max_help_position=28, **settings)

    def add_usage(self, usage, actions, groups, prefix=None):
        places = [_usage_of(action) for action in actions if not action.option_strings]
        flags = [f"{action.option_strings[0]} {action.metavar or '...'}" for action in actions
                 if action.option_strings and action.required]
        super().add_usage(" ".join(["%(prog)s", *places, *flags, "[OPTIONS]"]), (), (), prefix)

    def _fill_text(self, text, width, indent):
        return "\n\n".join(
            paragraph if re.search("^ ", paragraph, re.MULTILINE)
            else textwrap.fill(" ".join(paragraph.split()), width)
            for paragraph in text.strip().split("\n\n")
        )

    def _format_action_invocation(self, action):
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"

    def _get_help_string(self, action):
        default = action.default
        is_shown = default not in (None, "", "-", argparse.SUPPRESS) and action.nargs != 0
        return f"{action.help} (default: %(default)s)" if is_shown else action.help


def _usage_of(action):
    name = action.metavar or "|".join(action.choices)
    return {"+": f"{name} [{name} ...]", "?": f"[{name}]"}.get(action.nargs, name)
