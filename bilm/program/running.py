"""Runs programs: verbs, exit statuses, and messages of one line."""

import logging
import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import bilm
from bilm.errors import InputError, out_of_memory, suggestion

# Exit statuses, described in docs/command_line.md; 130 and 141 are 128 + a signal's number.
INTERNAL_ERROR, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


def run_main(
    main: Callable[[List[str]], object], arguments: Optional[Sequence[str]] = None
) -> None:
    """Call `main(arguments)` as a program: an exception becomes one line on stderr.

    The exit status says what kind it was. With --debug among the arguments a traceback precedes it.

    Args:
        main: The program.
        arguments: Default: the command line.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    show_messages()
    try:
        try:
            main(arguments)
        finally:
            sys.stdout.flush()  # so that a closed pipe is noticed here, not when Python exits
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in arguments:
            traceback.print_exc()
        status, message = _judge(error)
        if message:
            print("error: " + " ".join(message.splitlines()), file=sys.stderr)
        _drop_output_that_cannot_be_written()
        sys.exit(status)


def _judge(error) -> Tuple[int, str]:
    """Return the exit status for an exception and its message, "" for none."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, ""
    if isinstance(error, BrokenPipeError):
        return CLOSED_PIPE, ""
    if isinstance(error, InputError):
        return BAD_INPUT, str(error)
    if isinstance(error, MemoryError):
        return BAD_INPUT, out_of_memory(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return BAD_INPUT, f"{where}{error.strerror or _last_words(error)}"
    return INTERNAL_ERROR, (
        f"internal: {type(error).__name__}: {_last_words(error)}; --debug shows where it happened, "
        "please report it"
    )


def _last_words(error):
    """Return the text of an exception, without the C++ traces that Paddle puts before it."""
    return " ".join(str(error).rpartition("Error Message Summary:")[-1].strip("- \n").split())


def _drop_output_that_cannot_be_written():
    """Discard output for a closed pipe or full disk, of which Python would complain on exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Verbs(NamedTuple):
    """The verbs of a program.

    Attributes:
        program: Name of the program.
        groups: For each title of a group in the help, its verbs and their purposes.
        load: Imports the module of a verb, which has `build_parser` and `main`.
        example: A command line for the help.
    """

    program: str
    groups: Dict[str, Dict[str, str]]
    load: Callable[[str], ModuleType]
    example: str

    def run(self, arguments: Optional[Sequence[str]] = None) -> None:
        """Run the verb that is the first argument.

        Args:
            arguments: Default: the command line.
        """
        run_main(partial(_dispatch, self), arguments)

    @property
    def purposes(self) -> Dict[str, str]:
        """The purpose of each verb."""
        return {verb: purpose for group in self.groups.values() for verb, purpose in group.items()}


def _dispatch(verbs, arguments):
    first, *rest = arguments or ["--help"]
    if first in verbs.purposes:
        verbs.load(first).main(rest)
    elif first in ("-h", "--help"):
        print(_help(verbs))
    elif first == "--version":
        print(f"{verbs.program} {bilm.__version__}")
    else:
        what = "option" if first.startswith("-") else "verb"
        near = suggestion(first, ["--help", "--version"] if what == "option" else verbs.purposes)
        raise InputError(
            f"unknown {what} {first!r}{near or ';'} `{verbs.program} --help` lists all")


def _help(verbs) -> str:
    program = verbs.program
    lines = [f"usage: {program} VERB [OPTIONS]", "",
             f"`{program} VERB --help` lists the options of a verb, `{program} --version` prints "
             "the version."]
    for title, group in verbs.groups.items():
        lines += ["", f"{title}:"]
        lines += [f"  {verb:<11} {purpose}" for verb, purpose in group.items()]
    return "\n".join([*lines, "", "example:", f"  {verbs.example}"])


class MessageHandler(logging.Handler):
    """Prints the library's log messages: warnings on stderr, the others on stdout.

    Of several processes that train one model, only the first one prints.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a record on a line of its own."""
        if os.environ.get("PADDLE_TRAINER_ID", "0") != "0":
            return
        if record.levelno >= logging.WARNING:
            prefix = "" if getattr(record, "is_progress", False) else "warning: "
            print(f"{prefix}{record.getMessage()}", file=sys.stderr, flush=True)
        else:
            print(record.getMessage(), flush=True)


def show_messages() -> None:
    """Print the messages of the loggers `bilm` and `lac`, from level INFO on."""
    for name in ("bilm", "lac"):
        logger = logging.getLogger(name)
        if not any(isinstance(handler, MessageHandler) for handler in logger.handlers):
            logger.addHandler(MessageHandler())
            logger.setLevel(logging.INFO)
            logger.propagate = False  # importing Paddle adds a handler to the root logger
