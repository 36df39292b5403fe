"""`bilm plot`: learning curves from the metrics of training runs."""

from pathlib import Path

from bilm.cli import run_main
from bilm.errors import InputError
from bilm.metrics import METRICS, read_metrics
from bilm.options import new_parser
from bilm.parser import Parser


def plot_runs(runs, output, start_step: int = 0) -> None:
    """Draw training and dev perplexity over steps and write the picture to `output`.

    Args:
        runs: Folders with a metrics.jsonl each.
        output: File to write; its ending decides the format (.png, .svg, .pdf).
        start_step: Leave out earlier steps.

    Raises:
        InputError: matplotlib is not installed, a run has no metrics, or the ending of
            `output` is no picture's.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise InputError("matplotlib is not installed: pip install matplotlib") from None
    figure = Figure(figsize=(8, 4.5), layout="tight")
    axes = figure.subplots()
    for run in runs:
        lines = [line for line in _metrics_of(run) if line["step"] >= start_step]
        for event, style in (("train", "-"), ("dev", "o--")):
            points = [line for line in lines if line.get("event", "train") == event]
            steps = [line["step"] for line in points]
            values = [line["perplexity"] for line in points]
            if points:
                axes.plot(steps, values, style, label=f"{Path(run).name}: {event}", linewidth=1.2)
    axes.set(xlabel="step", ylabel="perplexity", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    try:
        figure.savefig(output, dpi=120)
    except ValueError as error:
        raise InputError(f"{output}: {error}") from None


def _metrics_of(run):
    path = Path(run) / METRICS
    if not path.is_file():
        raise InputError(f"{run}: not a training run: it has no {METRICS}")
    lines = read_metrics(path)
    if not all("perplexity" in line for line in lines):
        raise InputError(f"{run}: has other figures than perplexities: no run of bilm pretrain")
    return lines


def build_parser() -> Parser:
    """Return the parser of `bilm plot`."""
    parser = new_parser("bilm plot", "Draw learning curves from the metrics of training runs.",
                        ["bilm plot run --output curve.png"])
    add = parser.group("runs").add_argument
    add("runs", nargs="+", metavar="RUN", help="folder of a training run")
    add("--start_step", type=int, default=0, metavar="N", help="leave out earlier steps")
    add = parser.group("output").add_argument
    add("--output", required=True, metavar="FILE", help="picture to write: .png, .svg or .pdf")
    return parser


def main(arguments=None) -> None:
    """Draw what the command line says."""
    options = build_parser().parse_args(arguments)
    plot_runs(options.runs, options.output, options.start_step)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    run_main(main)
