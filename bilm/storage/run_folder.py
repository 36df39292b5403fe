"""The folder of a training run: its lock, its checkpoints, and the files that name one of them.

    RUN/step_00000040    a checkpoint
    RUN/latest           the name of the newest one, from which --resume continues
    RUN/best             the name of a tagger's best one

Training holds the folder as a `RunFolder`, and only that changes which checkpoints there are. The
functions look at a folder that may be another process's: they neither lock nor change it.
"""

import os
import re
import shutil
from pathlib import Path
from typing import List, Optional, Tuple

from bilm.errors import InputError
from bilm.files import PathLike, clear_leftovers, write_text_atomically

LATEST, BEST = "latest", "best"
_STEP_NAME = re.compile(r"step_(\d{8,})")
_LEFTOVERS = (
    r"step_\d{8,}|latest|best|elmo|metrics\.jsonl|dictionary\.txt|jieba_words\.txt"
)


class RunFolder:
    """A run's folder, which no other process can hold until this one closes it or ends.

    Nothing in the folder is touched before it is locked. Then what a killed process left half done
    is removed or restored. A folder that was made here and is still empty when it is closed is
    removed. Where the file system knows no locks, the folder is not protected.

    Args:
        path: The folder.
        option: The flag that names it, for messages.
        make: Whether to make the folder if it is missing.

    Raises:
        InputError: Another process holds the folder, or it is missing or cannot be opened.
    """

    def __init__(self, path: PathLike, option: str, make: bool = True):
        self.path, self._option = Path(path), option
        try:
            self._descriptor, self._made = _hold(self.path, make)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not make:
                raise InputError(f"{path}: no checkpoint to resume from (there is no such folder); "
                                 "start without --resume") from None
            raise InputError(f"{option} {path}: {error.strerror}") from None
        try:
            clear_leftovers(self.path, _LEFTOVERS)
        except OSError as error:
            self.close()
            raise InputError(f"{option} {path}: {error.strerror}") from None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_error) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes have the folder."""
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # it is in use
                break
        os.close(self._descriptor)

    def check_unused(self) -> None:
        """Raise an InputError if there are checkpoints."""
        if list_checkpoints(self.path):
            raise InputError(
                f"{self._option} {self.path} holds checkpoints of another run; add --resume to "
                "continue that one, or choose another folder"
            )

    def set_pointer(self, checkpoint: PathLike, pointer: str = LATEST) -> None:
        """Make a file of the folder name one of its checkpoints.

        Raises:
            InputError: The file cannot be written.
        """
        try:
            write_text_atomically(self.path / pointer, Path(checkpoint).name + "\n")
        except OSError as error:
            raise InputError(f"{self.path / pointer}: {error.strerror}") from None

    def prune(self, keep: int, newest_step: int, spared: Optional[Path] = None) -> None:
        """Remove all but the `keep` newest checkpoints up to `newest_step`; 0 keeps all.

        Args:
            keep: Number of checkpoints.
            newest_step: Checkpoints of later steps are not touched, nor counted.
            spared: A checkpoint that stays in any case.
        """
        old = [path for path in list_checkpoints(self.path) if step_of(path) <= newest_step]
        for path in old[:-keep] if keep else ():
            if path != spared:
                shutil.rmtree(path, ignore_errors=True)


def checkpoint_path(run: PathLike, step: int) -> Path:
    """Return where the checkpoint of this step stands in the folder `run`."""
    return Path(run) / f"step_{step:08d}"


def step_of(checkpoint: PathLike) -> int:
    """Return the step in the name of a checkpoint's folder."""
    return int(Path(checkpoint).name.removeprefix("step_"))


def list_checkpoints(run: PathLike) -> List[Path]:
    """Return the checkpoints in the folder `run`, oldest first."""
    named = (path for path in Path(run).glob("step_*") if _STEP_NAME.fullmatch(path.name))
    return sorted(named, key=step_of)


def is_run(path: PathLike) -> bool:
    """Return whether a folder is a run's with a checkpoint, not a checkpoint itself."""
    return (Path(path) / LATEST).is_file()


def latest_checkpoint(run: PathLike, pointer: str = LATEST) -> Path:
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
        present = ", ".join(item.name for item in list_checkpoints(run)) or "none"
        raise InputError(
            f"{run}/{pointer} names {name!r}, which is not there; checkpoints: {present}"
        )
    return path


def _hold(path, make) -> Tuple[int, List[Path]]:
    """Return a locked descriptor of a folder, and the folders made for it, the deepest first."""
    made: List[Path] = []
    while True:
        if make:
            made = [*dict.fromkeys([*_make(path), *made])]
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        except FileNotFoundError:
            if make:  # the process that has made it has removed it
                continue
            raise
        try:
            _lock(descriptor)
            if _is_at(path, descriptor):
                return descriptor, made
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"{path}: another process is training here; wait for its end"
            ) from None
        os.close(descriptor)  # the process that held it has removed it


def _make(path) -> List[Path]:
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def _lock(descriptor) -> None:
    """Lock an open folder; where there are no locks, do nothing."""
    try:
        import fcntl  # not on Windows

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        pass


def _is_at(path, descriptor) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
