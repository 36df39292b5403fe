"""Training a tagger that was stopped goes on to the same bits, or says why it cannot."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bilm.errors import InputError
from bilm.storage.pretrained import open_model
from bilm.storage.run_folder import BEST, RunFolder, latest_checkpoint
from lac.commands.train import main
from lac.model_folder import read_tagger
from lac.training.outcome import read_outcome
from lac.training.resume import read_resumable
from lac.training.run import TaggerRun, train, train_in
from lac.training.setup import set_up
from tests.reference.places import ROOT
from tests.reference.refusals import refusal_of
from tests.reference.taggers import (
    LINES,
    assert_equal_runs,
    options,
    small_bilm,
    trained,
    two_corpora,
    write_text,
)


def train_until(run, stop_at):
    """Train until SIGTERM comes after the step `stop_at`; return what the run returns."""
    step = run.trainer.train_step

    def step_and_signal():
        result = step()
        if run.trainer.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    run.trainer.train_step = step_and_signal
    return run.train()


@pytest.mark.parametrize("changes", [
    {}, {"elmo": "bilm", "finetune_elmo": True},
    {"elmo": "bilm", "pieces": "words", "char_features": True},
    {"train_path": "two corpora"},
], ids=str)
@pytest.mark.parametrize("stop_at", [2, 6, 7])  # within an epoch, at its end, after it
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, changes, stop_at):
    if "elmo" in changes:
        changes = {**changes, "elmo": str(small_bilm(tmp_path))}
    if "train_path" in changes:
        changes = two_corpora(tmp_path)
    whole = options(tmp_path, save_dir=str(tmp_path / "whole"), **changes)
    train(whole)
    parts = replace(whole, save_dir=str(tmp_path / "parts"))
    with RunFolder(parts.save_dir, "--save_dir") as folder:
        assert train_until(TaggerRun(set_up(parts, folder)), stop_at) is None
        checkpoint = read_resumable(folder)
        assert checkpoint.path.name == f"step_{stop_at:08d}"
        assert train_in(folder, type(whole)(**checkpoint.options), checkpoint) is not None
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_ctrl_c_in_a_process_saves_and_tells_how_to_go_on(tmp_path):
    write_text(tmp_path)
    command = [
        sys.executable, "-u", "-m", "lac", "train", "--train_path", "train.tsv", "--dev_path",
        "train.tsv", "--save_dir", "run", "--max_epochs", "100000", "--patience", "100000",
        "--log_interval", "1", "--gru_size", "8", "--batch_size", "4",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        if line.startswith("step 5/"):
            break
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "stopped by SIGINT at step" in out
    assert "lac train --resume --save_dir run" in out
    done = subprocess.run(
        [*command[:5], "--resume", "--save_dir", "run", "--max_steps", "40"], cwd=tmp_path,
        env=environment, text=True, capture_output=True, check=True,
    )
    assert "finished at" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("finetune", [False, True])
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, finetune):
    write_text(tmp_path)
    small_bilm(tmp_path)
    common = ["--train_path", "train.tsv", "--dev_path", "train.tsv", "--elmo", "bilm",
              "--finetune_elmo", str(finetune), "--gru_size", "8", "--batch_size", "2",
              "--log_interval", "1", "--max_epochs", "8", "--patience", "50", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(*more):
        return subprocess.Popen([sys.executable, "-u", "-m", "lac", "train", *more], cwd=tmp_path,
                                env=environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)

    with start(*common, "--save_dir", "whole") as process:
        process.communicate()
    with start(*common, "--save_dir", "killed") as process:
        for line in process.stdout:
            if line.startswith("step 13/"):  # within the fourth epoch
                break
        process.kill()
    with start("--resume", "--save_dir", "killed") as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert "finished at epoch 8.00" in out
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed")
    one, other = (open_model(read_tagger(tmp_path / name).elmo).tensors
                  for name in ("whole", "killed"))
    assert all(np.array_equal(array, other[name]) for name, array in one.items())


def test_a_folder_of_another_run_and_changed_data_are_refused(tmp_path, capsys):
    given = options(tmp_path, max_epochs=1)
    train(given)
    with pytest.raises(InputError, match="holds checkpoints of another run; add --resume"):
        train(given)
    error = refusal_of(
        main, ["--resume", "--save_dir", given.save_dir, "--gru_size", "99"], capsys
    )
    assert "cannot be continued: --gru_size is 99, the checkpoint was trained with 16" in error
    write_text(tmp_path, [line.replace("v-B", "n-B") for line in LINES])
    error = refusal_of(main, ["--resume", "--save_dir", given.save_dir], capsys)
    assert "has changed since this run started; start a new one" in error


@pytest.mark.parametrize("damage, told", [
    (lambda folder: (folder / "state.json").write_text("{}"), "state.json: lacks options, step"),
    (lambda folder: (folder / "state.json").unlink(), "missing state.json; use another checkpoint"),
    (lambda folder: (folder / "optimizer.safetensors").unlink(), "missing optimizer.safetensors"),
])
def test_damaged_training_state_is_told(tmp_path, capsys, damage, told):
    given = options(tmp_path, max_epochs=1)
    train(given)
    checkpoint = latest_checkpoint(given.save_dir)
    (checkpoint / "checksums.json").unlink()
    damage(checkpoint / "training")
    assert told in refusal_of(main, ["--resume", "--save_dir", given.save_dir], capsys)


def test_a_dictionary_that_has_gone_does_not_stop_resuming(tmp_path):
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("青石镇/ns\n", encoding="utf-8")
    given = options(tmp_path, max_epochs=1, customization=str(dictionary))
    train(given)
    dictionary.unlink()
    main(["--resume", "--save_dir", given.save_dir, "--max_epochs", "2"])
    assert read_tagger(given.save_dir).customization.to_text() == "青石镇/ns\n"


@pytest.mark.parametrize("changes, file", [
    ({"pieces": "dictionary", "dictionary": "own"}, "dictionary.txt"),
    ({"pieces": "words", "user_dict": "own"}, "jieba_words.txt"),
], ids=str)
def test_a_run_keeps_the_segmenters_files_as_they_were(tmp_path, changes, file):
    own = tmp_path / "own words.txt"
    own.write_text("青石镇 9\n云溪 7\n", encoding="utf-8")
    given = options(
        tmp_path, max_epochs=2,
        **{name: str(own) if value == "own" else value for name, value in changes.items()},
    )
    with RunFolder(given.save_dir, "--save_dir") as folder:
        run = TaggerRun(set_up(given, folder))
        own.write_text("no dictionary", encoding="utf-8")
        run.train()
    own.unlink()
    for epochs in ("5", "8"):  # three checkpoints each, of which the older ones are removed
        main(["--resume", "--save_dir", given.save_dir, "--max_epochs", epochs, "--quiet"])
    for folder in (tmp_path / "run", *(tmp_path / "run").glob("step_*")):
        assert (folder / file).read_text(encoding="utf-8") == "青石镇 9\n云溪 7\n"
    assert "青石镇" in read_tagger(given.save_dir).pieces().cut("去青石镇")


def as_of_an_earlier_version(run):
    """Make the checkpoints of a run what a version wrote that scored gold words."""
    for checkpoint in run.glob("step_*"):
        path = checkpoint / "training/state.json"
        state = json.loads(path.read_text(encoding="utf-8"))
        del state["scored_from"]
        path.write_text(json.dumps(state), encoding="utf-8")
        (checkpoint / "checksums.json").unlink()


def test_a_finished_run_of_an_earlier_version_is_scored_again(tmp_path):
    run = trained(tmp_path, max_epochs=2, pieces="words")
    as_of_an_earlier_version(run)
    (run / "result.json").unlink()
    main(["--resume", "--save_dir", str(run), "--quiet"])
    assert read_outcome(run).best_step == 6  # the last step of two epochs, scored again
    assert latest_checkpoint(run, BEST).name == "step_00000006"


def test_what_best_names_stays_until_there_is_another_best(tmp_path):
    given = options(tmp_path, pieces="words")
    with RunFolder(given.save_dir, "--save_dir") as folder:
        assert train_until(TaggerRun(set_up(given, folder)), 7) is None
        best = latest_checkpoint(folder.path, BEST)
        as_of_an_earlier_version(folder.path)
        resumed = TaggerRun(set_up(given, folder, read_resumable(folder)))
        assert train_until(resumed, 8) is None  # before its next evaluation
        assert latest_checkpoint(folder.path).name == "step_00000008"
        assert latest_checkpoint(folder.path, BEST) == best
        outcome = TaggerRun(set_up(given, folder, read_resumable(folder))).train()
    assert outcome is not None and outcome.best_step == 9
    assert not best.exists()
