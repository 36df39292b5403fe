"""Figures of a run: RUN/metrics.jsonl, log lines or a progress bar, and VisualDL."""

import json
import math
import os
import sys
from pathlib import Path

from tqdm import tqdm

from bilm.files import write_text_atomically

METRICS = "metrics.jsonl"


class MetricsLog:
    """Appends one JSON object a line to RUN/metrics.jsonl, and to VisualDL where installed.

    Args:
        run: The run's folder.
        last_step: Lines of later steps are cut: a resumed run writes them again.
    """

    def __init__(self, run, last_step: int = 0):
        self._path = Path(run) / METRICS
        cut_metrics(self._path, last_step)
        self._file = open(self._path, "a", encoding="utf-8")
        self._visual = _visual_writer(run)

    def write(self, **figures) -> None:
        """Write one line; the values must be numbers or strings."""
        self._file.write(json.dumps(figures) + "\n")
        self._file.flush()
        if self._visual:
            event = figures.get("event", "train")
            for name, value in figures.items():
                if isinstance(value, (int, float)) and name != "step":
                    self._visual.add_scalar(f"{event}/{name}", value, figures["step"])

    def sync(self) -> None:
        """Return when every line is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        if self._visual:
            self._visual.close()


def read_metrics(path) -> list:
    """Return the objects in a metrics file; a last line that was cut short is left out."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def cut_metrics(path, last_step: int) -> None:
    """Take the lines of steps after `last_step` off a metrics file, if there is one."""
    if Path(path).exists():
        kept = [line for line in read_metrics(path) if line["step"] <= last_step]
        write_text_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))


def _visual_writer(run):
    try:
        from visualdl import LogWriter
    except ImportError:
        return None
    return LogWriter(logdir=str(Path(run) / "visualdl"))


class Progress:
    """A bar on a terminal, plain lines elsewhere.

    Args:
        total: Steps in all.
        done: Steps done before.
        enabled: False on all processes but one.
    """

    def __init__(self, total: int, done: int, enabled: bool = True):
        self._enabled = enabled
        self._bar = None
        if enabled and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True)

    def advance(self) -> None:
        if self._bar:
            self._bar.update()

    def say(self, text: str) -> None:
        """Print one line without disturbing the bar."""
        if self._bar:
            self._bar.write(text)
        elif self._enabled:
            print(text, flush=True)

    def close(self) -> None:
        if self._bar:
            self._bar.close()


def perplexity_of(nats: float) -> float:
    """Return exp(nats), or the largest number that is still a float."""
    return math.exp(min(nats, 709.0))


def format_duration(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
