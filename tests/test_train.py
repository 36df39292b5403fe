"""Training runs: learning, exact resume after stops of every kind, and bad input."""

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
import paddle
import pytest
from safetensors.numpy import load_file

from bilm.errors import InputError
from bilm.metrics import read_metrics
from bilm.train import main

SIZES = ["--embed_size", "6", "--hidden_size", "10", "--batch_size", "4", "--num_steps", "5",
         "--log_interval", "3"]
# 775 tokens an epoch, 20 a step: 40 steps cross an epoch's border
STEPS = 60
EVERYTHING_RANDOM = ["--dropout", "0.2", "--shuffle", "--sample_softmax",
                     "--n_negative_samples_batch", "12"]


def arguments(folder, run, *more):
    return ["--train_path", f"{folder}/train/*", "--test_path", f"{folder}/dev/*",
            "--vocab_path", f"{folder}/vocabulary.txt", "--para_save_dir", str(run),
            *SIZES, *more]


def figures(run):
    """Return the metrics of a run without what depends on the clock."""
    return [
        {name: value for name, value in line.items() if name != "tokens_per_second"}
        for line in read_metrics(run / "metrics.jsonl")
    ]


def checkpoint_files(run, step):
    """Return every file of a checkpoint but the options, which hold the run's own path."""
    folder = run / f"step_{step:08d}"
    content = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*") if path.is_file()
    }
    state = json.loads(content.pop("training/state.json"))
    del state["options"], content["checksums.json"]
    return content, state


def assert_same(run, expected, step=STEPS):
    assert figures(run) == figures(expected)
    content, state = checkpoint_files(run, step)
    expected_content, expected_state = checkpoint_files(expected, step)
    assert state == expected_state
    assert sorted(content) == sorted(expected_content)
    different = [name for name in content if content[name] != expected_content[name]]
    assert not different


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
    assert_same(halves, whole)
    assert any(line["epoch"] > 1 for line in figures(whole))


def test_gradient_accumulation_and_full_softmax_resume_exactly(corpus_folder):
    options = ["--gradient_accumulation", "2", "--batch_size", "2", "--dropout", "0.1",
               "--warmup_steps", "5", "--decay", "cosine", "--decay_steps", "50"]
    whole, halves = corpus_folder / "whole", corpus_folder / "halves"
    main(arguments(corpus_folder, whole, *options, "--max_steps", "30"))
    main(arguments(corpus_folder, halves, *options, "--max_steps", "16"))
    main(["--load_dir", str(halves / "step_00000016"), "--max_steps", "30"])
    assert checkpoint_files(halves, 30)[0] == checkpoint_files(whole, 30)[0]


def test_gradient_accumulation_equals_the_larger_batch(corpus_folder):
    runs = {}
    for name, sizes in (("large", ["--batch_size", "4"]),
                        ("parts", ["--batch_size", "2", "--gradient_accumulation", "2"])):
        runs[name] = corpus_folder / name
        main(arguments(corpus_folder, runs[name], *sizes, "--dropout", "0", "--max_steps", "20"))
    large, parts = (load_file(run / "step_00000020/model.safetensors") for run in runs.values())
    for name in large:
        np.testing.assert_allclose(parts[name], large[name], atol=1e-5)


