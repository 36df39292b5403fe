"""The folder of a training run: one process trains in it, and who else tries changes nothing."""

import errno
import fcntl
import os
import subprocess

import pytest

from bilm.commands.pretrain import main as pretrain
from bilm.errors import InputError
from bilm.storage.run_folder import (
    BEST,
    RunFolder,
    checkpoint_path,
    is_run,
    latest_checkpoint,
    list_checkpoints,
    step_of,
)
from lac.commands.train import main as train_tagger
from lac.training import ablation
from lac.training.ablation import ablate
from tests.reference import taggers
from tests.reference.live_runs import (
    assert_refused,
    leave_leftovers,
    live,
    refusal,
    snapshot,
    start,
    unchanged,
    wait_for,
)


def make_checkpoints(run, *names):
    for name in names:
        (run / name).mkdir(parents=True)


def test_checkpoints_are_listed_by_step(tmp_path):
    make_checkpoints(
        tmp_path, "step_99999999", "step_100000000", "step_00000020", "step_00000009", "step_7",
        "step_x0000001", ".tmp-step_00000030-12", "other",
    )
    assert [step_of(path) for path in list_checkpoints(tmp_path)] == [9, 20, 10**8 - 1, 10**8]
    assert checkpoint_path(tmp_path, 9).is_dir()
    assert list_checkpoints(tmp_path / "nothing") == []


def test_a_pointer_names_a_checkpoint(tmp_path):
    make_checkpoints(tmp_path, "step_00000001", "step_00000002")
    first, second = list_checkpoints(tmp_path)
    assert not is_run(tmp_path)
    with RunFolder(tmp_path, "--save_dir") as folder:
        for path in (second, first):
            folder.set_pointer(path)
            assert latest_checkpoint(tmp_path) == path
        folder.set_pointer(second, BEST)
    assert is_run(tmp_path)
    assert latest_checkpoint(tmp_path) == first
    assert latest_checkpoint(tmp_path, BEST) == second


def test_a_run_without_checkpoint_cannot_be_continued(tmp_path):
    with pytest.raises(InputError, match="no checkpoint to resume from .* without --resume"):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["step_00000041", "../elsewhere", ""])
def test_latest_must_name_a_checkpoint_that_is_there(tmp_path, name):
    run = tmp_path / "run"
    make_checkpoints(run, "step_00000040", "../elsewhere")
    (run / "latest").write_text(name + "\n")
    with pytest.raises(InputError) as error:
        latest_checkpoint(run)
    assert str(error.value) == (
        f"{run}/latest names {name!r}, which is not there; checkpoints: step_00000040"
    )


@pytest.mark.parametrize("keep, newest_step, left", [
    (2, 40, [30, 40]), (1, 40, [40]), (9, 40, [10, 20, 30, 40]), (0, 40, [10, 20, 30, 40]),
    (1, 20, [20, 30, 40]),  # after going back to step 20 the later ones are not older
])
def test_only_old_checkpoints_are_removed(tmp_path, keep, newest_step, left):
    make_checkpoints(tmp_path, *(f"step_{step:08d}" for step in (10, 20, 30, 40)), "step_note")
    with RunFolder(tmp_path, "--save_dir") as folder:
        folder.prune(keep, newest_step)
    assert [step_of(path) for path in list_checkpoints(tmp_path)] == left
    assert (tmp_path / "step_note").is_dir()


def test_the_spared_checkpoint_stays(tmp_path):
    make_checkpoints(tmp_path, *(f"step_{step:08d}" for step in (10, 20, 30)))
    with RunFolder(tmp_path, "--save_dir") as folder:
        folder.prune(1, 30, spared=checkpoint_path(tmp_path, 10))
    assert [step_of(path) for path in list_checkpoints(tmp_path)] == [10, 30]


def test_a_folder_is_cleared_when_it_is_held_and_not_before(tmp_path):
    run = tmp_path / "run"
    with RunFolder(run, "--save_dir"):
        leave_leftovers(run)
        before = snapshot(run)
        for make in (False, True):
            with pytest.raises(InputError) as error:
                RunFolder(run, "--save_dir", make)
            assert f"error: {error.value}\n" == refusal(run)
        assert snapshot(run) == before
    with RunFolder(run, "--save_dir"):
        assert [path.name for path in run.iterdir()] == ["step_00000008"]


