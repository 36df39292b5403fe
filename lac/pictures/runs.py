"""Dev scores and the mix of ELMo's layers over a tagger's training, and the types it confuses."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.pictures.curves import (
    RunMetrics,
    Series,
    draw_series,
    finish_panel,
    names_of,
    read_runs,
)
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
from lac.pictures.confusion import Confusion, confusion_of, draw_confusion, read_report, size_of
from lac.training.outcome import RESULT_FILE, read_outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

_log = logging.getLogger("lac")

SCORES = {"f1": "F1", "precision": "precision", "recall": "recall"}  # in metrics.jsonl: its name
_HEIGHT = 3.6  # of the curves, in inches


class Matrix(NamedTuple):
    """A confusion of types, to be drawn.

    Attributes:
        confusion: The counts.
        title: The name of the text.
    """

    confusion: Confusion
    title: str


def plot_taggers(
    runs: Sequence[PathLike],
    output: PathLike,
    figures: Optional[PathLike] = None,
    start_step: int = 0,
) -> None:
    """Draw training runs of taggers and their confusion of types; write it to `output`.

    Args:
        runs: Folders of `lac train`; curves come from metrics.jsonl, confusions of types from
            result.json (test data, else dev data). There may be none.
        output: File to write; its ending decides the format (.png, .svg, .pdf).
        figures: File of `lac evaluate --json` to take the confusion from instead; may be None
            if there are runs.
        start_step: First step of the curves.

    Raises:
        InputError: matplotlib is not installed, a run has no metrics or those of a biLM, `figures`
            has no confusion, the ending of `output` is no picture's, or it cannot be written.
    """
    check_ending(output)
    read = read_tagger_runs(runs, start_step) if runs else []
    if figures:
        matrices = [Matrix(confusion_of(read_report(figures), str(figures)), Path(figures).name)]
    else:
        matrices = [matrix for run, name in zip(runs, names_of(runs))
                    for matrix in _matrix_of_run(run, name)]
    with drawing() as fonts:
        write_figure(draw_taggers(read, matrices, fonts), output)


def read_tagger_runs(runs: Sequence[PathLike], start_step: int = 0) -> List[RunMetrics]:
    """Return the figures of runs of `lac train`.

    Runs without metrics are skipped.

    Raises:
        InputError: See `plot_taggers`.
    """
    read = read_runs(runs, start_step)
    for figures in read:
        if any("perplexity" in line for lines in figures.lines.values() for line in lines):
            raise InputError(f"{figures.run}: has perplexities: no run of lac train; bilm plot "
                             "draws those of bilm pretrain")
    return read


def _matrix_of_run(run: PathLike, name: str) -> List[Matrix]:
    """Return the matrix of a run's result in a list, or an empty list with a warning."""
    outcome = read_outcome(run)
    if outcome is None:
        _log.warning(
            f"{run}: has not ended, so there is no {RESULT_FILE} with a confusion of types"
        )
        return []
    report, data = (outcome.test, "test") if outcome.test else (outcome.dev, "dev")
    try:
        confusion = confusion_of(report, str(Path(run) / RESULT_FILE))
    except InputError as error:
        _log.warning(f"{error}; --figures FILE draws it")
        return []
    return [Matrix(confusion, f"{name}, {data} data")]


def draw_taggers(
    runs: Sequence[RunMetrics], matrices: Sequence[Matrix], fonts: Fonts
) -> "Figure":
    """Return a figure with the curves of all runs in its first row, then a matrix in each row.

    Args:
        runs: Runs of `lac train`; may be empty if there are matrices.
        matrices: Confusions of types.
        fonts: The fonts of the `drawing` block around this call.
    """
    sizes = [size_of(matrix.confusion) for matrix in matrices]
    heights = [height for _, height in sizes]
    if runs:
        heights.insert(0, _HEIGHT)
    width = max([width for width, _ in sizes] + [12 if runs else 0])
    figure = new_figure(width, sum(heights))
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if runs:
        draw_curves(parts.pop(0), runs, fonts)
    for part, matrix in zip(parts, matrices):
        draw_confusion(part, matrix.confusion, fonts.to_writable(matrix.title), fonts)
    return figure


def draw_curves(figure: "FigureBase", runs: Sequence[RunMetrics], fonts: Fonts) -> None:
    """Draw dev scores over steps and, of runs with ELMo, gamma and the shares of its layers.

    Args:
        figure: A figure or subfigure without panels.
        runs: Runs of `lac train`. Each run has a colour, or each line of a single run.
        fonts: The fonts of the `drawing` block around this call.
    """
    from matplotlib.ticker import PercentFormatter

    num_layers = max(map(_num_layers, runs))
    panels = figure.subplots(1, 3 if num_layers else 1, squeeze=False)[0]
    _draw_lines(panels[0], [_scores_of(run) for run in runs])
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    finish_panel(panels[0], "dev F1, precision, recall")
    if num_layers:
        _draw_lines(panels[1], [_shares_of(run, num_layers) for run in runs])
        finish_panel(panels[1], "shares of ELMo's layers", "from zero")
        _draw_lines(panels[2], [_gamma_of(run) for run in runs])
        finish_panel(panels[2], "gamma, ELMo's scale")
    for panel in panels:
        panel.set_xlabel("step")
    if len(runs) > 1:
        _add_run_names(figure, [fonts.to_writable(name) for name in
                                names_of([run.run for run in runs])])


def _scores_of(run: RunMetrics) -> Dict[str, Series]:
    return {name: run.series("dev", figure) for figure, name in SCORES.items()}


def _num_layers(run: RunMetrics) -> int:
    mixes = [line["mix"] for line in run.lines["dev"] if line.get("mix")]
    return max((len(mix.get("shares", ())) for mix in mixes), default=0)


def _shares_of(run: RunMetrics, num_layers: int) -> Dict[str, Series]:
    def share_of(layer: int) -> Callable[[Dict[str, Any]], Optional[float]]:
        return lambda mix: dict(enumerate(mix.get("shares", ()))).get(layer)

    names = ["token layer", *(f"layer {layer}" for layer in range(1, num_layers))]
    return {name: run.series("dev", "mix", share_of(layer)) for layer, name in enumerate(names)}


def _gamma_of(run: RunMetrics) -> Dict[str, Series]:
    return {"gamma": run.series("dev", "mix", lambda mix: mix.get("gamma"))}


def _draw_lines(panel: "Axes", runs: Sequence[Dict[str, Series]]) -> None:
    """Draw the named series of each run, and a legend of their names."""
    from matplotlib.lines import Line2D

    keys = []
    for number, series_of in enumerate(runs):
        for place, (name, series) in enumerate(series_of.items()):
            style: Dict[str, Any] = {
                "linestyle": LINE_STYLES[place % len(LINE_STYLES)],
                "marker": MARKERS[place % len(MARKERS)],
                "color": COLORS[(place if len(runs) == 1 else number) % len(COLORS)],
            }
            draw_series(panel, series, markersize=4, label=name, **style)
            if number == 0:
                color = style["color"] if len(runs) == 1 else "gray"
                keys.append(Line2D([], [], **{**style, "color": color}, markersize=4, label=name))
    if len(keys) > 1:
        panel.legend(handles=keys, fontsize=9)


def _add_run_names(figure: "FigureBase", names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=COLORS[number % len(COLORS)], linewidth=3, label=name)
             for number, name in enumerate(names)]
    figure.legend(handles=lines, loc="outside upper center", ncols=min(len(lines), 5))
