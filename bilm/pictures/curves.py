"""Curves: the metrics of training runs over their steps, drawn in the panels of a figure."""

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.training.metrics import METRICS, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_log = logging.getLogger("bilm")

_LARGEST = 1e300  # larger values, such as the perplexity of an infinite loss, break log axes


class Series(NamedTuple):
    """The values of a metric over steps.

    Attributes:
        steps: In rising order.
        values: One for each step; NaN where it cannot be drawn.
    """

    steps: List[float]
    values: List[float]


class RunMetrics:
    """The content of RUN/metrics.jsonl.

    Args:
        run: The run's folder.
        start_step: Leave out earlier steps.

    Attributes:
        lines: For each event, "train" or "dev", its lines in rising order of steps.

    Raises:
        InputError: There is no metrics file, or it is damaged.
    """

    def __init__(self, run: PathLike, start_step: int = 0):
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

    def has(self, metric: str) -> bool:
        """Return whether all lines have a metric."""
        return all(metric in line for lines in self.lines.values() for line in lines)

    def series(
        self, event: str, metric: str, value_of: Optional[Callable[[Any], Optional[float]]] = None
    ) -> Series:
        """Return the values of a metric over the steps of the lines that have it.

        A warning says how many of them cannot be drawn.

        Args:
            event: "train" or "dev".
            metric: Its name in the file.
            value_of: Function that extracts the number from the entry in the file, or returns
                None if there is none; by default the entry is the number.
        """
        steps, values = [], []
        for line in self.lines[event]:
            value = line.get(metric)
            if value is not None and value_of is not None:
                value = value_of(value)
            if value is not None:
                steps.append(line["step"])
                values.append(value if _can_be_drawn(value) else math.nan)
        missing = sum(map(math.isnan, values))
        if missing:
            _log.warning(
                f"{self.run}: {missing} of {len(values)} values of {event} {metric} are not finite "
                "and are left out"
            )
        return Series(steps, values)


def _append(lines, line):
    """Append a line, in place of those of its step and later ones: the run was resumed there."""
    while lines and lines[-1]["step"] >= line["step"]:
        lines.pop()
    lines.append(line)


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _can_be_drawn(value):
    return _is_number(value) and abs(value) < _LARGEST


def read_runs(runs: Sequence[PathLike], start_step: int = 0) -> List[RunMetrics]:
    """Return the metrics of runs; a warning lists those that have none.

    Raises:
        InputError: No run has metrics, or a file cannot be read.
    """
    read = [RunMetrics(run, start_step) for run in runs]
    empty = [str(metrics.run) for metrics in read if not metrics]
    since = f" from step {start_step} on" if start_step > 0 else ""
    problem = f"{', '.join(empty)}: no figures in {METRICS}{since}"
    if len(empty) == len(read):
        raise InputError(problem)
    if empty:
        _log.warning(problem)
    return [metrics for metrics in read if metrics]


def names_of(runs: Sequence[PathLike]) -> List[str]:
    """Return a name for each run: that of its folder, or its path where names are equal."""
    names = [Path(run).resolve().name for run in runs]
    chosen = [name if names.count(name) == 1 else str(run) for run, name in zip(runs, names)]
    # matplotlib leaves labels with a leading underscore out of its legends
    return [f"./{name}" if name.startswith("_") else name for name in chosen]


def draw_series(panel: "Axes", series: Series, **style: Any) -> None:
    """Add a line to a panel; isolated points get a dot unless the style has markers."""
    finite = [not math.isnan(value) for value in series.values]
    neighbours = zip([False, *finite], finite, [*finite[1:], False])
    alone = [place for place, (before, here, after) in enumerate(neighbours)
             if here and not (before or after)]
    if alone and "marker" not in style:
        style = {**style, "marker": ".", "markevery": alone}
    panel.plot(series.steps, series.values, **style)


def finish_panel(panel: "Axes", title: str, scale: str = "linear") -> None:
    """Give a panel its title and axes, or a note if it has no values.

    Args:
        panel: A panel with all its lines.
        title: The title.
        scale: Scale of the values: "linear", "from zero" or "log".
    """
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    panel.set_title(title, loc="left")
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    lines: Any = panel.get_lines()  # their data are numbers, which their types do not say
    values = [value for line in lines for value in line.get_ydata() if not math.isnan(value)]
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
