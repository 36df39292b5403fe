"""Curves: figures of runs over their steps, and lines of them in a picture's panels."""

import logging
import math
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from bilm.errors import InputError
from bilm.training.metrics import METRICS, read_metrics

_log = logging.getLogger("bilm")

_LARGEST = 1e300  # what is beyond, as an infinite loss's perplexity, breaks logarithmic axes


class Series(NamedTuple):
    """A figure over steps.

    Attributes:
        steps: Rising.
        values: One a step; NaN where there is none or it is not finite.
    """

    steps: List[float]
    values: List[float]


class RunFigures:
    """What RUN/metrics.jsonl says of a run's course.

    Args:
        run: The run's folder.
        start_step: Leave out earlier steps.

    Attributes:
        lines: Event ("train" or "dev") to its lines, by rising step.

    Raises:
        InputError: There is no metrics file, or it is damaged.
    """

    def __init__(self, run, start_step: int = 0):
        self.run = run
        path = Path(run) / METRICS
        if not path.is_file():
            raise InputError(f"{run}: not a training run: it has no {METRICS}")
        self.lines: Dict[str, List[Dict]] = {"train": [], "dev": []}
        for line in read_metrics(path):
            if not _is_number(line["step"]):
                raise InputError(f"{path}: {line['step']!r} is no step")
            if line["step"] >= start_step:
                _append(self.lines.setdefault(line.get("event", "train"), []), line)

    def __bool__(self) -> bool:
        return any(self.lines.values())

    def has(self, figure: str) -> bool:
        """Return whether all lines have a figure."""
        return all(figure in line for lines in self.lines.values() for line in lines)

    def series(self, event: str, figure: str, value_of: Optional[Callable] = None) -> Series:
        """Return a figure over the steps of an event, of lines that have it.

        Values that cannot be drawn are warned about.

        Args:
            event: "train" or "dev".
            figure: Its name in the file.
            value_of: Makes a number of what stands there, None if it has none; without it what
                stands there is the number.
        """
        found = [(line["step"], line.get(figure)) for line in self.lines[event]]
        if value_of is not None:
            found = [(step, None if entry is None else value_of(entry)) for step, entry in found]
        found = [(step, value) for step, value in found if value is not None]
        drawn = [value if _can_be_drawn(value) else math.nan for _, value in found]
        missing = sum(map(math.isnan, drawn))
        if missing:
            _log.warning(
                f"{self.run}: {missing} of {len(drawn)} values of {event} {figure} are not finite "
                "and are left out"
            )
        return Series([step for step, _ in found], drawn)


def _append(lines, line):
    """Append a line; those of its step and later ones were written before a resumption."""
    while lines and lines[-1]["step"] >= line["step"]:
        lines.pop()
    lines.append(line)


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _can_be_drawn(value):
    return _is_number(value) and abs(value) < _LARGEST


def read_runs(runs: Sequence, start_step: int = 0) -> List[RunFigures]:
    """Return the figures of those runs that have some; the others are warned about.

    Raises:
        InputError: None has any, or one cannot be read.
    """
    read = [RunFigures(run, start_step) for run in runs]
    empty = [str(figures.run) for figures in read if not figures]
    since = f" from step {start_step} on" if start_step > 0 else ""
    problem = f"{', '.join(empty)}: no figures in {METRICS}{since}"
    if len(empty) == len(read):
        raise InputError(problem)
    if empty:
        _log.warning(problem)
    return [figures for figures in read if figures]


def names_of(runs: Sequence) -> List[str]:
    """Return a name for each run: its folder's, or its path where two names are alike."""
    names = [Path(run).resolve().name for run in runs]
    chosen = [name if names.count(name) == 1 else str(run) for run, name in zip(runs, names)]
    # matplotlib leaves labels with a leading underscore out of its legends
    return [f"./{name}" if name.startswith("_") else name for name in chosen]


def draw_series(panel, series: Series, **style) -> None:
    """Add a line to a panel; without markers of its own, points that stand alone get a dot."""
    finite = [not math.isnan(value) for value in series.values]
    neighbours = zip([False, *finite], finite, [*finite[1:], False])
    alone = [place for place, (before, here, after) in enumerate(neighbours)
             if here and not (before or after)]
    if alone and "marker" not in style:
        style = {**style, "marker": ".", "markevery": alone}
    panel.plot(series.steps, series.values, **style)


def finish_panel(panel, title: str, scale: str = "linear") -> None:
    """Give a panel of curves its title and axes; say so where it has no value.

    Args:
        panel: It holds all its lines.
        title: Its title.
        scale: Of the values: "linear", "from zero" or "log".
    """
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    panel.set_title(title, loc="left")
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    values = [value for line in panel.get_lines() for value in line.get_ydata()
              if not math.isnan(value)]
    if not values:
        panel.text(0.5, 0.5, "no figures", transform=panel.transAxes, ha="center", color="gray")
        panel.set_yticks([])
    elif scale == "log":
        _make_logarithmic(panel, values)
    elif scale == "from zero" and max(values) > 0:
        panel.set_ylim(0, 1.08 * max(values))


def _make_logarithmic(panel, values):
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    panel.set_yscale("log")
    positive = [value for value in values if value > 0]
    is_narrow = positive and max(positive) < 8 * min(positive)
    locator = MaxNLocator(nbins=6) if is_narrow else LogLocator(subs=(1, 2, 5))
    panel.yaxis.set_major_locator(locator)
    panel.yaxis.set_minor_locator(NullLocator())
