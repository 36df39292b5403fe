"""The metrics file, the progress of a run, and VisualDL where it is installed."""

import sys
import types

import pytest

from bilm.training.metrics import MetricsLog, cut_metrics, read_metrics
from bilm.training.progress import Progress, Speed, format_duration


def test_a_resumed_log_goes_on_after_the_checkpoint(tmp_path):
    log = MetricsLog(tmp_path)
    for step in (1, 2, 3):
        log.write(step=step, loss=step / 3)
    log.close()
    log = MetricsLog(tmp_path, last_step=2)
    log.write(step=3, loss=0.25)
    log.close()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines == [{"step": 1, "loss": 1 / 3}, {"step": 2, "loss": 2 / 3},
                     {"step": 3, "loss": 0.25}]


def test_a_line_cut_short_by_a_crash_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "lo')
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]
    cut_metrics(path, 5)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.fixture
def scalars(monkeypatch):
    """What VisualDL is given."""
    scalars = []

    class LogWriter:
        def __init__(self, logdir):
            self.logdir = logdir

        def add_scalar(self, tag, value, step):
            scalars.append((tag, value, step))

        def close(self):
            scalars.append("closed")

    monkeypatch.setitem(sys.modules, "visualdl", types.SimpleNamespace(LogWriter=LogWriter))
    return scalars


def test_visualdl_gets_every_number(tmp_path, scalars):
    log = MetricsLog(tmp_path)
    log.write(step=4, loss=2.5)
    log.write(event="dev", step=4, perplexity=9.0)
    log.close()
    assert scalars == [("train/loss", 2.5, 4), ("dev/perplexity", 9.0, 4), "closed"]


def test_the_file_of_a_resumed_run_for_visualdl_holds_its_whole_course(tmp_path, scalars):
    for last_step, loss in ((0, 9.0), (1, 7.0)):
        log = MetricsLog(tmp_path, last_step)
        log.write(step=last_step + 1, loss=loss)
        if last_step == 0:
            log.write(step=2, loss=8.0)
            log.close()
            scalars.clear()
    log.close()
    assert scalars == [("train/loss", 9.0, 1), ("train/loss", 7.0, 2), "closed"]


def test_plain_lines_where_there_is_no_terminal(capsys):
    progress = Progress(total=3, done=0)
    progress.advance()
    progress.say("step 1")
    progress.close()
    Progress(total=3, done=0, enabled=False).say("another process")
    captured = capsys.readouterr()
    assert captured.out == "step 1\n" and captured.err == ""


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress(total=3, done=1)
    progress.advance()
    progress.say("step 2")
    progress.close()
    captured = capsys.readouterr()
    assert "step 2\n" in captured.out and "2/3" in captured.err


def test_speed_leaves_out_what_is_skipped(monkeypatch):
    clock = iter([0.0, 2.0, 2.0, 100.0, 104.0, 104.0])
    monkeypatch.setattr("bilm.training.progress.time.monotonic", lambda: next(clock))
    speed = Speed(tokens=1000)
    assert speed.lap(1200) == 100.0
    speed.skip(1200)  # 98 seconds of evaluation
    assert speed.lap(1300) == 25.0
    assert speed.average() == 50.0


def test_durations():
    assert [format_duration(seconds) for seconds in (0, 61.9, 36_000)] == [
        "0:00:00", "0:01:01", "10:00:00"]
