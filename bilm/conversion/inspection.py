"""The content of a stored model: sizes, tensors, what is missing, checksums."""

import hashlib
from dataclasses import asdict
from typing import Any, Dict, List, Optional

import numpy as np

from bilm.files import PathLike
from bilm.storage.formats.known import FORMATS, locate
from bilm.storage.pretrained import open_model
from bilm.storage.stored_model import StoredModel


def inspect(
    path: PathLike,
    source_format: Optional[str] = None,
    vocab_path: Optional[PathLike] = None,
    sha: bool = False,
) -> Dict[str, Any]:
    """Return a description of a model as a JSON object.

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
    located = locate(path, source_format)
    model = open_model(located, vocab_path=vocab_path)
    not_finite = sorted(tensor for tensor, array in {**model.tensors, **model.moments}.items()
                        if not np.isfinite(np.asarray(array)).all())
    return {
        "format": located.format,
        "gate_order": FORMATS[located.format].gate_order,
        "config": asdict(model.config),
        "parameters": sum(int(np.prod(array.shape)) for array in model.tensors.values()),
        "forget_bias": _forget_bias(model),
        "vocabulary": None if model.vocabulary is None else len(model.vocabulary),
        "mixes": 0 if model.mixes is None else len(model.mixes.parameters),
        "missing": _missing(model),
        "not_finite": not_finite,
        "tensors": [_describe(*item, sha) for item in sorted(model.tensors.items())],
        "moments": [_describe(*item, sha) for item in sorted(model.moments.items())],
    }


def _describe(name, array, sha):
    description = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
    if sha:
        values = memoryview(np.ascontiguousarray(array).reshape(-1)).cast("B")
        description["sha256"] = hashlib.sha256(values).hexdigest()
    return description


def _forget_bias(model):
    size = model.config.cell_size
    biases = [np.asarray(array)[2 * size : 3 * size] for name, array in model.tensors.items()
              if "_layers." in name and name.endswith(".bias")]
    return float(np.mean(biases))


def _missing(model: StoredModel) -> List[str]:
    lines = []
    if not model.has_softmax:
        lines.append("no softmax: evaluation, scores and generation need one; continued training "
                     "initialises it")
    if model.vocabulary is None and model.config.char_cnn is None:
        lines.append("no vocabulary: what reads words needs one, --vocab or --vocab_path")
    if not model.moments:
        lines.append("no optimiser moments: continued training starts them anew")
    return lines
