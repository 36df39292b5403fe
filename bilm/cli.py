"""The console script `bilm VERB ...`; every verb is also a module, `python -m bilm.<module>`."""

import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Tuple

from bilm.errors import InputError
from bilm.parser import suggestion

# group: verb: (module, what it does)
GROUPS = {
    "text": {
        "segment": ("bilm.segmentation", "split raw text into sentences and words"),
        "vocab": ("bilm.vocabulary_builder", "build a vocabulary from segmented text"),
    },
    "training": {
        "pretrain": ("bilm.train", "train a biLM on segmented text, or resume training"),
        "evaluate": ("bilm.evaluate", "exact perplexity of a biLM on segmented text"),
        "plot": ("bilm.plot", "draw learning curves from metrics.jsonl files"),
    },
    "use of a biLM": {
        "embed": ("bilm.embed_files", "contextual vectors of every word of a text, as HDF5"),
        "score": ("bilm.score", "log-probability of each word and sentence"),
        "generate": ("bilm.generate", "text drawn from a biLM"),
    },
    "checkpoints": {
        "convert": ("bilm.convert", "a biLM to another format, checked"),
        "inspect": ("bilm.inspection", "what a checkpoint holds and what it lacks"),
        "compare": ("bilm.comparison", "how far two checkpoints are apart"),
    },
    "shell": {
        "completion": ("bilm.completion", "a script that completes verbs and flags on Tab"),
    },
}
VERBS = {verb: entry for verbs in GROUPS.values() for verb, entry in verbs.items()}
EXAMPLE = "bilm segment data/raw/train.txt --output corpus/train"

# Exit statuses, as docs/command_line.md tells them; 130 and 141 are 128 + a signal's number.
INTERNAL_ERROR, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


def run_main(main, arguments=None) -> None:
    """Call `main(arguments)` as a program: whatever goes wrong is one line on stderr.

    The exit status tells what it was. With --debug among the arguments a traceback comes first.

    Args:
        main: Takes a list of strings.
        arguments: The list; None: the command line.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            main(arguments)
        finally:
            sys.stdout.flush()  # a closed pipe shows now, not when Python ends
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in arguments:
            traceback.print_exc()
        status, message = _judge(error)
        if message:
            print("error: " + " ".join(message.splitlines()), file=sys.stderr)
        _drop_output_that_cannot_be_written()
        sys.exit(status)


def _judge(error) -> Tuple[int, str]:
    """Return the exit status for an exception and what to tell of it, "" for nothing."""
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
    """Return the text of an exception; of Paddle's, what follows the trace of its C++ functions."""
    return " ".join(str(error).rpartition("Error Message Summary:")[-1].strip("- \n").split())


def _drop_output_that_cannot_be_written():
    """Keep Python from complaining, as it ends, of what is left for a closed pipe or full disk."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments=None) -> None:
    """Run the verb that `arguments` (default: the command line) start with."""
    run_verb("bilm", GROUPS, EXAMPLE, arguments)


def run_verb(program: str, groups: dict, example: str, arguments=None) -> None:
    """Run the verb of a program that `arguments` (default: the command line) start with.

    Args:
        program: Its name.
        groups: Such as GROUPS.
        example: A command line for its help.
        arguments: A list of strings.
    """
    run_main(partial(_dispatch, program, groups, example), arguments)


def _dispatch(program, groups, example, arguments):
    first, *rest = arguments or ["--help"]
    verbs = {verb: module for group in groups.values() for verb, (module, _) in group.items()}
    if first in verbs:
        import_module(verbs[first]).main(rest)
    elif first in ("-h", "--help"):
        print(_help(program, groups, example))
    elif first == "--version":
        print(f"{program} {import_module('bilm').__version__}")
    else:
        what = "option" if first.startswith("-") else "verb"
        near = suggestion(first, ["--help", "--version"] if what == "option" else verbs)
        raise InputError(f"unknown {what} {first!r}{near or ';'} `{program} --help` lists all")


def _help(program, groups, example) -> str:
    lines = [f"usage: {program} VERB [OPTIONS]", "",
             f"`{program} VERB --help` tells a verb's options, `{program} --version` the version."]
    for title, verbs in groups.items():
        lines += ["", f"{title}:"]
        lines += [f"  {verb:<11} {purpose}" for verb, (_, purpose) in verbs.items()]
    return "\n".join([*lines, "", "example:", f"  {example}"])


def out_of_memory(error: MemoryError) -> str:
    """Return what to tell of a MemoryError; Paddle's come with a traceback of its own."""
    reason = next((line for line in str(error).splitlines() if "alloc" in line), "")
    return f"out of memory: {reason.strip() or 'no more can be had'}; lower the batch or the model"


def warn(message: str) -> None:
    """Print one line on stderr: something is odd, and the program goes on.

    Of several processes that train one model the first one prints.
    """
    if os.environ.get("PADDLE_TRAINER_ID", "0") != "0":
        return
    print(f"warning: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
