"""How far two checkpoints are apart, tensor by tensor, whatever their formats."""

from dataclasses import asdict
from typing import List, NamedTuple, Optional

import numpy as np

from bilm.network.mixes import mixes_to_json
from bilm.storage.stored_model import StoredModel


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


def compare(first: StoredModel, second: StoredModel) -> List[Difference]:
    """Return a `Difference` for each parameter of two models, and each moment if both have some.

    A parameter that only one of the two has is a difference, too.
    """
    models = first, second
    both = all(model.moments for model in models)
    ours, theirs = ({**model.tensors, **(model.moments if both else {})} for model in models)
    return [_difference(name, ours, theirs) for name in sorted({*ours, *theirs})]


def other_differences(first: StoredModel, second: StoredModel) -> List[str]:
    """Return a line for each other difference: of configurations, layer mixes and words."""
    models = first, second
    ours, theirs = (asdict(model.config) for model in models)
    lines = [f"{name}: {ours[name]} and {theirs[name]}" for name in ours
             if ours[name] != theirs[name]]
    words = [model.vocabulary for model in models]
    mixes = [model.mixes and mixes_to_json(model.mixes) for model in models]
    if None not in mixes and mixes[0] != mixes[1]:
        lines.append("layer mixes: other ones")
    if None not in words and words[0] != words[1]:
        lines.append("vocabulary: other words, or another order")
    return lines


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
