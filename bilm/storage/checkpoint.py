"""Checkpoints of a run."""

import re
import shutil
from pathlib import Path

from bilm.errors import InputError
from bilm.files import clear_leftovers, write_text_atomically

_STEP_NAME = re.compile(r"step_(\d{8,})")


def checkpoint_path(run, step: int) -> Path:
    """Return where the checkpoint of this step stands in the folder `run`."""
    return Path(run) / f"step_{step:08d}"


def list_checkpoints(run) -> list:
    """Return the checkpoints in the folder `run`, oldest first."""
    found = (path for path in Path(run).glob("step_*") if _STEP_NAME.fullmatch(path.name))
    return sorted(found, key=step_of)


def step_of(path) -> int:
    """Return the step that the name of a checkpoint folder tells."""
    return int(_STEP_NAME.fullmatch(Path(path).name).group(1))


def set_latest(run, path, pointer: str = "latest") -> None:
    """Make `path` the checkpoint that `--resume` continues from.

    Args:
        run: The run's folder.
        path: The checkpoint in it.
        pointer: The file that names it; a run may have others than `latest`.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        write_text_atomically(Path(run) / pointer, Path(path).name + "\n")
    except OSError as error:
        raise InputError(f"{Path(run) / pointer}: {error.strerror}") from None


def clear_run(run) -> None:
    """Remove or restore what a killed process left half done in a run's folder."""
    clear_leftovers(run, r"step_\d{8,}|latest|best|elmo|metrics\.jsonl")


def remove_old_checkpoints(run, keep: int, newest_step: int, spared=None) -> None:
    """Remove all but the `keep` newest checkpoints up to `newest_step`; 0 keeps all.

    Args:
        run: The run's folder.
        keep: How many stay.
        newest_step: Later ones are not touched.
        spared: A checkpoint that stays, too.
    """
    old = [path for path in list_checkpoints(run) if step_of(path) <= newest_step]
    for path in old[:-keep] if keep else ():
        if path != spared:
            shutil.rmtree(path, ignore_errors=True)


def latest_checkpoint(run, pointer: str = "latest") -> Path:
    """Return the checkpoint that RUN/latest, or another such file, names.

    Raises:
        InputError: There is none.
    """
    try:
        name = (Path(run) / pointer).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        raise InputError(
            f"{run}: no checkpoint to resume from (no file {pointer!r}); start without --resume"
        ) from None
    path = Path(run) / name
    if not _STEP_NAME.fullmatch(name) or not path.is_dir():
        found = ", ".join(item.name for item in list_checkpoints(run)) or "none"
        raise InputError(
            f"{run}/{pointer} names {name!r}, which is not there; checkpoints: {found}"
        )
    return path
