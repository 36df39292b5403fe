"""The checkpoint from which a run of a tagger continues, read without Paddle."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, NamedTuple

from bilm.program.options import check_unchanged
from bilm.storage.run_folder import RunFolder, latest_checkpoint
from lac.model_folder import STATE_FILE, read_training
from lac.training.options import FIXED_AT_RESUME, TaggerOptions


class Resumable(NamedTuple):
    """A checkpoint from which a run can continue.

    Attributes:
        path: Its folder.
        options: The options that it was trained with, without those of other versions.
        training: Its training state by file name; see `lac.model_folder.read_training`.
    """

    path: Path
    options: Dict[str, Any]
    training: Dict[str, dict]

    @property
    def state(self) -> dict:
        """The content of state.json."""
        return self.training[STATE_FILE]


def read_resumable(folder: RunFolder) -> Resumable:
    """Return the latest checkpoint of a run.

    Raises:
        InputError: There is none, or it is damaged.
    """
    path = latest_checkpoint(folder.path)
    training = read_training(path)
    known = {field.name for field in fields(TaggerOptions)}
    saved = training[STATE_FILE]["options"]
    saved = {"pieces": "words", **saved}  # which early versions did not record
    return Resumable(
        path, {name: value for name, value in saved.items() if name in known}, training
    )


def resumed_options(checkpoint: Resumable, given: Dict[str, Any], run: str) -> TaggerOptions:
    """Return the options of a checkpoint, changed as the command line says.

    Args:
        checkpoint: The checkpoint.
        given: Values of the flags on the command line.
        run: The run's folder, which may have moved since the checkpoint was written.

    Raises:
        InputError: The command line changes an option that a resumed run must keep.
    """
    check_unchanged(given, checkpoint.options, FIXED_AT_RESUME, checkpoint.path)
    return TaggerOptions(**{**checkpoint.options, **given, "save_dir": str(run)})
