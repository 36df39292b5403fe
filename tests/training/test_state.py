"""Training state in a checkpoint from anywhere: complete, or refused."""

import pytest

from bilm.errors import InputError
from bilm.storage.checkpoint import CHECKSUMS, save_checkpoint
from bilm.training.state import TRAINING_FILES, load_checkpoint
from tests.reference.checkpoints import build


def test_files_that_resuming_needs_are_missed_without_checksums_too(tmp_path, vocabulary):
    save_checkpoint(tmp_path / "model", build(vocabulary))
    assert load_checkpoint(tmp_path / "model").training.keys() == {*TRAINING_FILES}
    (tmp_path / "model" / CHECKSUMS).unlink()
    for name in ("lstm.safetensors", "rows.safetensors"):
        (tmp_path / "model/training" / name).unlink()
    with pytest.raises(InputError) as error:
        load_checkpoint(tmp_path / "model")
    assert str(error.value) == (
        f"{tmp_path / 'model/training'}: missing lstm.safetensors, rows.safetensors; "
        "use another checkpoint"
    )
