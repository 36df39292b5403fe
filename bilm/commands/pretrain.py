"""`bilm pretrain`: train a biLM on segmented text, and resume it exactly."""

import argparse
import os
from typing import Optional, Sequence

from bilm.hardware import keep_freed_memory, prepare_device
from bilm.program.json_output import stdout_for_report, write_report
from bilm.program.options import (
    add_json_option,
    add_obsolete_options,
    add_options,
    add_quiet_option,
    note_on_obsolete,
    without_obsolete,
)
from bilm.program.parser import Parser
from bilm.training.options import OBSOLETE, TrainingOptions
from bilm.training.plan import plan_run

_ADVICE = {name: advice for name, _, advice in OBSOLETE}


def build_parser() -> Parser:
    """Return the parser of `bilm pretrain`."""
    parser = Parser(
        "bilm pretrain",
        "Train a biLM on segmented text, and resume it exactly.",
        ["bilm pretrain --train_path 'corpus/train/*' --vocab_path corpus/vocabulary.txt "
         "--para_save_dir run",
         "bilm pretrain --resume --para_save_dir run --max_steps 300"],
        notes=note_on_obsolete(_ADVICE),
    )
    add_options(parser, TrainingOptions)
    add = parser.group("resuming").add_argument
    add("--resume", action="store_true", default=argparse.SUPPRESS,
        help="continue from the latest checkpoint in --para_save_dir")
    add("--load_dir", default=argparse.SUPPRESS, metavar="DIR",
        help="continue from this checkpoint; one of LARK's, or a converted one, gives weights and "
        "Adagrad's moments, and training starts at step 0")
    add_obsolete_options(parser, _ADVICE)
    add_json_option(parser, "the final figures as a JSON object")
    add_quiet_option(parser)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Train as the command line says."""
    given = without_obsolete(vars(build_parser().parse_args(arguments)), _ADVICE)
    json_path, quiet = given.pop("json"), given.pop("quiet")
    with stdout_for_report(json_path):
        plan = plan_run(given)
        prepare_device(plan.use_gpu, plan.threads)
        keep_freed_memory()
        from bilm.training.run import train  # only now: it imports Paddle, and bad flags end above

        figures = train(plan, quiet)
    if json_path and os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
        write_report(json_path, figures)
