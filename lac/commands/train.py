"""`lac train`: train a tagger with or without ELMo, and resume it exactly."""

import argparse
import logging
from dataclasses import fields

from bilm.hardware import prepare_device
from bilm.program.json_output import stdout_for_figures, write_figures
from bilm.program.options import (
    add_json_option,
    add_options,
    add_quiet_option,
    check_unchanged,
    new_parser,
)
from bilm.program.parser import Parser
from bilm.storage.runs import RunFolder, checkpoint_path, latest_checkpoint
from lac.training.options import FIXED_AT_RESUME, OBSOLETE, TaggerOptions

_log = logging.getLogger("lac")


def main(arguments=None) -> None:
    """Train as the command line says."""
    given = vars(build_parser().parse_args(arguments))
    json_path, quiet = given.pop("json"), given.pop("quiet")
    for name, advice in OBSOLETE:
        if given.pop(name, None) is not None:
            _log.warning(f"--{name} is obsolete and ignored: {advice}")
    with stdout_for_figures(json_path):
        figures = _train(given, quiet)
    write_figures(json_path, figures)


def _train(given, quiet) -> dict:
    resume, num_seeds = given.pop("resume"), given.pop("ablation")
    if num_seeds:
        options = TaggerOptions(**given)
        prepare_device(options.use_gpu, options.threads)
        from lac.training.ablation import ablate  # only now: it imports Paddle

        comparison = ablate(options, num_seeds, quiet)
        return {"finished": comparison is not None, **(comparison or {})}
    run = given.get("save_dir", TaggerOptions.save_dir)
    if resume:
        outcome = _resume(run, given, quiet)
    else:
        options = TaggerOptions(**given)
        prepare_device(options.use_gpu, options.threads)
        outcome = train(options, quiet=quiet)
    if outcome is None:
        return {"finished": False}
    figures = outcome._asdict()
    del figures["sentence_counts"]  # as long as the text
    return {"finished": True, "model": str(checkpoint_path(run, outcome.best_step)), **figures}


def train(options: TaggerOptions, caches=None, quiet=False):
    """Train a new tagger.

    Args:
        options: How to train.
        caches: `lac.training.setup.Caches` to share with other runs.
        quiet: Show results only, no progress.

    Returns:
        Its `lac.training.outcome.Outcome`; None if a signal stopped it.

    Raises:
        InputError: Something in the options or the data is wrong, or training cannot go on.
    """
    with RunFolder(options.save_dir, "--save_dir") as folder:
        folder.check_unused()
        return train_in(folder, options, caches=caches, quiet=quiet)


def train_in(folder: RunFolder, options, source=None, training=None, caches=None, quiet=False):
    """Train a tagger in the folder of its run, from the start or from a checkpoint.

    Args:
        folder: The one that the options name.
        options: How to train.
        source: Checkpoint to go on from; None: start anew.
        training: What it holds for resuming.
        caches: `lac.training.setup.Caches` to share with other runs.
        quiet: Show results only, no progress.

    Returns:
        Its `lac.training.run.Outcome`; None if a signal stopped it.

    Raises:
        InputError: Something in the options or the data is wrong, or training cannot go on.
    """
    from lac.model_folder import read_tagger
    from lac.training.run import TaggerRun
    from lac.training.setup import Caches, set_up

    resumed = None if source is None else read_tagger(source)
    caches = caches or Caches(quiet)
    return TaggerRun(set_up(options, folder, resumed, training, source, caches), quiet).train()


def read_resumable(folder: RunFolder):
    """Return the latest checkpoint of a run, its options, and what it holds for resuming.

    Raises:
        InputError: There is none, or it is damaged.
    """
    from lac.model_folder import STATE_FILE, read_training

    source = latest_checkpoint(folder.path)
    training = read_training(source)
    known = {field.name for field in fields(TaggerOptions)}
    saved = {
        name: value for name, value in training[STATE_FILE]["options"].items() if name in known
    }
    return source, saved, training


def _resume(run, given, quiet):
    """Go on with a run, with the options of its checkpoint but for those that may change."""
    with RunFolder(run, "--save_dir", make=False) as folder:
        source, saved, training = read_resumable(folder)
        check_unchanged(given, saved, FIXED_AT_RESUME, source)
        options = TaggerOptions(**{**saved, **given, "save_dir": str(run)})
        prepare_device(options.use_gpu, options.threads)
        return train_in(folder, options, source, training, quiet=quiet)


def build_parser() -> Parser:
    """Return the parser of `lac train`."""
    parser = new_parser(
        "lac train",
        "Train a tagger with or without ELMo, and resume it exactly.",
        ["lac train --train_path data/lac/train.tsv --dev_path data/lac/dev.tsv --elmo run "
         "--save_dir tagger",
         "lac train --resume --save_dir tagger"],
        notes="obsolete, accepted for LARK's scripts: "
        + ", ".join(f"--{name}" for name, _ in OBSOLETE),
    )
    add_options(parser, TaggerOptions)
    parser.group("resuming").add_argument(
        "--resume", action="store_true", help="continue from the latest checkpoint in --save_dir"
    )
    parser.group("comparing").add_argument(
        "--ablation", type=int, default=0, metavar="N",
        help="train with and without ELMo on N seeds each, and compare; the same command goes on "
        "where it was stopped; 0: train one tagger",
    )
    for name, _ in OBSOLETE:
        parser.add_argument(f"--{name}", nargs="?", default=None, help=argparse.SUPPRESS)
    add_json_option(parser, "the final figures as a JSON object")
    add_quiet_option(parser)
    return parser
