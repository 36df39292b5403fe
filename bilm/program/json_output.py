"""JSON for other programs, which `--json FILE` writes; `-` is the standard output."""

import json
import sys
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any, Callable, ContextManager, Dict, Iterator, Optional

from bilm.files import atomic_file, write_text_atomically


def write_report(path: Optional[str], report: Dict[str, Any]) -> None:
    """Write a JSON object to a file, print it if `path` is "-", or do nothing if it is None."""
    if path is None:
        return
    text = json.dumps(report, ensure_ascii=False, indent=2) + "\n"
    if path == "-":
        _print_utf8(text)
    else:
        write_text_atomically(path, text)


def stdout_for_report(path: Optional[str]) -> ContextManager[object]:
    """Return a context that sends prints to stderr if the report is to be printed: path "-"."""
    return redirect_stdout(sys.stderr) if path == "-" else nullcontext()


@contextmanager
def json_lines(path: Optional[str]) -> Iterator[Callable[[dict], object]]:
    """Yield a function that writes a JSON object as one line.

    Args:
        path: A file, which appears when the block succeeds; "-": the lines are printed; None:
            nothing is written.
    """
    if path is None:
        yield lambda value: None
    elif path == "-":
        yield lambda value: _print_utf8(_line(value))
    else:
        with atomic_file(path) as file:
            yield lambda value: file.write(_line(value).encode("utf-8"))


def _line(value):
    return json.dumps(value, ensure_ascii=False) + "\n"


def _print_utf8(text):
    """Print JSON as UTF-8 whatever the locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8"))
