"""Independent NumPy reference of ELMo: variants, layer mix, character encoder.

Imports nothing of the project. Each sentence is computed by itself, so there is no padding.

    variant "elmo": layers of the biLM over <S> w_1 ... w_n </S>, borders taken off; layer 0 is the
        word vector twice; backward states stand at the word that they belong to
    variant "lark": no borders, every LSTM layer reads the word vectors, no skip connection; the
        backward half at step t is the state after the last t + 1 words
    mix: gamma * sum_l softmax(w)_l * layer_l, each layer first less its mean and over its deviation
        (over all values of the sentence) if there is a layer norm

Source: Peters et al. 2018; LARK's released encoder; bilm-tf for the character encoder and the norm.
"""

import math

import numpy as np

from tests.reference import numpy_bilm


def run_layers(params, embedded, variant, clip=3.0, use_skip_connections=True):
    """Return the layers (layers + 1, steps, 2 * P) of one sentence's word vectors (steps, P)."""
    num_layers = numpy_bilm.count_layers(params)
    cell_size = params["lstmp_0.w_1"].shape[0]
    clip = clip or math.inf
    halves = []
    for direction in ("forward", "backward"):
        inputs = embedded[None] if direction == "forward" else embedded[None, ::-1]
        hidden = np.zeros((num_layers, 1, embedded.shape[1]), embedded.dtype)
        cell = np.zeros((num_layers, 1, cell_size), embedded.dtype)
        if variant == "elmo":
            result = numpy_bilm.run_direction(
                params, direction, inputs, hidden, cell, clip, clip, use_skip_connections
            )
            layers = [layer.outputs[0] for layer in result.layers]
            if direction == "backward":
                layers = [layer[::-1] for layer in layers]
        else:
            layers = [
                numpy_bilm.run_layer(
                    [params[name] for name in numpy_bilm.layer_names(num_layers, direction, n)],
                    inputs, hidden[n], cell[n], clip, clip, has_skip=False,
                ).states[0]
                for n in range(num_layers)
            ]
        halves.append(np.stack([embedded, *layers]))
    return np.concatenate(halves, axis=-1)


def sentence_layers(params, ids, variant="elmo", bos=0, eos=1, **options):
    """Return the layers (layers + 1, words, 2 * P) of a sentence, without its borders."""
    table = params["embedding_para"]
    if variant == "lark":
        return run_layers(params, table[list(ids)], variant, **options)
    return run_layers(params, table[[bos, *ids, eos]], variant, **options)[:, 1:-1]


def mix(layers, weights, gamma, layer_norm=False):
    """Return the mix (words, features) of a sentence's layers (layers, words, features)."""
    if layer_norm:
        layers = np.stack([(x - x.mean()) / np.sqrt(x.var() + 1e-12) for x in layers])
    powers = np.exp(weights - np.max(weights))
    return gamma * np.tensordot(powers / powers.sum(), layers, axes=1)


def word_to_characters(word, size=50):
    """Return the `size` character ids of a word; "<S>" and "</S>" are the borders."""
    content = {"<S>": [256], "</S>": [257]}.get(word, list(word.encode("utf-8")))[: size - 2]
    return [x + 1 for x in [258, *content, 259] + [260] * (size - 2 - len(content))]


def encode_characters(weights, characters, activation, num_highway):
    """Return the vector of a word from bilm-tf's weights.

    Args:
        weights: By bilm-tf's names: char_embed with its zero row (262, E), CNN/W_cnn_{k} of shape
            (1, width, E, n), CNN/b_cnn_{k}, CNN_high_{k}/..., CNN_proj/....
        characters: The word's ids.
        activation: np.tanh, or a rectifier.
        num_highway: Number of highway layers.
    """
    rows = weights["char_embed"][characters]  # (places, E)
    found, k = [], 0
    while f"CNN/W_cnn_{k}" in weights:
        kernel = weights[f"CNN/W_cnn_{k}"][0]  # (width, E, n)
        width = kernel.shape[0]
        values = [
            np.einsum("we,wen->n", rows[start : start + width], kernel) + weights[f"CNN/b_cnn_{k}"]
            for start in range(len(rows) - width + 1)
        ]
        found.append(activation(np.max(values, axis=0)))
        k += 1
    x = np.concatenate(found)
    for k in range(num_highway):
        part = {name: weights[f"CNN_high_{k}/{name}"]
                for name in ("W_carry", "b_carry", "W_transform", "b_transform")}
        s = numpy_bilm.sigmoid(x @ part["W_carry"] + part["b_carry"])
        x = s * np.maximum(x @ part["W_transform"] + part["b_transform"], 0) + (1 - s) * x
    if "CNN_proj/W_proj" in weights:
        x = x @ weights["CNN_proj/W_proj"] + weights["CNN_proj/b_proj"]
    return x
