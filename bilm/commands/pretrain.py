"""`bilm pretrain`: train a biLM on segmented text, and resume it exactly."""

import argparse
import logging
import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Iterator, Optional, Tuple

from bilm.errors import InputError
from bilm.files import read_json
from bilm.hardware import keep_freed_memory, prepare_device
from bilm.program.json_output import stdout_for_figures, write_figures
from bilm.program.options import (
    add_json_option,
    add_options,
    add_quiet_option,
    check_unchanged,
    new_parser,
)
from bilm.program.parser import Parser
from bilm.storage.formats.known import locate
from bilm.storage.model_folder import CHECKSUMS
from bilm.storage.pretrained import read_config
from bilm.storage.runs import RunFolder, is_run, latest_checkpoint, list_checkpoints
from bilm.training.options import FIXED_AT_RESUME, OBSOLETE, TrainingOptions
from bilm.training.state import load_checkpoint

_log = logging.getLogger("bilm")


def main(arguments=None) -> None:
    """Train as the command line says."""
    given = vars(build_parser().parse_args(arguments))
    json_path, quiet = given.pop("json"), given.pop("quiet")
    _warn_of_obsolete_flags(given)
    with stdout_for_figures(json_path):
        figures = _train(given, quiet)
    if json_path and os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
        write_figures(json_path, figures)


def _train(given, quiet) -> dict:
    resume, load_dir = given.pop("resume", False), given.pop("load_dir", "")
    with_moments = bool(load_dir) and not resume and not _is_of_a_run(load_dir)
    if with_moments:
        given = {**_options_from(load_dir), **given, "load_pretraining_params": load_dir}
    is_resumed = (resume or bool(load_dir)) and not with_moments
    own = given.get("para_save_dir", TrainingOptions.para_save_dir)
    if is_resumed:
        before = _run_of(load_dir) if load_dir else Path(own)
        run = Path(given.get("para_save_dir", before))
        use_gpu, threads = _device_of(given, load_dir or before)
    else:
        options, before, run = TrainingOptions(**given), None, Path(own)
        use_gpu, threads = options.use_gpu, options.threads
    prepare_device(use_gpu, threads)
    keep_freed_memory()
    # only now: these import Paddle, of which --help and bad flags have no need
    from bilm.training import distributed
    from bilm.training.run import Run
    from bilm.training.setup import set_up

    distributed.start(use_gpu)
    with _held(run, before) as folder:
        checkpoint, source = None, None
        if is_resumed:
            checkpoint, source = _read_checkpoint(before, load_dir)
            options = TrainingOptions(**_resumed_options(given, checkpoint, source))
        course = Run(set_up(options, folder, checkpoint, source, with_moments, quiet), quiet)
        del checkpoint  # as large as the model and its optimiser's memory
        return course.train()


@contextmanager
def _held(run, before) -> Iterator[Optional[RunFolder]]:
    """Hold a run's folder in the first of several processes, for all; they are refused together.

    Args:
        run: The folder.
        before: Of the run that is continued; None in a new one.

    Yields:
        The `RunFolder`; None in the other processes.

    Raises:
        InputError: Another training holds the folder, or it holds another run.
    """
    from bilm.training import distributed

    is_same = before is not None and before.resolve() == run.resolve()
    with ExitStack() as stack:
        folder, problem = None, None
        try:
            if distributed.rank() == 0:
                folder = RunFolder(run, "--para_save_dir", make=not is_same)
                stack.enter_context(folder)
                if not is_same:
                    folder.check_unused()
        except InputError as error:
            problem = error
        distributed.raise_together(problem)
        yield folder


def build_parser() -> Parser:
    """Return the parser of `bilm pretrain`."""
    parser = new_parser(
        "bilm pretrain",
        "Train a biLM on segmented text, and resume it exactly.",
        ["bilm pretrain --train_path 'corpus/train/*' --vocab_path corpus/vocabulary.txt "
         "--para_save_dir run",
         "bilm pretrain --resume --para_save_dir run --max_steps 300"],
        notes="obsolete, accepted for LARK's scripts: "
        + ", ".join(f"--{name}" for name, _, _ in OBSOLETE),
    )
    add_options(parser, TrainingOptions)
    add = parser.group("resuming").add_argument
    add("--resume", action="store_true", default=argparse.SUPPRESS,
        help="continue from the latest checkpoint in --para_save_dir")
    add("--load_dir", default=argparse.SUPPRESS, metavar="DIR",
        help="continue from this checkpoint; one of LARK's, or a converted one, gives weights and "
        "Adagrad's moments, and training starts at step 0")
    for name, _, _ in OBSOLETE:
        parser.add_argument(f"--{name}", nargs="?", default=argparse.SUPPRESS,
                            help=argparse.SUPPRESS)
    add_json_option(parser, "the final figures as a JSON object")
    add_quiet_option(parser)
    return parser


def _warn_of_obsolete_flags(given):
    for name, _, advice in OBSOLETE:
        if name in given:
            del given[name]
            _log.warning(f"--{name} is obsolete and ignored: {advice}")


def _is_of_a_run(load_dir):
    """Return whether a checkpoint was written by training here, so that it can be resumed."""
    path = Path(load_dir)
    if not path.exists() or is_run(path):
        return True  # what is missing is told later
    return locate(path).format == "bilm" and (path / "training" / "state.json").is_file()


def _options_from(load_dir):
    """Return the options that a model without training state decides."""
    config, path = read_config(load_dir), Path(load_dir)
    if config.char_cnn is not None:
        raise InputError(f"--load_dir {load_dir}: reads characters; training takes models of words")
    found = {
        "embed_size": config.projection_size, "hidden_size": config.cell_size,
        "proj_clip": config.projection_clip,
        **{name: getattr(config, name) for name in (
            "num_layers", "cell_clip", "use_skip_connections", "bidirectional", "share_softmax")},
    }
    if (path / "vocab.txt").is_file():
        found["vocab_path"] = str(path / "vocab.txt")
    return found


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
    wanted = {"use_gpu": TrainingOptions.use_gpu, "threads": TrainingOptions.threads}
    for checkpoint in [*reversed(list_checkpoints(path)), Path(path)]:
        with suppress(InputError, OSError):
            saved = read_json(checkpoint / "training/state.json").get("options")
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
        found = load_checkpoint(path)
        if not (path / CHECKSUMS).is_file():
            _log.warning(f"{path} has no {CHECKSUMS}: whether its files are whole is not known")
        return found, path
    except InputError as error:
        problem = str(error)
    known = list_checkpoints(run)
    older = known[: known.index(path)] if path in known else known
    if load_dir or not older:
        raise InputError(f"{problem}{f' (--load_dir {older[-1]})' if older else ''}")
    for other in reversed(older):
        try:
            found = load_checkpoint(other), other
        except InputError:
            continue
        _log.warning(f"{problem}; going back to {other}")
        return found
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
