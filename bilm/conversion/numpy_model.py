"""The biLM in plain NumPy: slow, and free of any framework. Converters check themselves with it."""

from typing import Mapping

import numpy as np

from bilm.network.config import BiLMConfig
from bilm.text.characters import NUM_CHARACTERS


def run_layers(
    config: BiLMConfig, tensors: Mapping[str, np.ndarray], token_ids: np.ndarray
) -> np.ndarray:
    """Return what `BiLM.forward` returns as layers, from a zero state.

    Args:
        config: Sizes and switches.
        tensors: Parameters by their names in `BiLM`; each is read when it is needed.
        token_ids: Shape (batch, steps), or (batch, steps, characters); all rows are full.

    Returns:
        Shape (num_layers + 1, batch, steps, directions * projection).
    """
    embedded = _embed(config, tensors, token_ids)
    halves = []
    for direction in ("forward", "backward")[: config.num_directions]:
        order = slice(None) if direction == "forward" else slice(None, None, -1)
        layers = [embedded[:, order]]
        for number in range(config.num_layers):
            stem = f"{direction}_layers.{number}"
            outputs = _run_lstm(config, tensors, stem, layers[-1])
            skip = config.use_skip_connections and number > 0
            layers.append(outputs + layers[-1] if skip else outputs)
        halves.append(np.stack([layer[:, order] for layer in layers]))
    return np.concatenate(halves, axis=-1)


def _run_lstm(config, tensors, stem, inputs):
    names = ("input_weight", "recurrent_weight", "bias", "projection_weight")
    w_in, w_rec, bias, w_proj = (_read(tensors, f"{stem}.{name}") for name in names)
    batch, steps, _ = inputs.shape
    hidden = np.zeros((batch, config.projection_size), np.float32)
    cell = np.zeros((batch, config.cell_size), np.float32)
    gate_inputs, outputs = inputs @ w_in + bias, []
    for step in range(steps):
        c, i, f, o = np.split(gate_inputs[:, step] + hidden @ w_rec, 4, axis=-1)
        cell = _clip(_sigmoid(f) * cell + _sigmoid(i) * np.tanh(c), config.cell_clip)
        hidden = _clip((_sigmoid(o) * np.tanh(cell)) @ w_proj, config.projection_clip)
        outputs.append(hidden)
    return np.stack(outputs, axis=1)


def _embed(config, tensors, token_ids):
    if config.char_cnn is None:
        return _read(tensors, "embedding.weight")[token_ids]
    stem, options = "character_encoder.", config.char_cnn
    rows = _read(tensors, stem + "embedding.weight") * (np.arange(NUM_CHARACTERS) > 0)[:, None]
    characters = rows[token_ids]  # (batch, steps, places, size)
    activation = np.tanh if options.get("activation") == "tanh" else _rectify
    features = []
    for k, (width, _) in enumerate(options["filters"]):
        places = characters.shape[2] - width + 1
        windows = [characters[:, :, first : first + places] for first in range(width)]
        matches = np.concatenate(windows, axis=-1) @ _read(tensors, f"{stem}filter_{k}_weight")
        best = matches.max(axis=2) + _read(tensors, f"{stem}filter_{k}_bias")
        features.append(activation(best))
    vectors = np.concatenate(features, axis=-1)
    for k in range(options.get("n_highway") or 0):
        transform, carry = (
            vectors @ _read(tensors, f"{stem}highway_{k}_{part}_weight")
            + _read(tensors, f"{stem}highway_{k}_{part}_bias")
            for part in ("transform", "carry")
        )
        share = _sigmoid(carry)
        vectors = share * _rectify(transform) + (1 - share) * vectors
    if stem + "projection_weight" in tensors:
        vectors = vectors @ _read(tensors, stem + "projection_weight")
        vectors = vectors + _read(tensors, stem + "projection_bias")
    return vectors


def _read(tensors, name):
    return np.asarray(tensors[name]).astype(np.float32, copy=False)


def _rectify(values):
    return np.maximum(values, 0)


def _sigmoid(values):
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def _clip(values, limit):
    return np.clip(values, -limit, limit) if limit else values
