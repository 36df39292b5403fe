"""Training in processes of its own: other starts are refused, and the live ones go on unharmed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from bilm.storage.run_folder import is_run, latest_checkpoint, step_of
from tests.reference.places import ROOT


def start(*arguments, stdout=subprocess.DEVNULL, **environment):
    """Start this Python with these arguments; the checkout's modules are imported."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *arguments], text=True, stdout=stdout,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def wait_for(condition, *processes):
    """Wait for something that must happen while the processes run."""
    deadline = time.monotonic() + 120
    while not condition():
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def live(run, *processes):
    """Yield when processes that train have saved; afterwards they must save again and end well."""
    try:
        wait_for(lambda: is_run(run) and step_of(latest_checkpoint(run)) > 1, *processes)
        yield
        before = latest_checkpoint(run)
        wait_for(lambda: latest_checkpoint(run) != before, *processes)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        errors = [process.communicate(timeout=120)[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes), errors
    finally:
        for process in processes:
            with process:
                process.kill()


@contextmanager
def unchanged(run, *processes):
    """Stop the processes that train; nothing in their folder may change until they go on."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    leave_leftovers(run)
    before = snapshot(run)
    yield
    assert snapshot(run) == before
    for process in processes:
        process.send_signal(signal.SIGCONT)


def leave_leftovers(run):
    """Put into a run's folder what a process that is writing, or was killed then, has there."""
    for name in (".tmp-step_00000009-1", ".old-step_00000008"):
        (run / name).mkdir()
        (run / name / "part").write_text("half")
    (run / ".latest.1.tmp").write_text("step_")


def snapshot(folder) -> dict:
    """Return the names, times of change and contents of a folder and all that is in it."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None
        )
        for path in [folder, *folder.rglob("*")]
    }


def refusal(run) -> str:
    """Return the line on stderr of a start that another process's training prevents."""
    return f"error: {run}: another process is training here; wait for its end\n"


def assert_refused(process, run):
    """The process ends with status 2, and its only line on stderr says why."""
    try:
        error = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert (error, process.returncode) == (refusal(run), 2)
