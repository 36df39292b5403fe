"""What a checkpoint holds, what it lacks, and checksums of its tensors."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import List

import numpy as np

from bilm.cli import run_main
from bilm.figures import write_figures
from bilm.formats.canonical import StoredModel
from bilm.formats.known import FORMATS, detect_format, open_model
from bilm.options import add_json_option, new_parser
from bilm.parser import Parser


def inspect(path, source_format=None, vocab_path=None, sha: bool = False) -> dict:
    """Return what there is to know of a model, as a JSON object.

    Args:
        path: A model in any known format.
        source_format: None: detected.
        vocab_path: Vocabulary of a model that comes without.
        sha: Whether to add the SHA-256 of each tensor, of its values under our names.

    Returns:
        `format`, `gate_order` (of the format), `config`, `parameters` (their number),
        `forget_bias` (mean, over all layers), `tensors` and `moments` (name, shape, dtype and, if
        asked for, sha256), `vocabulary` (number of words or null), `missing`, a list of lines, and
        `not_finite`, the tensors with values that are not finite.

    Raises:
        InputError: There is no model at `path`, or it is damaged.
    """
    name = source_format or detect_format(path)
    model = open_model(path, name, vocab_path)
    odd = sorted(tensor for tensor, array in {**model.tensors, **model.moments}.items()
                 if not np.isfinite(np.asarray(array)).all())
    return {
        "format": name,
        "gate_order": FORMATS[name].gate_order,
        "config": asdict(model.config),
        "parameters": sum(int(np.prod(array.shape)) for array in model.tensors.values()),
        "forget_bias": _forget_bias(model),
        "vocabulary": None if model.vocabulary is None else len(model.vocabulary),
        "mixes": 0 if model.mixes is None else len(model.mixes.parameters),
        "missing": _missing(model),
        "not_finite": odd,
        "tensors": [_describe(*item, sha) for item in sorted(model.tensors.items())],
        "moments": [_describe(*item, sha) for item in sorted(model.moments.items())],
    }


def _describe(name, array, sha):
    found = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
    if sha:
        values = np.ascontiguousarray(array)
        found["sha256"] = hashlib.sha256(memoryview(values.reshape(-1)).cast("B")).hexdigest()
    return found


def _forget_bias(model):
    size = model.config.cell_size
    biases = [np.asarray(array)[2 * size : 3 * size] for name, array in model.tensors.items()
              if "_layers." in name and name.endswith(".bias")]
    return float(np.mean(biases))


def _missing(model: StoredModel) -> List[str]:
    found = []
    if "softmax.weight" not in model.tensors:
        found.append("no softmax: evaluation, scores and generation need one; continued training "
                     "initialises it")
    if model.vocabulary is None and model.config.char_cnn is None:
        found.append("no vocabulary: what reads words needs one, --vocab or --vocab_path")
    if not model.moments:
        found.append("no optimiser moments: continued training starts them anew")
    return found


def _print(found, sha):
    config = found["config"]
    directions = 2 if config["bidirectional"] else 1
    print(f"format      {found['format']}, gates {', '.join(found['gate_order'])}")
    print(f"sizes       projection {config['projection_size']}, cell {config['cell_size']}, "
          f"{config['num_layers']} layers in {directions} directions")
    print(f"input       {'characters' if config['char_cnn'] else 'words'}, vocabulary of "
          f"{config['vocab_size']} words")
    print(f"clips       cell {config['cell_clip']:g}, projection {config['projection_clip']:g}; "
          f"skip connections {'yes' if config['use_skip_connections'] else 'no'}")
    print(f"parameters  {found['parameters']:,} in {len(found['tensors'])} tensors; "
          f"{len(found['moments'])} moments; {found['mixes']} layer mixes")
    print(f"forget bias {found['forget_bias']:.4f} on average, stored whole")
    for line in found["missing"]:
        print(f"missing     {line}")
    for name in found["not_finite"]:
        print(f"not finite  values in {name}")
    for tensor in [*found["tensors"], *found["moments"]]:
        shape = "x".join(map(str, tensor["shape"]))
        digest = f"  {tensor['sha256']}" if sha else ""
        print(f"  {tensor['name']:<44} {shape:>12}  {tensor['dtype']}{digest}")


def build_parser() -> Parser:
    """Return the parser of `bilm inspect`."""
    parser = new_parser("bilm inspect", __doc__, ["bilm inspect elmo-torch"])
    add = parser.group("model").add_argument
    add("path", type=Path, metavar="PATH", help="model folder or file, in any known format")
    add("--from", dest="source_format", choices=FORMATS, help="its format (default: detected)")
    add("--vocab", metavar="FILE", help="vocabulary of a model that comes without")
    parser.group("output").add_argument(
        "--sha", action="store_true", help="the SHA-256 of each tensor, too"
    )
    add_json_option(parser, "what is told as a JSON object")
    return parser


def main(arguments=None) -> None:
    """Print what a checkpoint holds."""
    options = build_parser().parse_args(arguments)
    found = inspect(options.path, options.source_format, options.vocab, options.sha)
    write_figures(options.json, found)
    if options.json != "-":
        _print(found, options.sha)


if __name__ == "__main__":
    run_main(main)
