"""Figures of a run, one JSON object a line: RUN/metrics.jsonl, and VisualDL."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, List, Optional

from bilm.errors import InputError
from bilm.files import PathLike, write_text_atomically

METRICS = "metrics.jsonl"


class MetricsLog:
    """Appends one JSON object a line to RUN/metrics.jsonl, and to VisualDL where installed.

    Args:
        run: The run's folder.
        last_step: Lines of later steps are cut: a resumed run writes them again.
    """

    def __init__(self, run: PathLike, last_step: int = 0):
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

    def write(self, **figures: Any) -> None:
        """Write one line and, for a dev evaluation, remember its step.

        Args:
            **figures: Numbers or strings; `step` must be among them.

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
        """Write every line to the disk.

        Raises:
            InputError: The file cannot be written.
        """
        with self._told_errors():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the files.

        Raises:
            InputError: Buffered lines cannot be written.
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


def read_metrics(path: PathLike) -> List[dict]:
    """Return the objects in a metrics file, without a last line that was cut short.

    Raises:
        InputError: Another line is no JSON object.
    """
    lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    objects = _objects(lines)
    if len(objects) < len(lines):
        raise InputError(f"{path}, line {len(objects) + 1}: not a JSON object")
    return objects


def cut_metrics(path: PathLike, last_step: int) -> List[dict]:
    """Remove the lines of steps after `last_step`, and damaged ones, from a metrics file.

    A power failure can damage the end of the file, but lines up to a checkpoint are on the disk
    before the checkpoint is.

    Returns:
        The remaining objects.
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
