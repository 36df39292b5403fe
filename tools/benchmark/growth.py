"""How the costs grow with the sizes: what to measure for that, and a picture of it."""

from pathlib import Path

import numpy as np

from benchmark.sizes import sizes_of
from bilm.errors import InputError

TASKS = ("train_full", "embed")
AXES = {
    "batch": (1, 2, 4, 8, 16, 32, 64, 128),
    "steps": (5, 10, 20, 40, 80),
    "vocab": (5_000, 10_000, 20_000, 50_000, 100_000),
    "cell": (256, 512, 1_024, 2_048, 4_096),
}


def pairs_of(config):
    """Return tasks and configurations in which one size is another than in `config`."""
    pairs = [
        (task, config if size == getattr(sizes_of(config), axis) else f"{config}:{axis}={size}")
        for axis, values in AXES.items()
        for size in values
        for task in TASKS
        if (task, axis) != ("embed", "vocab")  # a word's vector is looked up: no cost of its own
    ]
    return list(dict.fromkeys(pairs))


def check_picture(path):
    """Raise an InputError if no picture of this name can be drawn."""
    allowed = _figure().canvas.get_supported_filetypes()
    if Path(path).suffix[1:] not in allowed:
        raise InputError(f"--growth {path}: the name must end in one of .{', .'.join(allowed)}")


def _figure():
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise InputError(
            "matplotlib is not installed: install this package with its extra [plot]"
        ) from None
    return Figure(figsize=(13, 6), layout="tight")


def plot(results, config, path):
    """Draw time and memory over each size.

    Args:
        results: What `measure` returned for `pairs_of(config)`.
        config: The configuration that the others were made from.
        path: The picture to write.
    """
    figure = _figure()
    panels = figure.subplots(2, len(AXES), sharey="row", sharex="col")
    for (time, memory), axis in zip(panels.T, AXES):
        for color, task in zip(("C0", "C1"), TASKS):
            points = sorted(
                (getattr(sizes_of(result["config"]), axis), 1e6 / result["tokens_per_s"],
                 result["roofline_fraction"], result["peak_rss_mb"])
                for result in results
                if result["task"] == task and _differs_only_in(axis, result["config"], config)
            )
            if len(points) < 2:
                continue
            sizes, milliseconds, fractions, megabytes = map(np.array, zip(*points))
            time.plot(sizes, milliseconds, "o-", color=color, label=task)
            time.plot(sizes, milliseconds * fractions, ":", color=color,
                      label=f"{task}: matrix products alone")
            memory.plot(sizes, megabytes, "o-", color=color)
        memory.set_xlabel(axis)
        for panel in (time, memory):
            panel.set(xscale="log", yscale="log")
            panel.set_xticks(AXES[axis], [f"{size:,}" for size in AXES[axis]])
            panel.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
            panel.tick_params(axis="x", labelrotation=45)
            panel.grid(alpha=0.3)
    panels[0, 0].set_ylabel("ms for 1,000 tokens")
    panels[1, 0].set_ylabel("peak memory, MB")
    panels[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=100)


def _differs_only_in(axis, config, base):
    return config == base or config.startswith(f"{base}:{axis}=")
