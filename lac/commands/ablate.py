"""`lac ablate`: train taggers with and without ELMo on several seeds, and compare them."""

from typing import Any, Dict, Optional, Sequence

from bilm.hardware import prepare_device
from bilm.program.json_output import stdout_for_report, write_report
from bilm.program.options import without_obsolete
from bilm.program.parser import Parser
from lac.commands.options import new_training_parser
from lac.training.options import OBSOLETE, TaggerOptions


def build_parser() -> Parser:
    """Return the parser of `lac ablate`."""
    parser = new_training_parser(
        "lac ablate",
        "Train with and without ELMo on several seeds each, and compare: mean F1, deviation, and "
        "a significance test. The same command goes on where it was stopped.",
        ["lac ablate --train_path data/lac/train.tsv --dev_path data/lac/dev.tsv --elmo run "
         "--seeds 3 --save_dir ablation"],
    )
    parser.group("comparing").add_argument(
        "--seeds", type=int, default=3, metavar="N",
        help="train on N seeds each, from --random_seed on",
    )
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Train and compare as the command line says."""
    given = without_obsolete(vars(build_parser().parse_args(arguments)), OBSOLETE)
    json_path, quiet, num_seeds = (given.pop(name) for name in ("json", "quiet", "seeds"))
    with stdout_for_report(json_path):
        figures = figures_of_ablation(given, num_seeds, quiet, "lac ablate")
    write_report(json_path, figures)


def figures_of_ablation(
    given: Dict[str, Any], num_seeds: int, quiet: bool, name: str
) -> Dict[str, Any]:
    """Train as the flags in `given` say; return the figures that --json writes.

    Args:
        given: Values of flags of `TaggerOptions`.
        num_seeds: Number of seeds.
        quiet: Whether to show results only.
        name: How the user asked for it, for messages.
    """
    options = TaggerOptions(**given)
    prepare_device(options.use_gpu, options.threads)  # before this import of Paddle
    from lac.training.ablation import ablate

    comparison = ablate(options, num_seeds, quiet, name)
    return {"finished": comparison is not None, **(comparison or {})}
