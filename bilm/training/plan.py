"""Whether a run starts or resumes, in which folder, and from which checkpoint; without Paddle."""

import logging
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

from bilm.errors import InputError
from bilm.files import read_json
from bilm.program.options import check_unchanged
from bilm.storage.formats.known import locate
from bilm.storage.model_folder import CHECKSUMS
from bilm.storage.pretrained import open_model
from bilm.storage.runs import is_run, latest_checkpoint, list_checkpoints
from bilm.storage.side_files import VOCABULARY_FILE
from bilm.storage.stored_model import StoredModel
from bilm.training.options import FIXED_AT_RESUME, TrainingOptions
from bilm.training.state import load_checkpoint

_log = logging.getLogger("bilm")

TRAINING_STATE = Path("training", "state.json")  # in a checkpoint that can be resumed


class Plan(NamedTuple):
    """A run that is to be started or resumed; nothing in its folder has been touched yet.

    Attributes:
        given: Options on the command line, without --resume and --load_dir.
        run: The run's folder.
        resumed_run: Folder of the run to resume, often the same; None for a new run.
        load_dir: --load_dir, if a run is resumed from it; else "".
        options: Of a new run; a resumed one has its options from the checkpoint.
        pretrained: Model at --load_dir that no training here has written: a new run starts from its
            weights and Adagrad's moments; else None.
        use_gpu: Device of the run.
        threads: CPU threads of the run.
    """

    given: Dict[str, object]
    run: Path
    resumed_run: Optional[Path]
    load_dir: str
    options: Optional[TrainingOptions]
    pretrained: Optional[StoredModel]
    use_gpu: bool
    threads: int

    @property
    def continues_in_place(self) -> bool:
        """Whether the resumed run goes on in its own folder."""
        return self.resumed_run is not None and self.resumed_run.resolve() == self.run.resolve()


def plan_run(given: Dict[str, object]) -> Plan:
    """Return what a command line asks for.

    Args:
        given: Options that were given, by name, with "resume" and "load_dir" where given.

    Raises:
        InputError: An option of a new run is out of range, or there is no model at --load_dir.
    """
    given = dict(given)
    resume, load_dir = bool(given.pop("resume", False)), str(given.pop("load_dir", ""))
    pretrained = _pretrained_at(load_dir) if load_dir and not resume else None
    if pretrained is not None:
        given = {
            **_options_of(pretrained, load_dir), **given, "load_pretraining_params": load_dir,
        }
    own = Path(str(given.get("para_save_dir", TrainingOptions.para_save_dir)))
    if pretrained is not None or not (resume or load_dir):
        options = TrainingOptions(**given)  # type: ignore[arg-type]
        return Plan(given, own, None, "", options, pretrained, options.use_gpu, options.threads)
    resumed_run = _run_of(load_dir) if load_dir else own
    run = Path(str(given.get("para_save_dir", resumed_run)))
    use_gpu, threads = _device_of(given, load_dir or resumed_run)
    return Plan(given, run, resumed_run, load_dir, None, None, use_gpu, threads)


def read_checkpoint(plan: Plan) -> Tuple[TrainingOptions, StoredModel, Path]:
    """Return the options of a resumed run, the checkpoint that it continues from, and its path.

    If the latest checkpoint is damaged, the newest one that is whole takes its place, unless
    --load_dir names it.

    Raises:
        InputError: There is no checkpoint that can be read, or the command line changes an option
            that a resumed run must keep.
    """
    checkpoint, path = _read_checkpoint(plan.resumed_run, plan.load_dir)
    return TrainingOptions(**_resumed_options(plan.given, checkpoint, path)), checkpoint, path


def _pretrained_at(load_dir) -> Optional[StoredModel]:
    """Return the model at --load_dir; None if training here wrote it, so that it can be resumed."""
    if not Path(load_dir).exists() or is_run(load_dir):
        return None  # a missing path is reported later
    located = locate(load_dir)
    if located.format == "bilm" and (located.folder / TRAINING_STATE).is_file():
        return None
    return open_model(located)


def _options_of(pretrained, load_dir):
    """Return the options that a model without training state decides."""
    config, vocabulary = pretrained.config, Path(load_dir) / VOCABULARY_FILE
    if config.char_cnn is not None:
        raise InputError(f"--load_dir {load_dir}: reads characters; training takes models of words")
    options = {
        "embed_size": config.projection_size, "hidden_size": config.cell_size,
        "proj_clip": config.projection_clip,
        **{name: getattr(config, name) for name in (
            "num_layers", "cell_clip", "use_skip_connections", "bidirectional", "share_softmax")},
    }
    if vocabulary.is_file():
        options["vocab_path"] = str(vocabulary)
    return options


def _run_of(load_dir) -> Path:
    """Return the folder of the run that a checkpoint belongs to; a run's folder is its own."""
    return Path(load_dir) if is_run(load_dir) else Path(load_dir).parent


def _device_of(given, path) -> Tuple[bool, int]:
    """Return --use_gpu and --threads as given, or as a checkpoint says.

    Several processes have to meet on a device before one of them holds the run's folder, and only
    then the checkpoint is read and checked.

    Args:
        given: Options on the command line.
        path: The checkpoint, or a run's folder.
    """
    wanted: Dict[str, Any] = {
        "use_gpu": TrainingOptions.use_gpu, "threads": TrainingOptions.threads,
    }
    for checkpoint in [*reversed(list_checkpoints(path)), Path(path)]:
        with suppress(InputError, OSError):
            saved = read_json(checkpoint / TRAINING_STATE).get("options")
            if isinstance(saved, dict):
                wanted.update((name, saved[name]) for name, default in wanted.items()
                              if type(saved.get(name)) is type(default))
                break
    wanted.update((name, given[name]) for name in wanted if name in given)
    return wanted["use_gpu"], wanted["threads"]


def _read_checkpoint(run, load_dir):
    """Return the checkpoint to go on from, of this run, and its path."""
    path = Path(load_dir) if load_dir else run
    try:
        if is_run(path) or not load_dir:
            path = latest_checkpoint(path)
        checkpoint = load_checkpoint(path)
        if not (path / CHECKSUMS).is_file():
            _log.warning(f"{path} has no {CHECKSUMS}: whether its files are whole is not known")
        return checkpoint, path
    except InputError as error:
        problem = str(error)
    known = list_checkpoints(run)
    older = known[: known.index(path)] if path in known else known
    if load_dir or not older:
        raise InputError(f"{problem}{f' (--load_dir {older[-1]})' if older else ''}")
    for other in reversed(older):
        try:
            checkpoint = load_checkpoint(other)
        except InputError:
            continue
        _log.warning(f"{problem}; going back to {other}")
        return checkpoint, other
    raise InputError(f"{problem}; no other checkpoint can be read either")


def _resumed_options(given, checkpoint, source):
    """Return the options of the checkpoint, changed by what the command line may change."""
    defaults = {field.name: field.default for field in fields(TrainingOptions)}
    known = {name: float(value) if isinstance(defaults[name], float) else value
             for name, value in checkpoint.training["state.json"]["options"].items()
             if name in defaults}
    saved = {**defaults, **known}
    check_unchanged(given, saved, FIXED_AT_RESUME, source)
    # where the checkpoint stands, not where it says that it stood
    return {**saved, "para_save_dir": str(source.parent), **given}
