"""`lac train`: train a tagger with or without ELMo, and resume it exactly."""

import argparse
from dataclasses import fields

from bilm.checkpoint import clear_run, latest_checkpoint
from bilm.cli import run_main, warn
from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.options import add_options
from lac.training_options import CHANGEABLE_AT_RESUME, OBSOLETE, TaggerOptions


def main(arguments=None) -> None:
    """Train as the command line says."""
    given = vars(_parser().parse_args(arguments))
    for name, advice in OBSOLETE:
        if given.pop(name, None) is not None:
            warn(f"--{name} is obsolete and ignored: {advice}")
    resume, num_seeds = given.pop("resume"), given.pop("ablation")
    if num_seeds:
        options = TaggerOptions(**given)
        prepare_device(options.use_gpu, options.threads)
        from lac.ablation import ablate  # only now: it imports Paddle

        ablate(options, num_seeds)
        return
    training = None
    if resume:
        options, source, training = _resumed(given)
    else:
        options, source = TaggerOptions(**given), None
    prepare_device(options.use_gpu, options.threads)
    train(options, source, training)


def train(options: TaggerOptions, source=None, training=None, caches=None):
    """Train a tagger, or go on with one.

    Args:
        options: How to train.
        source: Checkpoint to go on from; None: start anew.
        training: What it holds for resuming.
        caches: `lac.run_setup.Caches` to share with other runs.

    Returns:
        Its `lac.run.Outcome`; None if a signal stopped it.

    Raises:
        InputError: Something in the options or the data is wrong, or training cannot go on.
    """
    from lac.model_folder import read_tagger
    from lac.run import TaggerRun
    from lac.run_setup import set_up

    resumed = None if source is None else read_tagger(source)
    return TaggerRun(set_up(options, resumed, training, source, caches)).train()


def read_resumable(run):
    """Return the latest checkpoint of a run, its options, and what it holds for resuming.

    Raises:
        InputError: There is none, or it is damaged.
    """
    from lac.model_folder import STATE_FILE, read_training

    clear_run(run)
    source = latest_checkpoint(run)
    training = read_training(source)
    known = {field.name for field in fields(TaggerOptions)}
    saved = {
        name: value for name, value in training[STATE_FILE]["options"].items() if name in known
    }
    return source, saved, training


def _resumed(given):
    """Return the options of the checkpoint, changed by what the command line may change."""
    source, saved, training = read_resumable(given.get("save_dir", TaggerOptions.save_dir))
    conflicts = [
        f"--{name} is {value}, the checkpoint was trained with {saved[name]}"
        for name, value in given.items()
        if name not in CHANGEABLE_AT_RESUME and name in saved and saved[name] != value
    ]
    if conflicts:
        raise InputError(f"{source}: cannot be continued: {'; '.join(conflicts)}")
    return TaggerOptions(**{**saved, **given}), source, training


def _parser():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="obsolete, accepted for LARK's scripts: "
        + ", ".join(f"--{name}" for name, _ in OBSOLETE),
    )
    add_options(parser, TaggerOptions)
    parser.add_argument("--resume", action="store_true",
                        help="continue from the latest checkpoint in --save_dir")
    parser.add_argument("--ablation", type=int, default=0, metavar="N",
                        help="train with and without ELMo on N seeds each, and compare; the same "
                        "command goes on where it was stopped")
    for name, _ in OBSOLETE:
        parser.add_argument(f"--{name}", nargs="?", default=None, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    run_main(main)
