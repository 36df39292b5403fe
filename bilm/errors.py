"""Errors of the input, as opposed to defects of the program, and their messages of one line."""

from difflib import get_close_matches
from typing import Iterable, Sequence


class InputError(ValueError):
    """Bad input, described in one line: what was expected and found, where, and what to do next.

    The command-line programs print its text and exit with status 2; library users can catch
    it as a `ValueError`. Line ends within the text, such as those of a name in a damaged file,
    become spaces.

    Args:
        message: Without a full stop at its end.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).splitlines()))


def listed(problems: Sequence[object], most: int = 10) -> str:
    """Return problems side by side, the first ones of many and the number of the rest."""
    shown = "; ".join(map(str, problems[:most]))
    rest = len(problems) - most
    return shown + (f"; and {rest} more" if rest > 0 else "")


def out_of_memory(error: MemoryError) -> str:
    """Return one line for a MemoryError; Paddle's come with a trace of its C++ functions."""
    reason = next((line for line in str(error).splitlines() if "alloc" in line), "")
    return f"out of memory: {reason.strip() or 'no memory left'}; lower the batch or the model"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the known words like `word`, or "" if there are none."""
    names = {name.lstrip("-"): name for name in known}
    bare = word.lstrip("-")
    near = [name for name in names if len(bare) > 2 and name.startswith(bare)]
    near = near[:3] or get_close_matches(bare, names, n=1)
    return f"; did you mean {' or '.join(names[name] for name in near)}?" if near else ""
