"""The console script `bilm VERB ...`; every verb is also a module, `python -m bilm.<module>`."""

import os
import sys
from importlib import import_module

from bilm.errors import InputError

# verb: (module, what it does)
VERBS = {
    "segment": ("bilm.segmentation", "split raw text into sentences and words"),
    "vocab": ("bilm.vocabulary_builder", "build a vocabulary from segmented text"),
    "pretrain": ("bilm.train", "train a biLM on segmented text, or resume training"),
    "evaluate": ("bilm.evaluate", "exact perplexity of a biLM on segmented text"),
    "embed": ("bilm.embed_files", "contextual vectors of every word of a text, as HDF5"),
    "score": ("bilm.score", "log-probability of each word and sentence"),
    "generate": ("bilm.generate", "text drawn from a biLM"),
    "convert": ("bilm.convert", "a biLM to another format, checked"),
    "inspect": ("bilm.inspection", "what a checkpoint holds and what it lacks"),
    "compare": ("bilm.comparison", "how far two checkpoints are apart"),
    "plot": ("bilm.plot", "draw learning curves from metrics.jsonl files"),
}


def run_main(main, arguments=None) -> None:
    """Call `main(arguments)` as a program: bad input is one line on stderr and exit status 2."""
    try:
        main(arguments)
    except InputError as error:
        sys.exit(_complain(str(error)))
    except MemoryError as error:
        sys.exit(_complain(out_of_memory(error)))
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(_complain(f"{where}{error.strerror or error}"))
    except KeyboardInterrupt:
        sys.exit(130)


def main(arguments=None) -> None:
    """Run the verb that `arguments` (default: the command line) start with."""
    run_verb("bilm", VERBS, arguments)


def run_verb(program: str, verbs: dict, arguments=None) -> None:
    """Run the verb of a program that `arguments` (default: the command line) start with.

    Args:
        program: Its name.
        verbs: Such as VERBS.
        arguments: A list of strings.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage(program, verbs))
    elif arguments[0] == "--version":
        print(f"{program} {import_module('bilm').__version__}")
    elif arguments[0] in verbs:
        module, _ = verbs[arguments[0]]
        sys.argv[0] = f"{program} {arguments[0]}"
        run_main(import_module(module).main, arguments[1:])
    else:
        sys.exit(_complain(f"unknown verb {arguments[0]!r}; one of: {', '.join(verbs)}"))


def _usage(program, verbs) -> str:
    lines = [f"usage: {program} VERB [OPTIONS]", "",
             f"verbs ({program} VERB --help tells the options):"]
    lines += [f"  {verb:<10} {purpose}" for verb, (_, purpose) in verbs.items()]
    return "\n".join(lines)


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


def _complain(message: str) -> int:
    print("error: " + " ".join(message.splitlines()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
