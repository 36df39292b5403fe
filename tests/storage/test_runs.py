"""A run's folder: its checkpoints in order, the latest, and which are removed."""

import pytest

from bilm.errors import InputError
from bilm.storage.checkpoint import (
    checkpoint_path,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    remove_old_checkpoints,
    save_checkpoint,
    set_latest,
    step_of,
)
from tests.reference.checkpoints import assert_equal_arrays, build


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


def test_a_run_stands_for_its_latest_checkpoint(saved, vocabulary):
    newer = checkpoint_path(saved.parent, 50)
    save_checkpoint(newer, build(vocabulary, seed=1))
    for path, seed in ((saved, 0), (newer, 1)):
        set_latest(saved.parent, path)
        assert latest_checkpoint(saved.parent) == path
        weights = load_checkpoint(saved.parent).weights
        assert_equal_arrays(weights, build(vocabulary, seed).weights)


def test_a_run_without_checkpoint_cannot_be_continued(tmp_path):
    with pytest.raises(InputError, match="no checkpoint to resume from .* without --resume"):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["step_00000041", "../elsewhere", ""])
def test_latest_must_name_a_checkpoint_that_is_there(saved, name):
    (saved.parent.parent / "elsewhere").mkdir()
    (saved.parent / "latest").write_text(name + "\n")
    with pytest.raises(InputError) as error:
        latest_checkpoint(saved.parent)
    assert str(error.value) == (
        f"{saved.parent}/latest names {name!r}, which is not there; checkpoints: step_00000040"
    )


@pytest.mark.parametrize("keep, newest_step, left", [
    (2, 40, [30, 40]), (1, 40, [40]), (9, 40, [10, 20, 30, 40]), (0, 40, [10, 20, 30, 40]),
    (1, 20, [20, 30, 40]),  # after going back to step 20 the later ones are not older
])
def test_only_old_checkpoints_are_removed(tmp_path, keep, newest_step, left):
    make_checkpoints(tmp_path, *(f"step_{step:08d}" for step in (10, 20, 30, 40)), "step_note")
    remove_old_checkpoints(tmp_path, keep, newest_step)
    assert [step_of(path) for path in list_checkpoints(tmp_path)] == left
    assert (tmp_path / "step_note").is_dir()
