"""`lac train`: train a tagger with or without ELMo, and resume it exactly."""

from typing import Any, Dict, Optional, Sequence

from bilm.hardware import prepare_device
from bilm.program.json_output import stdout_for_report, write_report
from bilm.program.options import without_obsolete
from bilm.program.parser import Parser
from bilm.storage.run_folder import RunFolder, checkpoint_path
from lac.commands.ablate import figures_of_ablation
from lac.commands.options import new_training_parser
from lac.training.options import OBSOLETE, TaggerOptions
from lac.training.outcome import Outcome


def build_parser() -> Parser:
    """Return the parser of `lac train`."""
    parser = new_training_parser(
        "lac train",
        "Train a tagger with or without ELMo, and resume it exactly.",
        ["lac train --train_path data/lac/train.tsv --dev_path data/lac/dev.tsv --elmo run "
         "--save_dir tagger",
         "lac train --resume --save_dir tagger"],
    )
    parser.group("resuming").add_argument(
        "--resume", action="store_true", help="continue from the latest checkpoint in --save_dir"
    )
    parser.group("comparing").add_argument(
        "--ablation", type=int, default=0, metavar="N",
        help="do what lac ablate --seeds N does; 0: train one tagger",
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Train as the command line says."""
    given = without_obsolete(vars(build_parser().parse_args(arguments)), OBSOLETE)
    json_path, quiet = given.pop("json"), given.pop("quiet")
    resume, num_seeds = given.pop("resume"), given.pop("ablation")
    with stdout_for_report(json_path):
        if num_seeds:
            figures = figures_of_ablation(given, num_seeds, quiet, "--ablation")
        else:
            run = given.get("save_dir", TaggerOptions.save_dir)
            outcome = _resume(run, given, quiet) if resume else _train(given, quiet)
            figures = _figures(run, outcome)
    write_report(json_path, figures)


def _train(given: Dict[str, Any], quiet: bool) -> Optional[Outcome]:
    options = TaggerOptions(**given)
    prepare_device(options.use_gpu, options.threads)  # before this import of Paddle
    from lac.training.run import train

    return train(options, quiet=quiet)


def _resume(run: str, given: Dict[str, Any], quiet: bool) -> Optional[Outcome]:
    from lac.training.resume import read_resumable, resumed_options

    with RunFolder(run, "--save_dir", make=False) as folder:
        checkpoint = read_resumable(folder)
        options = resumed_options(checkpoint, given, run)
        prepare_device(options.use_gpu, options.threads)  # before this import of Paddle
        from lac.training.run import train_in

        return train_in(folder, options, checkpoint, quiet=quiet)


def _figures(run: str, outcome: Optional[Outcome]) -> Dict[str, Any]:
    """Return the figures that --json writes."""
    if outcome is None:
        return {"finished": False}
    figures = outcome._asdict()
    del figures["sentence_counts"]  # as long as the text
    return {"finished": True, "model": str(checkpoint_path(run, outcome.best_step)), **figures}
