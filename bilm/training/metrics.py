"""Figures of a run: RUN/metrics.jsonl, log lines or a progress bar, and VisualDL."""

import json
import math
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

from tqdm import tqdm

from bilm.errors import InputError
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
        kept = cut_metrics(self._path, last_step)
        self._dev_steps = {line["step"] for line in kept if line.get("event") == "dev"}
        self._last = {line.get("event", "train"): line for line in kept}
        self._file = open(self._path, "a", encoding="utf-8")
        self._visual = _visual_writer(run)
        for line in kept:  # of a run's files VisualDL shows the last one only
            self._show(line)

    def has_dev(self, step: int) -> bool:
        """Return whether there is a dev line of this step."""
        return step in self._dev_steps

    def last(self, event: str) -> Optional[dict]:
        """Return the last line of "train" or "dev"; None if there is none."""
        return self._last.get(event)

    def write(self, **figures) -> None:
        """Write one line and, for a dev evaluation, remember its step.

        Args:
            figures: Numbers or strings; `step` must be among them.

        Raises:
            InputError: The file cannot be written.
        """
        with self._told_errors():
            self._file.write(json.dumps(figures) + "\n")
            self._file.flush()
        self._last[figures.get("event", "train")] = figures
        if figures.get("event") == "dev":
            self._dev_steps.add(figures["step"])
        self._show(figures)

    def _show(self, figures):
        """Give the numbers of a line to VisualDL where it is installed."""
        if not self._visual:
            return
        event = figures.get("event", "train")
        for name, value in figures.items():
            if isinstance(value, (int, float)) and name != "step":
                self._visual.add_scalar(f"{event}/{name}", value, figures["step"])

    def sync(self) -> None:
        """Return when every line is on the disk.

        Raises:
            InputError: The file cannot be written.
        """
        with self._told_errors():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the files.

        Raises:
            InputError: What was still to be written cannot be.
        """
        with self._told_errors():
            self._file.close()
        if self._visual:
            self._visual.close()

    @contextmanager
    def _told_errors(self):
        try:
            yield
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror}") from None


def read_metrics(path) -> list:
    """Return the objects in a metrics file; a last line that was cut short is left out.

    Raises:
        InputError: Another line is no JSON object.
    """
    lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    objects = _objects(lines)
    if len(objects) < len(lines):
        raise InputError(f"{path}, line {len(objects) + 1}: not a JSON object")
    return objects


def cut_metrics(path, last_step: int) -> list:
    """Take the lines of steps after `last_step`, and damaged ones, off a metrics file.

    A power failure can damage the end of the file; lines up to a checkpoint are on the
    disk before it is.

    Returns:
        The objects that are left.
    """
    if not Path(path).exists():
        return []
    lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    kept = [line for line in _objects(lines) if line["step"] <= last_step]
    write_text_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
    return kept


def _objects(lines):
    """Return the JSON objects in `lines` up to the first damaged line."""
    objects = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            break
        if not isinstance(value, dict) or "step" not in value:
            break
        objects.append(value)
    return objects


def _visual_writer(run):
    try:
        from visualdl import LogWriter
    except ImportError:
        return None
    return LogWriter(logdir=str(Path(run) / "visualdl"))


class Speed:
    """Tokens per second, since the last log line and over all of them.

    Args:
        tokens: Tokens done before.
    """

    def __init__(self, tokens: int):
        self._seconds, self._tokens = 0.0, 0
        self.skip(tokens)

    def lap(self, tokens: int) -> float:
        """Return the speed since the last lap, and start a new one."""
        seconds, done = max(time.monotonic() - self._start, 1e-9), tokens - self._done
        self._seconds, self._tokens = self._seconds + seconds, self._tokens + done
        self.skip(tokens)
        return done / seconds

    def skip(self, tokens: int) -> None:
        """Start a new lap: what has passed, such as an evaluation, does not count."""
        self._start, self._done = time.monotonic(), tokens

    def average(self) -> float:
        """Return the speed over all laps, of which there must be one."""
        return self._tokens / self._seconds

    def time_left(self, step: int, total: int, tokens: int) -> str:
        """Return how long the steps after `step` will take, as h:mm:ss.

        Args:
            step: Steps done, at least one.
            total: Steps in all; fewer than `step` count as none left.
            tokens: Tokens of the steps that are done.
        """
        return format_duration(max(0, total - step) * tokens / step / self.average())


class Progress:
    """A bar on a terminal, plain lines elsewhere.

    Args:
        total: Steps in all.
        done: Steps done before.
        enabled: False on all processes but one.
        quiet: Show results only.
    """

    def __init__(self, total: int, done: int, enabled: bool = True, quiet: bool = False):
        self._total, self._enabled, self._quiet = total, enabled, quiet
        self._bar = None
        if enabled and not quiet and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True)

    def advance(self) -> None:
        """Count one step as done."""
        if self._bar:
            self._bar.update()

    def log(self, figures: dict, time_left: str) -> None:
        """Print the figures of a training line in metrics.jsonl.

        Args:
            figures: With step, epoch, loss, tokens_per_second and, where there is one, perplexity.
            time_left: Shown after "ETA".
        """
        perplexity = figures.get("perplexity")
        told = "" if perplexity is None else f"  perplexity {perplexity:.2f}"
        self.say(
            f"step {figures['step']}/{self._total}  epoch {figures['epoch']:.2f}  "
            f"loss {figures['loss']:.4f}{told}  {figures['tokens_per_second']:.0f} tokens/s  "
            f"ETA {time_left}"
        )

    def say(self, text: str) -> None:
        """Print one line of progress without disturbing the bar."""
        if not self._quiet:
            self.tell(text)

    def tell(self, text: str) -> None:
        """Print a result, which is shown even if progress is not."""
        if self._bar:
            self._bar.write(text)
        elif self._enabled:
            print(text, flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
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
