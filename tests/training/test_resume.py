"""Runs that end early, by signals, kills and faults, and go on to the same bits."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from bilm.commands.pretrain import main
from bilm.errors import InputError
from tests.reference.runs import (
    EVERYTHING_RANDOM,
    arguments,
    assert_same,
    checkpoint_files,
    figures,
    start,
)

# 775 tokens an epoch, 20 a step: 40 steps cross an epoch's border
STEPS = 60


@pytest.mark.smoke
@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
@pytest.mark.parametrize("stop", [17, 41])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(corpus_folder, optimizer, stop):
    """Also across an epoch's border, with everything random and with prefetched batches."""
    options = [*EVERYTHING_RANDOM, "--optim", optimizer, "--dev_interval", "25",
               "--learning_rate", "0.05"]
    whole, halves = corpus_folder / "whole", corpus_folder / "halves"
    main(arguments(corpus_folder, whole, *options, "--max_steps", str(STEPS)))
    main(arguments(corpus_folder, halves, *options, "--max_steps", str(stop)))
    # the dev evaluation at the end of the first half is one that the whole run does not have
    lines = (halves / "metrics.jsonl").read_text().splitlines()
    kept = [line for line in lines
            if '"dev"' not in line or json.loads(line)["step"] % 25 == 0]
    (halves / "metrics.jsonl").write_text("\n".join(kept) + "\n")
    main(["--resume", "--para_save_dir", str(halves), "--max_steps", str(STEPS)])
    assert_same(halves, whole, STEPS)
    assert any(line["epoch"] > 1 for line in figures(whole))


def test_gradient_accumulation_and_full_softmax_resume_exactly(corpus_folder):
    options = ["--gradient_accumulation", "2", "--batch_size", "2", "--dropout", "0.1",
               "--warmup_steps", "5", "--decay", "cosine", "--decay_steps", "50"]
    whole, halves = corpus_folder / "whole", corpus_folder / "halves"
    main(arguments(corpus_folder, whole, *options, "--max_steps", "30"))
    main(arguments(corpus_folder, halves, *options, "--max_steps", "16"))
    main(["--load_dir", str(halves / "step_00000016"), "--max_steps", "30"])
    assert checkpoint_files(halves, 30)[0] == checkpoint_files(whole, 30)[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_printed_command_resumes(corpus_folder, number):
    run, whole = corpus_folder / "run", corpus_folder / "whole"
    options = ["--max_steps", "400", "--max_epoch", "100", "--save_interval", "1000",
               "--log_interval", "20"]
    process = start(*arguments(corpus_folder, run, *options))
    while "step 20/" not in (line := process.stdout.readline()):
        assert line, "training ended before it was stopped"
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    command = output.strip().splitlines()[-1].split(": ", 1)[1].split()
    assert command[:2] == ["bilm", "pretrain"]
    main(command[2:])
    main(arguments(corpus_folder, whole, *options))
    content, state = checkpoint_files(run, 400)
    assert content == checkpoint_files(whole, 400)[0]


@pytest.mark.slow
def test_sigkill_at_random_moments_loses_nothing(corpus_folder):
    """Also while a checkpoint is written: one is written at every step."""
    run, whole = corpus_folder / "run", corpus_folder / "whole"
    options = ["--max_steps", "200", "--max_epoch", "100", "--save_interval", "1", "--keep", "2",
               *EVERYTHING_RANDOM]
    main(arguments(corpus_folder, whole, *options))
    moments = random.Random(7)
    process = start(*arguments(corpus_folder, run, *options))
    for _ in range(4):
        while process.poll() is None and not (run / "latest").exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.4))
        process.kill()
        process.communicate()
        process = start("--resume", "--para_save_dir", str(run))
        while process.poll() is None and "step" not in process.stdout.readline():
            pass
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert_same(run, whole, step=200)
    assert sorted(path.name for path in run.iterdir()) == [
        "latest", "metrics.jsonl", "step_00000199", "step_00000200"]


