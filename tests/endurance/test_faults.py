"""Drills: training meets a fault, and goes on from its last checkpoint as if nothing had been.

Each process is `bilm pretrain` as users start it. BILM_DRILLS says how often the process is
killed (default 6; docs/reliability.md has the figures of 25).
"""

import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("BILM_DRILLS", "6"))
STEPS = 240
RANDOM = ["--dropout", "0.2", "--shuffle", "--sample_softmax", "--n_negative_samples_batch", "12"]
SOURCE = Path(__file__).with_name("faults.c")


def options(folder, run, *more):
    return ["--train_path", f"{folder}/train/*", "--vocab_path", f"{folder}/vocabulary.txt",
            "--para_save_dir", str(run), "--embed_size", "8", "--hidden_size", "12",
            "--batch_size", "4", "--num_steps", "5", "--max_epoch", "100", "--threads", "1",
            "--max_steps", str(STEPS), "--save_interval", "5", "--log_interval", "1", *RANDOM,
            *more]


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bilm.train", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )


def finish(process, status=0):
    """Return the last line that the process wrote on stderr; no traceback is among them."""
    error = process.communicate(timeout=300)[1]
    assert process.returncode == status, error
    assert "Traceback" not in error, error
    return ([""] + error.strip().splitlines())[-1]


def resume(run):
    finish(start("--resume", "--para_save_dir", str(run), "--max_steps", str(STEPS)))


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def growth_of(path):
    before = path.stat().st_size
    return lambda: path.stat().st_size != before


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Two shards and a vocabulary."""
    folder, draw = tmp_path_factory.mktemp("text"), random.Random(3)
    words = [f"词{number}" for number in range(300)]
    (folder / "train").mkdir()
    for number in range(2):
        lines = (" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(90))
        (folder / f"train/sentence_file_{number}").write_text("\n".join(lines) + "\n")
    (folder / "vocabulary.txt").write_text("\n".join(["<S>", "</S>", "<UNK>", *words]) + "\n")
    return folder


@pytest.fixture(scope="module")
def expected(text, tmp_path_factory):
    """What the uninterrupted run gives: losses by step, and the files of its last checkpoint."""
    run = tmp_path_factory.mktemp("whole") / "run"
    finish(start(*options(text, run)))
    return result_of(run)


def result_of(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    folder = run / f"step_{STEPS:08d}"
    files = {name: (folder / name).read_bytes() for name in
             ("model.safetensors", "training/optimizer.safetensors", "training/lstm.safetensors")}
    return [(line["step"], line["loss"]) for line in lines], files


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """A library to preload; see faults.c."""
    compiler = shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("faults are injected with a library that gcc compiles on Linux")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"],
                   check=True)
    return str(library)


def test_killed_at_random_moments(text, expected, tmp_path):
    """Every other time when a checkpoint has begun to be written."""
    run, moments, writing = tmp_path / "run", random.Random(1), 0
    process = start(*options(text, run))
    for kill in range(KILLS):
        wait_for(lambda: (run / "latest").is_file(), process)
        wait_for(growth_of(run / "metrics.jsonl"), process)
        if kill % 2:
            wait_for(lambda: any(run.glob(".tmp-step_*")), process)
        else:
            time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.communicate()
        writing += any(run.glob(".tmp-step_*"))
        process = start("--resume", "--para_save_dir", str(run))
    finish(process)
    print(f"{KILLS} kills, {writing} while a checkpoint was written")
    assert writing >= KILLS // 4  # it may be done before the signal is there
    assert result_of(run) == expected
    assert not list(run.glob(".tmp*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("place", [".tmp-step_", "metrics.jsonl", ".latest"])
def test_writing_fails(text, expected, shim, tmp_path, number, place):
    """Full, read-only and broken disks: one line, and what was saved before is whole."""
    run = tmp_path / "run"
    finish(start(*options(text, run, "--max_steps", "12")))
    process = start("--resume", "--para_save_dir", str(run), "--max_steps", str(STEPS),
                    LD_PRELOAD=shim, FAULT_ERRNO=str(number), FAULT_PATH=str(run) + "/" + place,
                    FAULT_AFTER="2000" if place == ".tmp-step_" else "0")
    line = finish(process, status=2)
    assert line.startswith("error: ") and os.strerror(number) in line and str(run) in line
    assert not list(run.glob(".tmp*"))
    resume(run)
    assert result_of(run) == expected


def test_a_small_disk_is_full(text, expected, tmp_path):
    """A real one, where file systems may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)],
                             capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        run = disk / "run"
        line = finish(start(*options(text, run, "--keep", "0")), status=2)
        assert "No space left on device" in line and "last good checkpoint" in line
        shutil.copytree(run, tmp_path / "run")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    resume(tmp_path / "run")
    assert result_of(tmp_path / "run") == expected


