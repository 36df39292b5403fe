"""Loss, perplexity, speed and learning rate over the steps of training runs."""

from typing import TYPE_CHECKING, List, Sequence

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.pictures.curves import RunMetrics, draw_series, finish_panel, names_of, read_runs
from bilm.pictures.drawing import (
    COLORS,
    LINE_STYLES,
    MARKERS,
    Fonts,
    check_ending,
    drawing,
    new_figure,
    write_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = "curves.png"  # default name, in the run's folder
# metric in metrics.jsonl: title and scale of its panel
PANELS = {
    "loss": ("loss, nats a token", "linear"),
    "perplexity": ("perplexity, logarithmic", "log"),
    "tokens_per_second": ("tokens/s", "from zero"),
    "learning_rate": ("learning rate", "from zero"),
}


def plot_runs(runs: Sequence[PathLike], output: PathLike, start_step: int = 0) -> None:
    """Draw the course of training runs and write the picture to `output`.

    Args:
        runs: Folders with a metrics.jsonl each.
        output: File to write; its ending determines the format (.png, .svg, .pdf).
        start_step: Leave out earlier steps.

    Raises:
        InputError: matplotlib is not installed, a run has no metrics or those of a tagger, no run
            has metrics from `start_step` on, or `output` has another ending or cannot be written.
    """
    check_ending(output)
    with drawing() as fonts:
        write_figure(draw_runs(read_bilm_runs(runs, start_step), fonts), output)


def read_bilm_runs(runs: Sequence[PathLike], start_step: int = 0) -> List[RunMetrics]:
    """Return the metrics of runs of `bilm pretrain`, without runs that have none.

    Raises:
        InputError: A run has no metrics file or those of a tagger, or no run has metrics.
    """
    read = read_runs(runs, start_step)
    for metrics in read:
        if not metrics.has("perplexity"):
            raise InputError(f"{metrics.run}: has no perplexities, so it is not a run of bilm "
                             "pretrain; use lac plot for runs of lac train")
    return read


def draw_runs(runs: Sequence[RunMetrics], fonts: Fonts) -> "Figure":
    """Return a figure with a panel for each of PANELS: training as lines, dev as points.

    Args:
        runs: Runs of `bilm pretrain`; each has its own colour.
        fonts: The fonts of the `drawing` block in which this is called.
    """
    names = [fonts.to_writable(name) for name in names_of([run.run for run in runs])]
    num_columns = max(1, min(4, 100 // (8 + max(map(len, names)))))  # of the legend
    figure = new_figure(10, 6.4 + 0.2 * (2 * len(runs) // num_columns))
    grid = figure.subplots(2, 2, sharex=True)
    panels = dict(zip(PANELS, grid.flat))
    for number, (run, name) in enumerate(zip(runs, names)):
        for metric, panel in panels.items():
            _draw_run(panel, run, metric, number, name)
    for metric, panel in panels.items():
        _finish(panel, metric)
    for panel in grid[-1]:
        panel.set_xlabel("step")
    lines = panels["perplexity"].get_lines()
    figure.legend(handles=lines, loc="outside lower center", ncols=min(num_columns, len(lines)))
    return figure


def _draw_run(panel, run, metric, number, name):
    color = COLORS[number % len(COLORS)]
    turn = number // len(COLORS)  # colours repeat from the eighth run on
    style = LINE_STYLES[turn % len(LINE_STYLES)]
    train, dev = (run.series(event, metric) for event in ("train", "dev"))
    if train.steps:
        draw_series(panel, train, color=color, linestyle=style, label=f"{name}: train")
    if dev.steps:
        marker = MARKERS[number % len(MARKERS)]
        draw_series(panel, dev, color=color, linestyle="none", marker=marker, markersize=6.5,
                    markeredgecolor="white", zorder=3, label=f"{name}: dev")


def _finish(panel, metric):
    from matplotlib.ticker import StrMethodFormatter

    title, scale = PANELS[metric]
    finish_panel(panel, title, scale)
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.6g}"))
