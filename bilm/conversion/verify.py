"""Whether two stored models are the same: tensor by tensor, and in what they compute."""

import re
from importlib.util import find_spec
from typing import Dict, List, Tuple

import numpy as np

from bilm.conversion.numpy_model import run_layers
from bilm.storage.stored_model import StoredModel
from bilm.text.characters import character_ids
from bilm.text.vocabulary import BOS

_LSTM_BIAS = re.compile(r"\w+_layers\.\d+\.bias")
_TOLERANCE = 1e-5  # of outputs, times the largest of them if that is above 1


def unequal_tensors(first: StoredModel, second: StoredModel, tolerant: bool = False) -> List[str]:
    """Return a phrase for each tensor or moment that is not the same to the bit.

    Args:
        first: As it was to be written.
        second: As it was read back.
        tolerant: Whether biases may be off as HDF5 makes them: see `bilm.storage.formats.bilm_tf`.
    """
    phrases = []
    for ours, theirs in ((first.tensors, second.tensors), (first.moments, second.moments)):
        phrases += [f"{name} is missing" for name in sorted(set(ours) - set(theirs))]
        phrases += [f"{name} is new" for name in sorted(set(theirs) - set(ours))]
        for name in sorted(set(ours) & set(theirs)):
            a, b = np.asarray(ours[name]), np.asarray(theirs[name])
            if a.shape != b.shape or a.dtype != b.dtype:
                phrases.append(f"{name} is {b.dtype} {b.shape}, not {a.dtype} {a.shape}")
            elif not _same(a, b, tolerant and _LSTM_BIAS.fullmatch(name) is not None):
                phrases.append(f"{name} has other values")
    return phrases


def _same(a, b, tolerant):
    if a.tobytes() == b.tobytes() or not tolerant:
        return a.tobytes() == b.tobytes()
    a, b = (np.split(bias, 4) for bias in (a, b))  # gates c, i, f, o; only f is shifted
    forget = a[2], b[2]
    size = np.maximum(np.abs(forget[0]), np.abs(forget[0] - np.asarray(1, forget[0].dtype)))
    near = np.abs(forget[0] - forget[1]) <= np.spacing(size)
    near |= np.isnan(forget[0]) & np.isnan(forget[1])
    return bool(near.all()) and all(a[k].tobytes() == b[k].tobytes() for k in (0, 1, 3))


def compare_outputs(first: StoredModel, second: StoredModel) -> Tuple[Dict[str, float], float]:
    """Return how far outputs of `second` are from those of `first`, computed in NumPy.

    A fixed batch runs through all layers in plain NumPy, and in Paddle and PyTorch where they
    are installed.

    Args:
        first: The model that is right.
        second: One of the same configuration.

    Returns:
        The largest difference by framework, and the largest that is allowed.
    """
    token_ids = _some_ids(first.config)
    expected = run_layers(first.config, first.tensors, token_ids)
    outputs = {"NumPy": run_layers(second.config, second.tensors, token_ids)}
    if find_spec("paddle"):
        outputs["Paddle"] = _run_paddle(second, token_ids)
    if find_spec("torch"):
        outputs["PyTorch"] = _run_torch(second, token_ids)
    differences = {name: _largest(np.abs(values - expected)) for name, values in outputs.items()}
    return differences, _TOLERANCE * max(1.0, _largest(np.abs(expected)))


def _largest(values):
    return float(values.max()) if np.isfinite(values).all() else float("inf")


def _some_ids(config, rows: int = 2, steps: int = 5):
    random = np.random.default_rng(0)
    if config.char_cnn is None:
        return random.integers(0, config.vocab_size, (rows, steps))
    size = config.max_characters
    words = [BOS, "我们", "a" * 60, "ELMo", "。"]
    return np.stack([character_ids(words[row:] + words[:row], size) for row in range(rows)])


def _run_paddle(model, token_ids):
    from bilm.hardware import import_paddle

    paddle = import_paddle()
    from bilm.storage.models import build_model

    bilm = build_model(model, "the result", has_softmax=False)
    with paddle.no_grad():
        return bilm(paddle.to_tensor(token_ids))[0].numpy()


def _run_torch(model, token_ids):
    import torch

    from bilm.torch.model import TorchBiLM

    bilm = TorchBiLM.from_stored(model)
    with torch.no_grad():
        return bilm(torch.from_numpy(token_ids))[0].numpy()