@pytest.mark.parametrize("damage", ["deleted", "truncated", "changed"])
def test_a_shard_changes_while_it_is_trained_on(text, expected, tmp_path, damage):
    for name in ("train", "vocabulary.txt"):
        subprocess.run(["cp", "-r", str(text / name), str(tmp_path / name)], check=True)
    run, shard = tmp_path / "run", tmp_path / "train/sentence_file_1"
    content = shard.read_bytes()
    process = start(*options(tmp_path, run))
    wait_for(lambda: (run / "latest").is_file(), process)
    if damage == "deleted":
        shard.unlink()
    else:
        shard.write_bytes(content[:1000] if damage == "truncated"
                          else content.replace(b"\n", b" ", 1))
    if damage == "changed":  # of the same size, which only the checksum tells
        process.send_signal(signal.SIGTERM)
        finish(process)
    else:
        assert "sentence_file_1: had" in finish(process, status=2)
    line = finish(start("--resume", "--para_save_dir", str(run)), status=2)
    assert "the training text has changed since" in line and "sentence_file_1" in line
    shard.write_bytes(content)
    resume(run)
    assert result_of(run) == expected


def test_the_newest_checkpoint_is_corrupted(text, expected, tmp_path):
    run = tmp_path / "run"
    process = start(*options(text, run))
    wait_for(lambda: len(list(run.glob("step_*"))) > 2, process)
    process.kill()
    process.communicate()
    path = run / (run / "latest").read_text().strip() / "training/optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    line = finish(start("--resume", "--para_save_dir", str(run)))
    assert "optimizer.safetensors: the file is truncated or has changed" in line
    assert "going back to" in line
    assert result_of(run) == expected


def test_the_clock_goes_backwards(text, expected, shim, tmp_path):
    run = tmp_path / "run"
    finish(start(*options(text, run), LD_PRELOAD=shim, FAULT_CLOCK="100"))
    assert result_of(run) == expected
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(line["tokens_per_second"] > 0 for line in lines)


def test_a_scheduler_sends_sigterm(text, expected, tmp_path):
    run, moments = tmp_path / "run", random.Random(5)
    process = start(*options(text, run))
    wait_for(lambda: (run / "latest").is_file(), process)
    for _ in range(3):
        wait_for(growth_of(run / "metrics.jsonl"), process)
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGTERM)
        finish(process)
        process = start("--resume", "--para_save_dir", str(run))
    finish(process)
    assert result_of(run) == expected


@pytest.fixture(scope="module")
def imports_megabytes():
    """Address space of a process that has imported what training imports."""
    script = "import bilm.commands.pretrain; from bilm.hardware import tune_cpu; tune_cpu(1); " \
             "import bilm.training.setup; print(open('/proc/self/status').read())"
    printed = subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True,
                             capture_output=True, text=True).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("VmPeak:")]
    return int(line.split()[1]) >> 10


@pytest.mark.parametrize("megabytes", [850, 1050, 1250, 1450])
def test_memory_is_exhausted(text, tmp_path, imports_megabytes, megabytes):
    """Models of LARK's sizes under limits above the imports that stop them in different places."""
    limit = (imports_megabytes + megabytes) << 20
    run = tmp_path / "run"
    large = ["--embed_size", "512", "--hidden_size", "4096", "--batch_size", "64"]
    finish(start(*options(text, run, *large, "--max_steps", "1", "--save_interval", "1000")))
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bilm.train", "--resume", "--para_save_dir",
         str(run), "--max_steps", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    line = finish(process, status=2)
    assert line.startswith("error: out of memory: ")
    assert [path.name for path in run.glob("step_*")] == ["step_00000001"]
    assert not list(run.glob(".tmp*"))
