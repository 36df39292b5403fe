"""LARK's LAC demo: the tagger's variables, which stand in one folder with those of its biLM.

    ours (H: size of the GRU; T: number of tags)          LARK's
    word_embedding.weight                                 word_emb
    gru_layers.{l}.{direction}_direction.input_weight     fc_{k + 4}.w_0, gates u, r, c
        (I, 3H)
    ... .input_bias (3H,)                                 fc_{k + 4}.b_0
    ... .update_reset_weight (H, 2H), .candidate_weight   gru_{k}.w_0: one buffer that says it is
        (H, H)                                                (H, 3H), the one after the other
    ... .bias (3H,)                                       gru_{k}.b_0 (1, 3H)
    emissions.weight (2H, T), emissions.bias (T,)         fc_{2L + 4}.w_0, .b_0
    crf.start (T,), crf.stop (T,), crf.transitions (T, T) crfw (T + 2, T): start, stop, from x to

with k = 2 * l + direction (0 forward, 1 backward). The GRU resets before its product:
c~ = tanh(x_c + (r * h) U_c), which is not what Paddle's and PyTorch's GRU layers compute.
"""

from itertools import product
from typing import List

import numpy as np

from bilm.errors import InputError
from bilm.storage.formats.tables import AS_ROW, Entry, Transform, simple


def _split_gru(arrays):
    (packed,) = arrays
    if packed.ndim != 2 or packed.shape[1] != 3 * packed.shape[0]:
        raise InputError(f"expected a GRU's weights (H, 3H), found {packed.shape}")
    size, flat = packed.shape[0], packed.reshape(-1)
    gates, candidate = flat[: 2 * size * size], flat[2 * size * size :]
    return [gates.reshape(size, 2 * size), candidate.reshape(size, size)]


def _join_gru(arrays):
    flat = np.concatenate([array.reshape(-1) for array in arrays])
    return [flat.reshape(arrays[1].shape[0], -1)]


def _split_crf(arrays):
    (packed,) = arrays
    if packed.ndim != 2 or packed.shape[0] != packed.shape[1] + 2:
        raise InputError(f"expected a CRF's weights (T + 2, T), found {packed.shape}")
    return [packed[0], packed[1], packed[2:]]


def _join_crf(arrays):
    start, stop, transitions = arrays
    return [np.concatenate([start[None], stop[None], transitions])]


_GRU, _CRF = Transform(_join_gru, _split_gru), Transform(_join_crf, _split_crf)


def table(num_layers: int = 2, first_fc: int = 4) -> List[Entry]:
    """Return the table of the tagger's parameters, without those of its biLM.

    Args:
        num_layers: BiGRU layers.
        first_fc: Number of the first fully connected layer; those before it are the biLM's.
    """
    entries = [simple("word_embedding.weight", "word_emb")]
    for layer, (direction, name) in product(range(num_layers), enumerate(("forward", "backward"))):
        ours, number = f"gru_layers.{layer}.{name}_direction", 2 * layer + direction
        weights = (f"{ours}.update_reset_weight", f"{ours}.candidate_weight")
        entries += [
            simple(f"{ours}.input_weight", f"fc_{first_fc + number}.w_0"),
            simple(f"{ours}.input_bias", f"fc_{first_fc + number}.b_0"),
            Entry(weights, (f"gru_{number}.w_0",), _GRU),
            simple(f"{ours}.bias", f"gru_{number}.b_0", AS_ROW),
        ]
    last = f"fc_{first_fc + 2 * num_layers}"
    return [
        *entries,
        simple("emissions.weight", f"{last}.w_0"),
        simple("emissions.bias", f"{last}.b_0"),
        Entry(("crf.start", "crf.stop", "crf.transitions"), ("crfw",), _CRF),
    ]
