"""Command-line flags from dataclass fields: the default and the help text are written once."""

import argparse
import logging
import math
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Sequence

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.program.parser import Parser

_log = logging.getLogger("bilm")


def option(
    default: Any,
    help: str,
    choices: Optional[Sequence] = None,
    aliases: Sequence[str] = (),
    group: str = "",
    metavar: str = "",
    several: bool = False,
) -> Any:
    """Return a dataclass field that becomes the flag `--<field name>`.

    Args:
        default: Its type is the flag's type; True and False make a boolean flag.
        help: Shown by --help.
        choices: Allowed values.
        aliases: Other names of the flag, without dashes.
        group: Title of its group in --help.
        metavar: Name of its value in --help: FILE and DIR can be completed. Default: by type.
        several: Whether the flag takes several values, with spaces or commas between them; the
            field is a string with a space between them.
    """
    return field(default=default, metadata={
        "help": help, "choices": choices, "aliases": aliases, "group": group, "metavar": metavar,
        "several": several,
    })


def add_options(parser: Parser, options_class: type) -> None:
    """Add a flag to `parser` for every field of the dataclass `options_class`.

    A flag that is not given leaves no attribute in the namespace, so that a program can
    distinguish the user's values from defaults.
    """
    for item in fields(options_class):
        names = [f"--{name}" for name in (item.name, *item.metadata.get("aliases", ()))]
        default = None if item.default is MISSING else item.default
        shown = "" if default in (None, "") else f" (default: {default})"
        settings = {"dest": item.name, "help": item.metadata["help"] + shown}
        if isinstance(default, bool):
            settings.update(type=parse_boolean, nargs="?", const=True, metavar="True|False")
        else:
            settings.update(type=type(default), choices=item.metadata.get("choices"))
            if not settings["choices"]:
                named = {int: "N", float: "X"}.get(type(default), "TEXT")
                settings["metavar"] = item.metadata.get("metavar") or named
        if item.metadata.get("several"):
            settings.update(nargs="+", action=_Several)
        group = item.metadata.get("group")
        target = parser.group(group) if group else parser
        target.add_argument(*names, default=argparse.SUPPRESS, **settings)


class _Several(argparse.Action):
    """A flag with several values, which become one string with a space between them."""

    def __call__(self, _parser, namespace, values, _name=None):
        setattr(namespace, self.dest, " ".join(" ".join(values).replace(",", " ").split()))


def check_unchanged(
    given: Dict[str, Any], saved: Dict[str, Any], fixed: Sequence[str], checkpoint: PathLike
) -> None:
    """Raise an InputError if the command line changes options that a resumed run must keep.

    Args:
        given: Options on the command line.
        saved: Options of the checkpoint.
        fixed: Names of the options to keep; one that `saved` lacks is not compared.
        checkpoint: Its folder, for messages.

    Raises:
        InputError: Options differ; all are listed.
    """
    conflicts = [
        f"--{name} is {given[name]}, the checkpoint was trained with {saved[name]}"
        for name in fixed
        if name in given and name in saved and given[name] != saved[name]
    ]
    if conflicts:
        raise InputError(f"{checkpoint}: cannot be continued: {'; '.join(conflicts)}")


def out_of_range(
    options: Any,
    counts: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    positive: Sequence[str] = (),
    dropouts: Sequence[str] = (),
    rates: Sequence[str] = (),
) -> Iterator[str]:
    """Yield a line for each field of `options` that is out of its range.

    Args:
        options: A dataclass of options.
        counts: Fields that must be at least 1.
        not_negative: Fields that must be 0 or more, and finite.
        positive: Fields that must be above 0, and finite.
        dropouts: Fields that must be in [0, 1).
        rates: Fields that must be in [0, 1].
    """
    for name in counts:
        if getattr(options, name) < 1:
            yield f"--{name} must be at least 1, not {getattr(options, name)}"
    for name in not_negative:
        if not 0 <= getattr(options, name) < math.inf:
            yield f"--{name} must be 0 or more, not {getattr(options, name)}"
    for name in positive:
        if not 0 < getattr(options, name) < math.inf:
            yield f"--{name} must be positive, not {getattr(options, name)}"
    for name in dropouts:
        if not 0 <= getattr(options, name) < 1:
            yield f"--{name} must be in [0, 1), not {getattr(options, name)}"
    for name in rates:
        if not 0 <= getattr(options, name) <= 1:
            yield f"--{name} must be in [0, 1], not {getattr(options, name)}"


def not_chosen(options: Any) -> Iterator[str]:
    """Yield a line for each field of the dataclass `options` whose value is not a choice."""
    for item in fields(options):
        choices = item.metadata.get("choices")
        if choices and getattr(options, item.name) not in choices:
            yield f"--{item.name} must be one of {', '.join(choices)}"


def add_model_options(parser: Parser) -> None:
    """Add the flags of programs that run a model: the model and the device."""
    add = parser.group("model").add_argument
    add("--model", required=True, metavar="PATH",
        help="model folder, training run's folder, LARK checkpoint, or sample, which comes with "
             "this package")
    add("--vocab_path", metavar="FILE", help="vocabulary of a model that comes without")
    add_device_options(parser)


def add_device_options(parser: Parser) -> None:
    """Add the flags of the device to compute on."""
    add = parser.group("device").add_argument
    add("--use_gpu", type=parse_boolean, nargs="?", const=True, default=False,
        metavar="True|False", help="compute on a GPU")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: one a usable core")


def add_quiet_option(parser: Parser) -> None:
    """Add the flag that hides progress."""
    parser.group("output").add_argument(
        "--quiet", action="store_true", help="no progress bar and no lines of progress; results "
        "and warnings stay")


def add_json_option(parser: Parser, what: str = "the figures as a JSON object") -> None:
    """Add the flag --json, for `bilm.program.json_output`.

    Args:
        parser: The parser of a program.
        what: The content, for the help.
    """
    parser.group("output").add_argument(
        "--json", type=_file_to_write, metavar="FILE", help=f"write {what} to FILE; - prints "
        "that alone on standard output")


def _file_to_write(text):
    path = Path(text)
    if text != "-" and (path.is_dir() or not path.absolute().parent.is_dir()):
        reason = "is a folder" if path.is_dir() else "there is no such folder"
        raise argparse.ArgumentTypeError(f"{text}: {reason}")
    return text


def parse_boolean(text: str) -> bool:
    """Return the boolean that `text` spells: true, false, yes, no, 1 or 0, in any case.

    Raises:
        ArgumentTypeError: It spells none; argparse reports it.
    """
    values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"expected True or False, found {text!r}")
    return values[text.lower()]


def add_obsolete_options(parser: Parser, names: Iterable[str]) -> None:
    """Accept flags that mean nothing here, with or without a value; the help does not list them."""
    for name in names:
        parser.add_argument(f"--{name}", nargs="?", default=argparse.SUPPRESS,
                            help=argparse.SUPPRESS)


def note_on_obsolete(names: Iterable[str]) -> str:
    """Return the sentence of a help about obsolete flags."""
    return "obsolete, accepted for LARK's scripts: " + ", ".join(f"--{name}" for name in names)


def without_obsolete(given: Mapping[str, Any], advice: Mapping[str, str]) -> Dict[str, Any]:
    """Return the flags that were given without the obsolete ones, which are warned about.

    Args:
        given: Values by name.
        advice: What to do instead of each obsolete flag.
    """
    for name in advice:
        if name in given:
            _log.warning(f"--{name} is obsolete and ignored: {advice[name]}")
    return {name: value for name, value in given.items() if name not in advice}
