"""`bilm plot`: loss, perplexity, speed and learning rate over the steps of training runs."""

from typing import Sequence

from bilm.errors import InputError
from bilm.pictures.curves import RunFigures, draw_series, finish_panel, names_of, read_runs
from bilm.pictures.drawing import (
    COLORS,
    LINE_STYLES,
    MARKERS,
    check_ending,
    drawing,
    new_figure,
    write_figure,
)

PICTURE = "curves.png"  # in the run's folder, where no other name is given
# figure in metrics.jsonl: title and scale of its panel
PANELS = {
    "loss": ("loss, nats a token", "linear"),
    "perplexity": ("perplexity, logarithmic", "log"),
    "tokens_per_second": ("tokens/s", "from zero"),
    "learning_rate": ("learning rate", "from zero"),
}


def plot_runs(runs: Sequence, output, start_step: int = 0) -> None:
    """Draw the course of training runs and write the picture to `output`.

    Args:
        runs: Folders with a metrics.jsonl each.
        output: File to write; its ending decides the format (.png, .svg, .pdf).
        start_step: Leave out earlier steps.

    Raises:
        InputError: matplotlib is not installed, a run has no metrics or those of a tagger, none
            has a figure from `start_step` on, the ending of `output` is no picture's, or it
            cannot be written.
    """
    check_ending(output)
    with drawing() as fonts:
        write_figure(draw_runs(read_bilm_runs(runs, start_step), fonts), output)


def read_bilm_runs(runs: Sequence, start_step: int = 0) -> list:
    """Return the `RunFigures` of runs of `bilm pretrain` that have some.

    Raises:
        InputError: See `plot_runs`.
    """
    read = read_runs(runs, start_step)
    for figures in read:
        if not figures.has("perplexity"):
            raise InputError(f"{figures.run}: has other figures than perplexities: no run of bilm "
                             "pretrain; lac plot draws those of lac train")
    return read


def draw_runs(runs: Sequence[RunFigures], fonts):
    """Return a figure with a panel for each of PANELS: training as lines, dev as points.

    Args:
        runs: Runs of `bilm pretrain`; each has a colour of its own.
        fonts: The `Fonts` of the `drawing` block that this is called in.
    """
    names = [fonts.to_writable(name) for name in names_of([run.run for run in runs])]
    num_columns = max(1, min(4, 100 // (8 + max(map(len, names)))))  # of the legend
    figure = new_figure(10, 6.4 + 0.2 * (2 * len(runs) // num_columns))
    grid = figure.subplots(2, 2, sharex=True)
    panels = dict(zip(PANELS, grid.flat))
    for number, (run, name) in enumerate(zip(runs, names)):
        for figure_name, panel in panels.items():
            _draw_run(panel, run, figure_name, number, name)
    for figure_name, panel in panels.items():
        _finish(panel, figure_name)
    for panel in grid[-1]:
        panel.set_xlabel("step")
    lines = panels["perplexity"].get_lines()
    figure.legend(handles=lines, loc="outside lower center", ncols=min(num_columns, len(lines)))
    return figure


def _draw_run(panel, run, figure_name, number, name):
    color = COLORS[number % len(COLORS)]
    turn = number // len(COLORS)  # colours are used again from the eighth run on
    style = LINE_STYLES[turn % len(LINE_STYLES)]
    train, dev = (run.series(event, figure_name) for event in ("train", "dev"))
    if train.steps:
        draw_series(panel, train, color=color, linestyle=style, label=f"{name}: train")
    if dev.steps:
        marker = MARKERS[number % len(MARKERS)]
        draw_series(panel, dev, color=color, linestyle="none", marker=marker, markersize=6.5,
                    markeredgecolor="white", zorder=3, label=f"{name}: dev")


def _finish(panel, figure_name):
    from matplotlib.ticker import StrMethodFormatter

    title, scale = PANELS[figure_name]
    finish_panel(panel, title, scale)
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.6g}"))
