"""Figures for other programs: what `--json FILE` writes; `-` is the standard output."""

import json
import sys
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Callable, Iterator, Optional

from bilm.files import atomic_file, write_text_atomically


def write_figures(path: Optional[str], figures: dict) -> None:
    """Write a JSON object to the file at `path`, or print it.

    Args:
        path: A file; "-"; or None: nothing is written.
        figures: What json.dumps takes.
    """
    if path is None:
        return
    text = json.dumps(figures, ensure_ascii=False, indent=2) + "\n"
    if path == "-":
        _print_utf8(text)
    else:
        write_text_atomically(path, text)


def stdout_for_figures(path: Optional[str]):
    """Return a context in which prints go to stderr if figures are to be printed: path "-"."""
    return redirect_stdout(sys.stderr) if path == "-" else nullcontext()


@contextmanager
def json_lines(path: Optional[str]) -> Iterator[Callable[[dict], None]]:
    """Yield a function that writes an object as one line to the file at `path`, or prints it.

    Args:
        path: A file, which appears when the block ends well; "-"; or None: nothing is written.
    """
    if path is None:
        yield lambda figures: None
    elif path == "-":
        yield lambda figures: _print_utf8(_line(figures))
    else:
        with atomic_file(path) as file:
            yield lambda figures: file.write(_line(figures).encode("utf-8"))


def _line(figures):
    return json.dumps(figures, ensure_ascii=False) + "\n"


def _print_utf8(text):
    """Print JSON, which is UTF-8 whatever the locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8"))
