"""How far two checkpoints are apart, tensor by tensor, whatever their formats."""

import sys
from dataclasses import asdict
from typing import NamedTuple, Optional

import numpy as np

from bilm.cli import run_main
from bilm.errors import InputError
from bilm.figures import write_figures
from bilm.formats.canonical import StoredModel
from bilm.formats.known import open_model
from bilm.mixes import mixes_to_json
from bilm.options import add_json_option, new_parser
from bilm.parser import Parser


class Difference(NamedTuple):
    """How far a tensor of one model is from that of the other.

    Attributes:
        name: Its name here.
        problem: Why the two cannot be compared, or None.
        absolute: Largest |a - b|; 0 where they cannot be compared.
        relative: Largest |a - b| / max(|a|, |b|), 0 where both are 0.
    """

    name: str
    problem: Optional[str]
    absolute: float
    relative: float


def compare(first: StoredModel, second: StoredModel) -> list:
    """Return a `Difference` for each parameter of two models, and each moment if both have some.

    Args:
        first: As `open_model` returns it.
        second: Likewise; parameters that only one of the two has are differences, too.
    """
    models = first, second
    both = all(model.moments for model in models)
    ours, theirs = ({**model.tensors, **(model.moments if both else {})} for model in models)
    return [_difference(name, ours, theirs) for name in sorted({*ours, *theirs})]


def other_differences(first: StoredModel, second: StoredModel) -> list:
    """Return a line for each field of the configurations, and other part, that differs."""
    models = first, second
    ours, theirs = (asdict(model.config) for model in models)
    found = [f"{name}: {ours[name]} and {theirs[name]}" for name in ours
             if ours[name] != theirs[name]]
    words = [model.vocabulary for model in models]
    mixes = [model.mixes and mixes_to_json(model.mixes) for model in models]
    if None not in mixes and mixes[0] != mixes[1]:
        found.append("layer mixes: other ones")
    if None not in words and words[0] != words[1]:
        found.append("vocabulary: other words, or another order")
    return found


def _difference(name, ours, theirs):
    for side, tensors in (("second", theirs), ("first", ours)):
        if name not in tensors:
            return Difference(name, f"not in the {side}", 0.0, 0.0)
    shapes = [tuple(tensors[name].shape) for tensors in (ours, theirs)]
    if shapes[0] != shapes[1]:
        return Difference(name, f"shapes {shapes[0]} and {shapes[1]}", 0.0, 0.0)
    a, b = (np.asarray(tensors[name]).astype(np.float64) for tensors in (ours, theirs))
    with np.errstate(invalid="ignore"):
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    size = np.maximum(np.abs(a), np.abs(b))
    relative = np.divide(apart, size, out=np.zeros_like(apart), where=apart != 0)
    return Difference(name, None, *(float(np.max(values, initial=0.0))
                                    for values in (apart, relative)))


def build_parser() -> Parser:
    """Return the parser of `bilm compare`."""
    parser = new_parser(
        "bilm compare",
        __doc__,
        ["bilm compare run elmo-torch --tolerance 1e-6"],
        notes="Exit status: 0 if the two are equal, 1 if they differ, 2 if one cannot be read.",
    )
    add = parser.group("models").add_argument
    add("first", metavar="A", help="model folder or file, in any known format")
    add("second", metavar="B", help="another one")
    add("--tolerance", type=float, default=0.0, metavar="X",
        help="largest absolute difference that is no difference")
    add_json_option(parser, "the differences as a JSON object")
    return parser


def main(arguments=None) -> None:
    """Print the differences; exit with 1 if there are larger ones than allowed, or others."""
    options = build_parser().parse_args(arguments)
    if not options.tolerance >= 0:
        raise InputError(f"--tolerance must not be negative, not {options.tolerance}")
    models = open_model(options.first), open_model(options.second)
    found, others = compare(*models), other_differences(*models)
    report = {
        "equal": not others and not any(
            d.problem or not d.absolute <= options.tolerance for d in found
        ),
        "differs": others,
        "largest": max((d.absolute for d in found), default=0.0),
        "tensors": [difference._asdict() for difference in found],
    }
    write_figures(options.json, report)
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


if __name__ == "__main__":
    run_main(main)