def start(*args):
    """Start a training process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bilm.train", *args],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


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
from bilm.train import main
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
    from bilm import run as run_module

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


@pytest.mark.smoke
def test_four_sentences_are_learnt_by_heart(corpus_folder):
    (corpus_folder / "four").write_text(
        "今天 天气 很 好 。\n我们 去 公园 看 花 。\n他 说 明天 会 下雨 。\n你 带 伞 了 吗 ？\n",
        encoding="utf-8",
    )
    run = corpus_folder / "run"
    main(["--train_path", str(corpus_folder / "four"),
          "--vocab_path", str(corpus_folder / "vocabulary.txt"), "--para_save_dir", str(run),
          "--embed_size", "16", "--hidden_size", "32", "--batch_size", "2", "--num_steps", "6",
          "--dropout", "0", "--max_steps", "200", "--max_epoch", "1000", "--log_interval", "50"])
    first, *_, last = figures(run)
    assert first["perplexity"] > 5
    assert last["perplexity"] < 1.15


def test_metrics_hold_what_is_promised(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "9", "--dev_interval", "4"))
    lines = read_metrics(run / "metrics.jsonl")
    logs = [line for line in lines if "event" not in line]
    assert [line["step"] for line in logs] == [3, 6, 9]
    assert set(logs[0]) == {"step", "epoch", "loss", "perplexity", "tokens", "tokens_per_second",
                            "learning_rate", "grad_norm"}
    np.testing.assert_allclose([line["perplexity"] for line in logs],
                               np.exp([line["loss"] for line in logs]))
    assert [line["step"] for line in lines if line.get("event") == "dev"] == [4, 8, 9]
    assert logs[-1]["tokens"] == 9 * 20


def test_checkpoints_are_pruned_and_written_at_each_epochs_end(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_epoch", "2", "--save_interval", "1000",
                   "--keep", "0"))
    steps = sorted(int(path.name[5:]) for path in run.glob("step_*"))
    tokens = json.loads((run / f"step_{steps[0]:08d}/training/state.json").read_text())
    assert len(steps) == 2
    assert tokens["tokens"] - 20 < tokens["tokens_per_epoch"] <= tokens["tokens"]
    assert not list(run.rglob("*.pkl")) and not list(run.rglob("*.pdparams"))


def test_every_sentence_of_every_epoch_is_trained_on(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_epoch", "3"))
    state = json.loads(next(run.glob("step_*/training/state.json")).read_text())
    assert state["tokens"] == 3 * state["tokens_per_epoch"]


def test_lark_flags_that_mean_nothing_give_one_warning_each(corpus_folder, capsys):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "1", "--local", "True",
                   "--update_method", "nccl2", "--all_train_tokens", "35479"))
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 3
    for flag in ("--local is obsolete", "--update_method is obsolete",
                 "--all_train_tokens says 35479"):
        assert sum(flag in line for line in warnings) == 1


def test_raw_text_is_warned_about(corpus_folder, capsys):
    for shard in (corpus_folder / "train").iterdir():
        shard.write_text(shard.read_text(encoding="utf-8").replace(" ", ""), encoding="utf-8")
    main(arguments(corpus_folder, corpus_folder / "run", "--max_steps", "1"))
    assert "are not in the vocabulary: was the text segmented" in capsys.readouterr().err


def test_pretrained_weights_start_a_new_run(corpus_folder):
    first, second = corpus_folder / "first", corpus_folder / "second"
    main(arguments(corpus_folder, first, "--max_steps", "5"))
    main(arguments(corpus_folder, second, "--max_steps", "1", "--learning_rate", "1e-30",
                   "--load_pretraining_params", str(first / "step_00000005")))
    before = load_file(first / "step_00000005/model.safetensors")
    after = load_file(second / "step_00000001/model.safetensors")
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])


def test_pretrained_weights_of_other_sizes_or_words_are_refused(corpus_folder):
    first, second = corpus_folder / "first", corpus_folder / "second"
    main(arguments(corpus_folder, first, "--max_steps", "1"))
    load = ["--load_pretraining_params", str(first / "step_00000001")]
    with pytest.raises(InputError, match=r"forward_layers.0.bias has shape 40, expected 48; "):
        main(arguments(corpus_folder, second, *load, "--hidden_size", "12"))
    words = (corpus_folder / "vocabulary.txt").read_text(encoding="utf-8").split()
    (corpus_folder / "vocabulary.txt").write_text("\n".join(words[::-1]), encoding="utf-8")
    with pytest.raises(InputError, match="its rows belong to other words"):
        main(arguments(corpus_folder, second, *load))


def test_infinite_loss_stops_with_step_and_last_checkpoint(corpus_folder, monkeypatch):
    from bilm import trainer

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
    from bilm import trainer

    run, steps = corpus_folder / "run", []

    def broken(gradients):
        steps.append(1)
        return original(gradients) * (float("inf") if len(steps) == 5 else 1)

    original = trainer.global_norm
    monkeypatch.setattr(trainer, "global_norm", broken)
    with pytest.raises(InputError, match="step 5: the gradient's norm is inf.*step_00000004$"):
        main(arguments(corpus_folder, run, "--save_interval", "2"))
    assert np.isfinite(load_file(run / "step_00000004/model.safetensors")["softmax.bias"]).all()


@pytest.mark.parametrize("softmax", [
    [], ["--sample_softmax", "--n_negative_samples_batch", "12", "--gradient_accumulation", "2"],
], ids=["full", "sampled"])
def test_without_waiting_the_figures_are_the_same_and_infinity_is_found_later(
    corpus_folder, monkeypatch, softmax
):
    """As on a GPU, where a step looks at nothing that it has computed."""
    from bilm import trainer

    class Waiting(trainer.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.model.sparse_gradients = False

    class Unwaiting(Waiting):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.waits = False

        def _loss(self, *arguments):
            factor = float("inf") if self.step == fails_at else 1.0
            return super()._loss(*arguments) * factor

    def refuse(_tensor, *_arguments):
        raise AssertionError("the step waits for a result")

    original = Unwaiting.train_step

    def step(self, batch):
        with monkeypatch.context() as patch:
            for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
                patch.setattr(paddle.Tensor, name, refuse)
            return original(self, batch)

    Unwaiting.train_step = step
    fails_at = None
    waiting, run, broken = (corpus_folder / name for name in ("waiting", "run", "broken"))
    monkeypatch.setenv("BILM_KERNEL", "paddle")
    options = ["--max_steps", "12", "--save_interval", "5", "--log_interval", "4", *softmax]
    monkeypatch.setattr("bilm.run_setup.Trainer", Waiting)
    main(arguments(corpus_folder, waiting, *options))
    monkeypatch.setattr("bilm.run_setup.Trainer", Unwaiting)
    main(arguments(corpus_folder, run, *options))
    assert_same(run, waiting, step=12)
    fails_at = 5
    with pytest.raises(InputError, match=r"step 8: the loss is (inf|nan);.*step_00000005$"):
        main(arguments(corpus_folder, broken, *options))


def test_a_full_disk_keeps_the_previous_checkpoint(corpus_folder, monkeypatch):
    from bilm import checkpoint

    run = corpus_folder / "run"
    original = checkpoint.save_file

    def save_file(arrays, path):
        if "step_00000006" in str(path):
            raise OSError(28, "No space left on device")
        original(arrays, path)

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    message = r"step_00000006.*No space left.*last good checkpoint: .*step_00000003$"
    with pytest.raises(InputError, match=message):
        main(arguments(corpus_folder, run, "--save_interval", "3"))
    assert sorted(path.name for path in run.glob("*step*")) == ["step_00000003"]
    monkeypatch.undo()
    main(["--resume", "--para_save_dir", str(run), "--max_steps", "6"])
    assert (run / "latest").read_text().strip() == "step_00000006"


BAD = {
    "no glob": (["--train_path", "nowhere/*"], "nowhere"),
    "no train path": (["--train_path", ""], "--train_path"),
    "no vocabulary": (["--vocab_path", ""], "--vocab_path"),
    "bad sizes": (["--batch_size", "0"], "--batch_size"),
    "small corpus": (["--batch_size", "1000"], "fewer than one batch"),
    "amp on the CPU": (["--amp", "O1"], "--amp"),
    "dev glob": (["--test_path", "nothing/*"], "nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_flags_are_one_clear_line(corpus_folder, case):
    flags, expected = BAD[case]
    with pytest.raises(InputError) as caught:
        main(arguments(corpus_folder, corpus_folder / "run", *flags))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_used_folder_is_not_overwritten(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "2"))
    with pytest.raises(InputError, match="--resume"):
        main(arguments(corpus_folder, run, "--max_steps", "2"))


def test_another_runs_folder_is_left_alone(corpus_folder):
    first, second = corpus_folder / "first", corpus_folder / "second"
    for run in (first, second):
        main(arguments(corpus_folder, run, "--max_steps", "2"))
    before = {path: path.stat().st_mtime_ns for path in second.rglob("*")}
    with pytest.raises(InputError, match="another run"):
        main(["--load_dir", str(first), "--para_save_dir", str(second), "--max_steps", "4"])
    assert {path: path.stat().st_mtime_ns for path in second.rglob("*")} == before


def test_bad_input_creates_and_removes_nothing(corpus_folder):
    (corpus_folder / "here").mkdir()
    (corpus_folder / "here/.tmp-mine").write_text("precious")
    with pytest.raises(FileNotFoundError):
        main(arguments(corpus_folder, corpus_folder / "new", "--vocab_path", "nowhere.txt"))
    assert not (corpus_folder / "new").exists()
    main(arguments(corpus_folder, corpus_folder / "here", "--max_steps", "1"))
    assert (corpus_folder / "here/.tmp-mine").read_text() == "precious"


def test_text_that_is_not_utf8_is_found_before_training(corpus_folder):
    with open(corpus_folder / "dev/sentence_file_0", "ab") as file:
        file.write("好".encode("gb18030") + b" \xff\n")
    with pytest.raises(InputError, match="sentence_file_0, line 21: not UTF-8"):
        main(arguments(corpus_folder, corpus_folder / "run"))
    assert not (corpus_folder / "run").exists()


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


def test_training_leaves_no_model_in_evaluation_mode(corpus_folder, monkeypatch):
    """Dropout is still on after a dev evaluation."""
    from bilm.trainer import Trainer

    modes = []
    original = Trainer.train_step
    monkeypatch.setattr(Trainer, "train_step",
                        lambda self, batch: modes.append(self.model.training)
                        or original(self, batch))
    main(arguments(corpus_folder, corpus_folder / "run", "--max_steps", "4",
                   "--dev_interval", "1"))
    assert modes == [True] * 4


@pytest.mark.gpu
@pytest.mark.skipif(not paddle.device.is_compiled_with_cuda(), reason="needs a GPU build")
@pytest.mark.parametrize("level", ["O1", "O2"])
def test_mixed_precision_learns(corpus_folder, level):
    if paddle.device.cuda.device_count() == 0:
        pytest.skip("no GPU is visible")
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--use_gpu", "--amp", level, "--max_steps", "30"))
    losses = [line["loss"] for line in figures(run) if "event" not in line]
    assert losses[-1] < losses[0]


def test_final_figures_stand_alone_and_progress_is_silent_when_asked(corpus_folder, capsys):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "6", "--quiet", "--json", "-"))
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    model = str(run / "step_00000006")
    assert printed.err.startswith("finished at step 6, epoch ") and printed.err.count("\n") == 1
    assert (found["finished"], found["step"], found["model"]) == (True, 6, model)
    assert [found["train"], found["dev"]] == read_metrics(run / "metrics.jsonl")[-2:]

    main(["--resume", "--para_save_dir", str(run), "--json", str(corpus_folder / "f.json")])
    assert "finished at step 6" in capsys.readouterr().out
    assert json.loads((corpus_folder / "f.json").read_text("utf-8")) == found


def test_figures_of_a_stopped_run_say_so(corpus_folder, capsys, monkeypatch):
    from bilm.stop_request import StopRequest

    monkeypatch.setattr(StopRequest, "__enter__", lambda self: self._note(signal.SIGTERM, None))
    main(arguments(corpus_folder, corpus_folder / "run", "--quiet", "--json", "-"))
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["finished"], found["step"], found["dev"]) == (False, 1, None)
    assert "to continue: bilm pretrain --resume" in printed.err
