"""How far two checkpoints are apart, tensor by tensor, whatever their formats."""

import sys
from typing import Optional, Sequence

from bilm.conversion.comparison import Difference, compare, other_differences
from bilm.errors import InputError
from bilm.program.json_output import write_report
from bilm.program.options import add_json_option
from bilm.program.parser import Parser
from bilm.storage.pretrained import open_model


def build_parser() -> Parser:
    """Return the parser of `bilm compare`."""
    parser = Parser(
        "bilm compare",
        __doc__,
        ["bilm compare run elmo-torch --tolerance 1e-6"],
        notes="Exit status: 0 if the two are equal, 1 if they differ, 2 if one cannot be read.",
    )
    add = parser.group("models").add_argument
    add("first", metavar="A", help="model folder or file, in any known format")
    add("second", metavar="B", help="another one")
    add("--tolerance", type=float, default=0.0, metavar="X",
        help="largest absolute difference that counts as equal")
    add_json_option(parser, "the differences as a JSON object")
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print the differences; exit with 1 if one is larger than allowed."""
    options = build_parser().parse_args(arguments)
    if not options.tolerance >= 0:
        raise InputError(f"--tolerance must not be negative, not {options.tolerance}")
    models = open_model(options.first), open_model(options.second)
    tensors, others = compare(*models), other_differences(*models)
    report = {
        "equal": not others and not any(
            d.problem or not d.absolute <= options.tolerance for d in tensors
        ),
        "differs": others,
        "largest": max((d.absolute for d in tensors), default=0.0),
        "tensors": [difference._asdict() for difference in tensors],
    }
    write_report(options.json, report)
    if options.json != "-":
        _print(report, options.tolerance)
    if not report["equal"]:
        sys.exit(1)


def _print(report, tolerance) -> None:
    for line in report["differs"]:
        print(f"differs     {line}")
    for d in (Difference(**tensor) for tensor in report["tensors"]):
        values = d.problem or f"absolute {d.absolute:.3e}, relative {d.relative:.3e}"
        print(f"{d.name:<44} {values}")
    verdict = "equal" if report["equal"] else "different"
    print(f"{verdict}: largest difference {report['largest']:.3e}, allowed {tolerance:g}")
