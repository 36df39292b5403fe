"""LARK's golden values and weights, in this project's names, for the tests."""

import numpy as np

from tests.reference.numpy_bilm import read_lark_folder
from tests.reference.places import FIXTURES

FOLDER = FIXTURES / "lark-bilm"
NUM_LAYERS = 2


def golden():
    with np.load(FOLDER / "golden.npz") as values:
        return {name: values[name] for name in values}


def names():
    """Return LARK's names by ours."""
    table = {
        "embedding.weight": "embedding_para",
        "softmax.weight": "softmax_weight",
        "softmax.bias": "softmax_bias",
    }
    for direction, (ours, theirs) in enumerate((("forward", "fw"), ("backward", "bw"))):
        for layer in range(NUM_LAYERS):
            number = direction * NUM_LAYERS + layer
            stem = f"{ours}_layers.{layer}"
            table[f"{stem}.input_weight"] = f"{theirs}_layer{layer + 1}_gate_w"
            table[f"{stem}.recurrent_weight"] = f"lstmp_{number}.w_0"
            table[f"{stem}.projection_weight"] = f"lstmp_{number}.w_1"
            table[f"{stem}.bias"] = f"lstmp_{number}.b_0"
    return table


def weights(checkpoint):
    """Return the parameters of one of LARK's checkpoints under our names."""
    variables = read_lark_folder(FOLDER / checkpoint)
    found = {ours: variables[theirs] for ours, theirs in names().items()}
    return {name: array[0] if name.endswith(("s.0.bias", "s.1.bias")) else array
            for name, array in found.items()}
