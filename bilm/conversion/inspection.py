"""What a checkpoint holds, what it lacks, and checksums of its tensors."""

import hashlib
from dataclasses import asdict
from typing import List

import numpy as np

from bilm.storage.formats.known import FORMATS, detect_format, open_model
from bilm.storage.stored_model import StoredModel


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
