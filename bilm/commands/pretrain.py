"""`bilm pretrain`: train a biLM on segmented text, and resume it exactly."""

import argparse
import logging
import os
from dataclasses import fields
from pathlib import Path

from bilm.errors import InputError
from bilm.hardware import keep_freed_memory, select_device, tune_cpu
from bilm.program.json_output import stdout_for_figures, write_figures
from bilm.program.options import add_json_option, add_options, add_quiet_option, new_parser
from bilm.program.parser import Parser
from bilm.storage.checkpoint import clear_run, latest_checkpoint, list_checkpoints
from bilm.storage.formats.known import locate
from bilm.storage.model_folder import CHECKSUMS
from bilm.storage.pretrained import read_config
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
    checkpoint, source, options = None, None, None
    with_moments = bool(load_dir) and not resume and not _is_of_a_run(load_dir)
    if with_moments:
        given = {**_options_from(load_dir), **given, "load_pretraining_params": load_dir}
    elif resume or load_dir:
        checkpoint, source = _read_checkpoint(given, load_dir)
        given = _resumed_options(given, checkpoint, source)
    options = TrainingOptions(**given)
    tune_cpu(options.threads)
    keep_freed_memory()
    select_device(options.use_gpu)
    # only now: these import Paddle, of which --help and bad flags have no need
    from bilm.training import distributed
    from bilm.training.run import Run
    from bilm.training.setup import set_up

    distributed.start(options.use_gpu)
    run = Run(set_up(options, checkpoint, source, with_moments, quiet), quiet)
    del checkpoint  # as large as the model and its optimiser's memory
    return run.train()


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
    if not path.exists() or (path / "latest").is_file():
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


def _read_checkpoint(given, load_dir):
    run = given.get("para_save_dir", TrainingOptions.para_save_dir)
    clear_run(Path(load_dir).parent if load_dir else run)
    path = Path(load_dir) if load_dir else Path(run)
    try:
        if (path / "latest").is_file() or not load_dir:
            path = latest_checkpoint(path)
        found = load_checkpoint(path)
        if not (path / CHECKSUMS).is_file():
            _log.warning(f"{path} has no {CHECKSUMS}: whether its files are whole is not known")
        return found, path
    except InputError as error:
        problem = str(error)
    known = list_checkpoints(path if path == Path(run) else path.parent)
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
    conflicts = [
        f"--{name} is {given[name]}, the checkpoint was trained with {saved[name]}"
        for name in FIXED_AT_RESUME
        if name in given and given[name] != saved[name]
    ]
    if conflicts:
        raise InputError(f"{source}: cannot be continued: {'; '.join(conflicts)}")
    # where the checkpoint stands, not where it says that it stood
    return {**saved, "para_save_dir": str(source.parent), **given}
