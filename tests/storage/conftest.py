"""The model folder that the tests of storage share."""

import pytest

from bilm.storage.checkpoint import save_checkpoint
from bilm.storage.run_folder import checkpoint_path
from tests.reference.checkpoints import build


@pytest.fixture
def saved(tmp_path, vocabulary):
    """A model folder in a run of its own."""
    path = checkpoint_path(tmp_path / "run", 40)
    save_checkpoint(path, build(vocabulary))
    return path
