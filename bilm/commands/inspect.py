"""What a checkpoint holds, what it lacks, and checksums of its tensors."""

from pathlib import Path
from typing import Optional, Sequence

from bilm.conversion.inspection import inspect
from bilm.program.json_output import write_report
from bilm.program.options import add_json_option
from bilm.program.parser import Parser
from bilm.storage.formats.known import FORMATS


def _print(report, sha):
    config = report["config"]
    directions = 2 if config["bidirectional"] else 1
    print(f"format      {report['format']}, gates {', '.join(report['gate_order'])}")
    print(f"sizes       projection {config['projection_size']}, cell {config['cell_size']}, "
          f"{config['num_layers']} layers in {directions} directions")
    print(f"input       {'characters' if config['char_cnn'] else 'words'}, vocabulary of "
          f"{config['vocab_size']} words")
    print(f"clips       cell {config['cell_clip']:g}, projection {config['projection_clip']:g}; "
          f"skip connections {'yes' if config['use_skip_connections'] else 'no'}")
    print(f"parameters  {report['parameters']:,} in {len(report['tensors'])} tensors; "
          f"{len(report['moments'])} moments; {report['mixes']} layer mixes")
    print(f"forget bias {report['forget_bias']:.4f} on average, stored whole")
    for line in report["missing"]:
        print(f"missing     {line}")
    for name in report["not_finite"]:
        print(f"not finite  values in {name}")
    for tensor in [*report["tensors"], *report["moments"]]:
        shape = "x".join(map(str, tensor["shape"]))
        digest = f"  {tensor['sha256']}" if sha else ""
        print(f"  {tensor['name']:<44} {shape:>12}  {tensor['dtype']}{digest}")


def build_parser() -> Parser:
    """Return the parser of `bilm inspect`."""
    parser = Parser("bilm inspect", __doc__, ["bilm inspect elmo-torch"])
    add = parser.group("model").add_argument
    add("path", type=Path, metavar="PATH", help="model folder or file, in any known format")
    add("--from", dest="source_format", choices=FORMATS, help="its format (default: detected)")
    add("--vocab", metavar="FILE", help="vocabulary of a model that comes without")
    parser.group("output").add_argument(
        "--sha", action="store_true", help="the SHA-256 of each tensor, too"
    )
    add_json_option(parser, "the report as a JSON object")
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Print a description of a model."""
    options = build_parser().parse_args(arguments)
    report = inspect(options.path, options.source_format, options.vocab, options.sha)
    write_report(options.json, report)
    if options.json != "-":
        _print(report, options.sha)