def test_a_folder_that_was_made_and_is_empty_is_removed(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "a/b/c", "empty"):
        with RunFolder(tmp_path / name, "--save_dir"):
            assert (tmp_path / name).is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    with RunFolder(tmp_path / "used", "--save_dir") as folder:
        folder.check_unused()
        make_checkpoints(folder.path, "step_00000001")
        with pytest.raises(InputError, match=r"^--save_dir .*used holds checkpoints of another"):
            folder.check_unused()
    assert list_checkpoints(tmp_path / "used")


def test_a_folder_that_cannot_be_held_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for make, reason in ((True, "File exists"), (False, "Not a directory")):
        with pytest.raises(InputError, match=f"^--save_dir {tmp_path}/file: {reason}$"):
            RunFolder(tmp_path / "file", "--save_dir", make)
    with pytest.raises(InputError, match="new: no checkpoint to resume from .*no such folder"):
        RunFolder(tmp_path / "new", "--save_dir", make=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_its_holder_removes_is_made_again(tmp_path, monkeypatch):
    """Another process has opened it, and gets the lock of what is no longer there."""
    run, original = tmp_path / "run", fcntl.flock

    def remove_first(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", original)
        run.rmdir()
        original(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with RunFolder(run, "--save_dir"), pytest.raises(InputError, match="another process"):
        RunFolder(run, "--save_dir")


def test_a_file_system_without_locks_is_no_hindrance(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with RunFolder(tmp_path, "--save_dir"):
        leave_leftovers(tmp_path)
        with RunFolder(tmp_path, "--save_dir"):
            assert [path.name for path in tmp_path.iterdir()] == ["step_00000008"]


def test_a_killed_process_blocks_nobody(tmp_path):
    run = tmp_path / "run"
    program = ("import sys, time; from bilm.storage.run_folder import RunFolder\n"
               "folder = RunFolder(sys.argv[1], '--save_dir'); print('held', flush=True)\n"
               "time.sleep(600)")
    with start("-c", program, str(run), stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process"):
            RunFolder(run, "--save_dir")
        holder.kill()
    RunFolder(run, "--save_dir").close()


class Program:
    """A program that trains, on text that the fixture has written."""

    def __init__(self, name, text):
        self._name, self._text = name, text
        self.is_tagger = name == "lac train"
        self.main = train_tagger if self.is_tagger else pretrain
        self.run_flag = "--save_dir" if self.is_tagger else "--para_save_dir"
        self.vocabulary_flag = "--word_dict_path" if self.is_tagger else "--vocab_path"

    def new(self, run, *more):
        """Return the arguments of a run that saves at every step and does not end by itself."""
        tagged, text = str(self._text / "train.tsv"), self._text
        flags = [
            "--train_path", tagged, "--dev_path", tagged, "--gru_size", "8", "--num_layers", "1",
            "--max_epochs", "100000", "--patience", "1000000", "--eval_interval", "1",
        ] if self.is_tagger else [
            "--train_path", f"{text}/train/*", "--vocab_path", f"{text}/vocabulary.txt",
            "--embed_size", "6", "--hidden_size", "10", "--num_steps", "5",
            "--max_epoch", "100000", "--save_interval", "1",
        ]
        return [*flags, "--batch_size", "4", "--threads", "1", self.run_flag, str(run), *more]

    def resumed(self, run, *more):
        return ["--resume", self.run_flag, str(run), *more]

    def start(self, arguments):
        return start("-m", *self._name.split(), *arguments)


@pytest.fixture(params=["bilm pretrain", "lac train"])
def program(request, corpus_folder):
    taggers.write_text(corpus_folder)
    return Program(request.param, corpus_folder)


def test_a_second_start_is_refused_and_the_live_one_goes_on(tmp_path, program):
    run = tmp_path / "run"
    training = program.start(program.new(run))
    with live(run, training), unchanged(run, training):
        assert_refused(program.start(program.resumed(run)), run)
        assert_refused(program.start(program.new(run)), run)


def test_a_resumed_run_is_protected_too(tmp_path, program):
    run = tmp_path / "run"
    program.main(program.new(run, "--max_steps", "2"))
    training = program.start(program.resumed(run, "--max_steps", "0"))
    wait_for(lambda: step_of(latest_checkpoint(run)) > 2, training)
    with live(run, training), unchanged(run, training):
        assert_refused(program.start(program.resumed(run)), run)


def test_a_run_that_has_just_begun_is_protected(tmp_path, program):
    """It has saved nothing yet: it waits for its vocabulary, which comes through a pipe."""
    run, pipe = tmp_path / "run", tmp_path / "pipe"
    os.mkfifo(pipe)
    training = program.start(program.new(run, program.vocabulary_flag, str(pipe)))
    writers = []

    def is_read():
        try:
            writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            assert error.errno == errno.ENXIO
        return writers

    try:
        wait_for(is_read, training)
        before = snapshot(run)
        assert list(before) == ["."]
        assert_refused(program.start(program.new(run)), run)
        assert snapshot(run) == before
        os.write(writers[0], (tmp_path / "vocabulary.txt").read_bytes())
        os.close(writers[0])
    except BaseException:
        training.kill()
        raise
    with live(run, training):
        pass


def test_a_killed_training_blocks_nobody(tmp_path, program):
    run = tmp_path / "run"
    training = program.start(program.new(run))
    wait_for(lambda: is_run(run), training)
    training.kill()
    training.communicate()
    last = step_of(latest_checkpoint(run))
    program.main(program.resumed(run, "--max_steps", str(last + 2)))
    assert step_of(latest_checkpoint(run)) == last + 2


def test_nothing_is_left_of_a_folder_when_there_was_nothing_to_resume(tmp_path, program):
    for run in (tmp_path / "new", tmp_path / "a/b"):
        with pytest.raises(InputError, match="no checkpoint to resume from"):
            program.main(program.resumed(run))
        with pytest.raises((InputError, OSError), match="nowhere"):
            program.main(program.new(run, program.vocabulary_flag, "nowhere"))
    assert not (tmp_path / "new").exists() and not (tmp_path / "a").exists()


def test_a_live_run_is_read_by_another_one_and_left_alone(corpus_folder):
    first, second = corpus_folder / "first", corpus_folder / "second"
    program = Program("bilm pretrain", corpus_folder)
    pretrain(program.new(first, "--max_steps", "2"))
    with RunFolder(first, "--para_save_dir"):
        leave_leftovers(first)
        before = snapshot(first)
        for load_dir in (first, latest_checkpoint(first)):
            with pytest.raises(InputError, match="another process is training"):
                pretrain(["--load_dir", str(load_dir)])
            to_second = ["--load_dir", str(load_dir), "--para_save_dir", str(second)]
            refused = pytest.raises(InputError, match="second: another process is training")
            with RunFolder(second, "--para_save_dir"), refused:
                pretrain(to_second)
        pretrain([*to_second, "--max_steps", "4"])
        assert snapshot(first) == before
    assert latest_checkpoint(second) == checkpoint_path(second, 4)


def test_an_ablation_holds_its_folder_and_that_of_each_run(tmp_path):
    given = taggers.options(tmp_path, elmo=str(taggers.small_bilm(tmp_path)), max_epochs=1)
    for name, left in (("run", []), ("run/elmo_seed_0", ["elmo_seed_0", "none_seed_0"])):
        with RunFolder(tmp_path / name, "--save_dir"):
            with pytest.raises(InputError, match=f"{tmp_path}/{name}: another process is training"):
                ablate(given, 1, quiet=True)
            present = (tmp_path / "run").iterdir()
            assert sorted(path.name for path in present) == left
    assert ablate(given, 1, quiet=True) is not None


def test_an_ablation_refuses_others_between_its_runs(tmp_path, monkeypatch):
    given = taggers.options(tmp_path, elmo=str(taggers.small_bilm(tmp_path)), max_epochs=1)
    tried = []

    def try_too(*arguments):
        with pytest.raises(InputError, match="run: another process is training"):
            ablate(given, 1, quiet=True)
        tried.append(arguments)
        return original(*arguments)

    original = ablation._outcome
    monkeypatch.setattr(ablation, "_outcome", try_too)
    assert ablate(given, 1, quiet=True) is not None
    assert len(tried) == 2
