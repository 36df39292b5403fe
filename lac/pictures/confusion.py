"""Which types of words a tagger confuses: from its reports to a matrix in a picture."""

from collections import Counter
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Tuple

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike, read_json
from bilm.pictures.drawing import Fonts
from lac.tag_names import TAG_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_MOST_TYPES = 40  # of a matrix that can still be read
_OTHERS = "..."  # the rest of the types in one


class Confusion(NamedTuple):
    """Counts of words by their right and their predicted type.

    Attributes:
        types: The types, the most frequent right one first.
        counts: Numbers of words, shape (right types, predicted types).
    """

    types: List[str]
    counts: np.ndarray


def confusion_of(report: Dict[str, Any], source: str) -> Confusion:
    """Return the confusion in a report of `WordScores.report`.

    Types beyond the 40 most frequent are counted as one, "...".

    Args:
        report: The report.
        source: Its name, for messages.

    Raises:
        InputError: The report has no confusion, as those of earlier versions, or it is empty or
            malformed.
    """
    rows = report.get("confusion") if isinstance(report, dict) else None
    if not rows:
        raise InputError(f"{source}: tells of no confusion of types; lac evaluate --json writes it")
    if not _is_well_formed(rows):
        raise InputError(f"{source}: its confusion is not one of types and counts of words")
    totals = Counter({kind: sum(row.values()) for kind, row in rows.items()})
    predicted = {kind for row in rows.values() for kind in row}
    types = sorted(totals.keys() | predicted, key=lambda kind: (-totals[kind], kind))
    if len(types) > _MOST_TYPES:
        types = [*types[: _MOST_TYPES - 1], _OTHERS]
    places = {kind: place for place, kind in enumerate(types)}
    counts = np.zeros((len(types), len(types)), dtype="int64")
    for right, row in rows.items():
        for other, count in row.items():
            counts[places.get(right, len(types) - 1), places.get(other, len(types) - 1)] += count
    return Confusion(types, counts)


def _is_well_formed(rows: object) -> bool:
    return isinstance(rows, dict) and all(
        isinstance(row, dict) and all(type(count) is int and count >= 0 for count in row.values())
        for row in rows.values()
    )


def read_report(path: PathLike) -> Dict[str, Any]:
    """Return the report in a file of `lac evaluate --json`.

    Raises:
        InputError: The file is no JSON object.
    """
    try:
        return read_json(path)
    except InputError as error:
        raise InputError(f"{error}; that is not what lac evaluate --json writes") from None


def label_of(kind: str, fonts: Fonts) -> str:
    """Return a type of LAC's with its names in Chinese and English: "nr 人名 person".

    Without a Chinese font the Chinese name is left out, with a warning.
    """
    if kind not in TAG_NAMES:
        return fonts.to_writable(kind)
    chinese, english = TAG_NAMES[kind]
    if fonts.can_write(chinese):
        return f"{kind} {chinese} {english}"
    fonts.warn_once()
    return f"{kind} {english}"


def size_of(confusion: Confusion) -> Tuple[float, float]:
    """Return the width and the height of a matrix in inches."""
    return 4.6 + 0.4 * len(confusion.types), 2.4 + 0.27 * len(confusion.types)


def draw_confusion(
    figure: "FigureBase", confusion: Confusion, title: str, fonts: Fonts
) -> None:
    """Draw a matrix: numbers are words; colours are their shares of the right type, a row.

    Args:
        figure: A figure or subfigure without panels.
        confusion: The counts.
        title: The name of the text.
        fonts: The fonts of the `drawing` block around this call.
    """
    from matplotlib.ticker import PercentFormatter

    panel = figure.subplots()
    totals = confusion.counts.sum(axis=1)
    shares = confusion.counts / np.maximum(totals, 1)[:, None]
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    labels = [label_of(kind, fonts) for kind in confusion.types]
    rows = [f"{label} ({total:,})" for label, total in zip(labels, totals)]
    places = range(len(labels))
    panel.set_xticks(places, labels, rotation=90, fontsize=8.5)
    panel.set_yticks(places, rows, fontsize=8.5)
    panel.set_xlabel("type found")
    panel.set_ylabel("right type (words)")
    panel.set_title(f"types of words: {title}, {totals.sum():,} words", loc="left")
    panel.grid(False)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    for right, predicted in zip(*confusion.counts.nonzero()):
        color = "white" if shares[right, predicted] > 0.55 else "black"
        count = _short(confusion.counts[right, predicted])
        panel.text(predicted, right, count, color=color, fontsize=7.5, ha="center", va="center")
    _draw_borders(panel, len(labels))
    bar = figure.colorbar(image, ax=panel, label="share of the right type", pad=0.01, aspect=40)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    bar.outline.set_visible(False)


def _draw_borders(panel: "Axes", num_types: int) -> None:
    """Draw faint lines between the cells."""
    borders = np.arange(num_types + 1) - 0.5
    panel.set_xticks(borders, minor=True)
    panel.set_yticks(borders, minor=True)
    panel.grid(which="minor", color="#cccccc", linewidth=0.5, alpha=1)
    panel.tick_params(which="minor", length=0)


def _short(count: int) -> str:
    return str(count) if count < 100_000 else f"{count / 1000:,.0f}k"