KILLED_AT = """
import os, sys
count, last = 0, int(sys.argv[1])
def dying(function):
    def wrapper(*arguments, **more):
        global count
        count += 1
        if count == last:
            os._exit(9)
        return function(*arguments, **more)
    return wrapper
for name in ("rename", "replace", "fsync"):
    setattr(os, name, dying(getattr(os, name)))
from bilm.commands.pretrain import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize("moment", [2, 9, 12, 14, 16, 17])
def test_a_kill_at_any_moment_of_writing_leaves_a_checkpoint_to_resume(corpus_folder, moment):
    """The run goes back to step 3 and writes step 6 again: the old one is being replaced."""
    run, whole = corpus_folder / "run", corpus_folder / "whole"
    options = ["--save_interval", "3", "--max_steps", "6", "--test_path", ""]
    main(arguments(corpus_folder, whole, *options))
    main(arguments(corpus_folder, run, *options))
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED_AT, str(moment),
         "--load_dir", str(run / "step_00000003")],
    )
    assert result.returncode == 9
    main(["--resume", "--para_save_dir", str(run)])
    assert_same(run, whole, step=6)
    assert sorted(path.name for path in run.iterdir()) == [
        "latest", "metrics.jsonl", "step_00000003", "step_00000006"]


def test_a_signal_does_not_wait_for_a_dev_evaluation(corpus_folder, monkeypatch):
    from bilm.training import run as run_module

    run, whole = corpus_folder / "run", corpus_folder / "whole"
    options = ["--max_steps", "8", "--dev_interval", "4", "--batch_size", "2"]
    main(arguments(corpus_folder, whole, *options))
    seen = []

    def evaluate(*positional, progress, **named):
        def signalled(num_sentences):
            seen.append(num_sentences)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            progress(num_sentences)

        return original(*positional, progress=signalled, **named)

    original = run_module.evaluate
    monkeypatch.setattr(run_module, "evaluate", evaluate)
    main(arguments(corpus_folder, run, *options))
    assert len(seen) == 1
    assert (run / "latest").read_text() == "step_00000004\n"
    monkeypatch.undo()
    main(["--resume", "--para_save_dir", str(run)])
    assert_same(run, whole, step=8)


def test_infinite_loss_stops_with_step_and_last_checkpoint(corpus_folder, monkeypatch):
    from bilm.training import trainer

    run = corpus_folder / "run"
    seen = []

    def broken(self, *parts):
        seen.append(parts)
        return float("nan") if len(seen) > 7 else original(self, *parts)

    original = trainer.Trainer._backward
    monkeypatch.setattr(trainer.Trainer, "_backward", broken)
    with pytest.raises(InputError, match=r"step 8: the loss is nan.*step_00000006$"):
        main(arguments(corpus_folder, run, "--save_interval", "3"))
    assert (run / "latest").read_text().strip() == "step_00000006"


def test_an_infinite_gradient_stops_before_any_weight_changes(corpus_folder, monkeypatch):
    from bilm.training import trainer

    run, steps = corpus_folder / "run", []

    def broken(gradients):
        steps.append(1)
        return original(gradients) * (float("inf") if len(steps) == 5 else 1)

    original = trainer.global_norm
    monkeypatch.setattr(trainer, "global_norm", broken)
    with pytest.raises(InputError, match="step 5: the gradient's norm is inf.*step_00000004$"):
        main(arguments(corpus_folder, run, "--save_interval", "2"))
    assert np.isfinite(load_file(run / "step_00000004/model.safetensors")["softmax.bias"]).all()


def test_a_full_disk_keeps_the_previous_checkpoint(corpus_folder, monkeypatch):
    from bilm.storage import checkpoint

    run = corpus_folder / "run"
    original = checkpoint.write_safetensors

    def write_safetensors(path, *arguments):
        if "step_00000006" in str(path):
            raise OSError(28, "No space left on device")
        original(path, *arguments)

    monkeypatch.setattr(checkpoint, "write_safetensors", write_safetensors)
    message = r"step_00000006.*No space left.*last good checkpoint: .*step_00000003$"
    with pytest.raises(InputError, match=message):
        main(arguments(corpus_folder, run, "--save_interval", "3"))
    assert sorted(path.name for path in run.glob("*step*")) == ["step_00000003"]
    monkeypatch.undo()
    main(["--resume", "--para_save_dir", str(run), "--max_steps", "6"])
    assert (run / "latest").read_text().strip() == "step_00000006"


def test_another_runs_folder_is_left_alone(corpus_folder):
    first, second = corpus_folder / "first", corpus_folder / "second"
    for run in (first, second):
        main(arguments(corpus_folder, run, "--max_steps", "2"))
    before = {path: path.stat().st_mtime_ns for path in second.rglob("*")}
    with pytest.raises(InputError, match="another run"):
        main(["--load_dir", str(first), "--para_save_dir", str(second), "--max_steps", "4"])
    assert {path: path.stat().st_mtime_ns for path in second.rglob("*")} == before


def test_a_run_goes_on_when_its_pretrained_model_is_gone(corpus_folder):
    first, second = corpus_folder / "first", corpus_folder / "second"
    main(arguments(corpus_folder, first, "--max_steps", "1"))
    main(arguments(corpus_folder, second, "--max_steps", "1", "--load_pretraining_params",
                   str(first)))
    shutil.rmtree(first)
    main(["--resume", "--para_save_dir", str(second), "--max_steps", "2"])
    assert (second / "latest").read_text() == "step_00000002\n"


def test_resuming_with_other_sizes_is_refused(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "2"))
    with pytest.raises(InputError, match="--hidden_size is 12.*trained with 10"):
        main(["--resume", "--para_save_dir", str(run), "--hidden_size", "12"])
    with pytest.raises(InputError, match="not the vocabulary"):
        other = corpus_folder / "other.txt"
        other.write_text("<S>\n</S>\n<UNK>\n好\n", encoding="utf-8")
        main(["--resume", "--para_save_dir", str(run), "--vocab_path", str(other)])


@pytest.mark.parametrize("change, message", [
    (lambda path: path.write_bytes(path.read_bytes() + b"a\n"),
     r"shard 2 was sentence_file_1 of \d+ bytes and is sentence_file_1 of \d+$"),
    (lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b" ", 1)),
     "shard 2, sentence_file_1, has other content"),
    (lambda path: path.unlink(), "there were 2 shards and are 1: sentence_file_1"),
], ids=["longer", "same size", "deleted"])
def test_resuming_over_changed_text_names_the_shard(corpus_folder, change, message):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "2"))
    change(corpus_folder / "train/sentence_file_1")
    with pytest.raises(InputError, match=message):
        main(["--resume", "--para_save_dir", str(run), "--max_steps", "4"])


def test_a_corrupted_checkpoint_is_named_and_the_one_before_loads(corpus_folder, capsys):
    run, whole = corpus_folder / "run", corpus_folder / "whole"
    main(arguments(corpus_folder, whole, "--max_steps", "8", "--log_interval", "1"))
    main(arguments(corpus_folder, run, "--max_steps", "6", "--save_interval", "3",
                   "--log_interval", "1"))
    path = run / "step_00000006/training/optimizer.safetensors"
    os.truncate(path, path.stat().st_size - 8)
    with pytest.raises(InputError, match=r"optimizer.safetensors.*--load_dir .*step_00000003"):
        main(["--load_dir", str(path.parents[1])])
    capsys.readouterr()
    main(["--resume", "--para_save_dir", str(run), "--max_steps", "8"])
    assert re.search(r"warning: .*optimizer.safetensors: the file is truncated .*going back to "
                     r".*step_00000003\n", capsys.readouterr().err)
    assert (run / "latest").read_text().strip() == "step_00000008"
    assert [line["loss"] for line in figures(run)] == [line["loss"] for line in figures(whole)]


def test_if_no_checkpoint_can_be_read_the_first_problem_is_told(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "6", "--save_interval", "3"))
    for path in run.glob("step_*/model.safetensors"):
        os.truncate(path, 100)
    with pytest.raises(InputError, match=r"step_00000006/model.safetensors: .*; no other "
                       "checkpoint can be read either"):
        main(["--resume", "--para_save_dir", str(run)])


def test_a_checkpoint_without_checksums_is_remarked(corpus_folder, capsys):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "2"))
    (run / "step_00000002/checksums.json").unlink()
    path = run / "step_00000002/training/state.json"
    path.write_text(path.read_text().replace('"learning_rate": 0.2', '"learning_rate": 1'))
    main(["--resume", "--para_save_dir", str(run), "--max_steps", "3", "--log_interval", "1"])
    assert "has no checksums.json" in capsys.readouterr().err
    assert [line.get("learning_rate") for line in figures(run)][-2:] == [1, None]  # the last is dev


def test_figures_of_a_stopped_run_say_so(corpus_folder, capsys, monkeypatch):
    from bilm.training.stop_request import StopRequest

    monkeypatch.setattr(StopRequest, "__enter__", lambda self: self._note(signal.SIGTERM, None))
    main(arguments(corpus_folder, corpus_folder / "run", "--quiet", "--json", "-"))
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["finished"], found["step"], found["dev"]) == (False, 1, None)
    assert "to continue: bilm pretrain --resume" in printed.err
