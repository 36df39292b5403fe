"""Learned mixes of a biLM's layers, and the JSON text that keeps them.

    {"variant": "elmo", "layer_norm": false,
     "mixes": [{"weights": [0.1, -0.3, 0.2], "shares": [0.36, 0.24, 0.4], "gamma": 1.1}]}

`weights` and `gamma` are the parameters; `shares`, the softmax of the weights, is there to be
read by people.
"""

import json
from typing import Iterable, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from bilm.errors import InputError

VARIANTS = ("elmo", "lark")


class MixWeights(NamedTuple):
    """How much each layer counts in a mix.

    Attributes:
        shares: Of each layer, the token layer first, shape (layers,); they sum to 1.
        gamma: What the whole is multiplied by.
    """

    shares: np.ndarray
    gamma: float


class Mixes(NamedTuple):
    """Learned mixes of a biLM's layers.

    Attributes:
        variant: "elmo" or "lark"; see `ELMo`.
        layer_norm: Whether layers are normalised before they are mixed.
        parameters: Weights (layers,) and gamma (1,) of each mix, float32.
    """

    variant: str
    layer_norm: bool
    parameters: List[Tuple[np.ndarray, np.ndarray]]


def shares_of(weights: np.ndarray) -> np.ndarray:
    """Return the softmax of a mix's weights: shape (layers,), like them, and summing to 1."""
    powers = np.exp(weights - weights.max())
    return powers / powers.sum()


def mix_layers(
    layers: np.ndarray,
    weights: np.ndarray,
    gamma: np.ndarray,
    norms: Optional["LayerNorms"] = None,
) -> np.ndarray:
    """Return the mix (tokens, features) of a sentence's layers (layers, tokens, features).

    It is what `bilm.network.scalar_mix.ScalarMix` computes.

    Args:
        layers: float32.
        weights: Shape (layers,).
        gamma: Shape (1,).
        norms: Mean and deviation of each layer, each of shape (layers,), from `LayerNorms`;
            None: the layers are not normalised.
    """
    shares = (shares_of(weights) * gamma[0]).astype(np.float32)
    mixed = np.zeros(layers.shape[1:], np.float32)
    for number, (layer, share) in enumerate(zip(layers, shares)):
        if norms is not None:
            layer = (layer - norms.means[number]) / norms.deviations[number]
        mixed += layer * share
    return mixed


class LayerNorms:
    """Mean and deviation of each layer over all values of a sentence, which may come in parts.

    Args:
        parts: Arrays (layers, tokens, features), read once.

    Attributes:
        means: Shape (layers,), float32.
        deviations: sqrt(variance + 1e-12), shape (layers,), float32.
    """

    def __init__(self, parts: Iterable[np.ndarray]):
        count, sums, squares = 0, np.float64(0), np.float64(0)
        for layers in parts:  # (layers, tokens, features)
            values = layers.reshape(len(layers), -1).astype(np.float64)
            count += values.shape[1]
            sums, squares = sums + values.sum(axis=1), squares + (values**2).sum(axis=1)
        means = sums / count
        self.means = means.astype(np.float32)
        self.deviations = np.sqrt(squares / count - means**2 + 1e-12).astype(np.float32)


def mixes_to_json(mixes: Mixes) -> str:
    """Return mixes as JSON text; numbers are written such that no bit is lost."""
    entries = [
        {
            "weights": [float(value) for value in weights],
            "shares": [round(float(value), 6) for value in shares_of(weights)],
            "gamma": float(gamma[0]),
        }
        for weights, gamma in mixes.parameters
    ]
    content = {"variant": mixes.variant, "layer_norm": mixes.layer_norm, "mixes": entries}
    return json.dumps(content, indent=2) + "\n"


def mixes_from_json(text: Union[str, bytes], source: str) -> Mixes:
    """Return what `mixes_to_json` wrote.

    Args:
        text: A JSON object; UTF-8 if bytes.
        source: Where the text comes from, for error messages.

    Raises:
        InputError: It holds no layer mixes.
    """
    try:
        content = json.loads(text)
        variant, layer_norm = content["variant"], content["layer_norm"]
        parameters = [
            (np.array([float(value) for value in entry["weights"]], np.float32),
             np.array([float(entry["gamma"])], np.float32))
            for entry in content["mixes"]
        ]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{source}: not a file of layer mixes: {error!r}") from None
    sizes = {len(weights) for weights, _ in parameters}
    is_finite = all(np.isfinite(part).all() for pair in parameters for part in pair)
    if variant not in VARIANTS or type(layer_norm) is not bool or len(sizes) != 1 or not is_finite:
        raise InputError(f"{source}: not a file of layer mixes: a wrong value in it")
    return Mixes(variant, layer_norm, parameters)
