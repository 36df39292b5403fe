"""ELMo as nodes of an ONNX graph, in which steps are the first axis."""

from functools import reduce
from typing import Any, Dict, List, Tuple

import numpy as np
import paddle

from bilm.elmo import ELMo
from bilm.errors import InputError
from bilm.network.character_encoder import CharacterEncoder
from bilm.network.contextual import add_boundaries
from bilm.network.lstm import ProjectedLSTM
from bilm.network.mixes import shares_of
from bilm.network.model import BACKWARD, BiLM
from bilm.onnx.graph import Graph


def add_elmo(graph: Graph, elmo: ELMo, ids: str, lengths: str, has_pieces: bool) -> str:
    """Add what `elmo` computes in evaluation mode.

    Args:
        graph: To which nodes are added.
        elmo: Of either variant, with one mix.
        ids: int64, shape (steps, batch), or with a third axis of pieces or characters.
        lengths: int64, shape (batch,), each at least 1.
        has_pieces: Whether the third axis is one of pieces: see `BiLM.embed`.

    Returns:
        Name of the vectors (steps, batch, directions * projection), not defined beyond a row's
        length.

    Raises:
        InputError: It has several mixes or a layer norm.
    """
    mixes = elmo.to_mixes()
    if mixes.layer_norm or len(mixes.parameters) != 1:
        raise InputError("ONNX takes an ELMo with one mix and without layer_norm only")
    [(weights, gamma)] = mixes.parameters
    shares = (shares_of(weights) * gamma).tolist()
    vectors = _embed(graph, elmo.bilm, ids, has_pieces)
    mix_direction = _mix_larks_layers
    if elmo.variant == "elmo":
        mix_direction = _mix_layers
        vectors, lengths = _add_boundaries(graph, elmo.bilm, vectors, lengths)
    joined = graph.add("Concat", *(
        mix_direction(graph, elmo.bilm, direction, vectors, lengths, shares)
        for direction in range(elmo.bilm.config.num_directions)
    ), axis=-1)
    return graph.add("Slice", joined, [1], [-1], [0]) if elmo.variant == "elmo" else joined


def _mix_layers(
    graph: Graph, bilm: BiLM, direction: int, vectors: str, lengths: str, shares: List[float]
) -> str:
    is_backward = direction == BACKWARD
    layers = [graph.add("ReverseSequence", vectors, lengths) if is_backward else vectors]
    for number, [lstm] in enumerate(bilm.layers_of([direction])):
        outputs = _add_lstm(graph, lstm, layers[-1])
        skip = bilm.config.use_skip_connections and number > 0
        layers.append(graph.add("Add", outputs, layers[-1]) if skip else outputs)
    mixed = _mix(graph, layers, shares)
    return graph.add("ReverseSequence", mixed, lengths) if is_backward else mixed


def _mix_larks_layers(
    graph: Graph, bilm: BiLM, direction: int, vectors: str, lengths: str, shares: List[float]
) -> str:
    """See `bilm.network.contextual.lark_layers`: the states stay in the order of reading."""
    is_backward = direction == BACKWARD
    read = graph.add("ReverseSequence", vectors, lengths) if is_backward else vectors
    states = [_add_lstm(graph, lstm, read) for [lstm] in bilm.layers_of([direction])]
    return _mix(graph, [vectors, *states], shares)


def _mix(graph: Graph, layers: List[str], shares: List[float]) -> str:
    weighted = [graph.add("Mul", layer, share) for layer, share in zip(layers, shares)]
    return reduce(lambda total, layer: graph.add("Add", total, layer), weighted)


def _add_lstm(graph: Graph, lstm: ProjectedLSTM, inputs: str) -> str:
    """Add an LSTM over (steps, batch, features) from a zero state; see `ProjectedLSTM`."""
    input_weight, recurrent_weight, bias, projection = (part.numpy() for part in lstm.weights)

    def clip(body: Graph, value: str, limit: float) -> str:
        return body.add("Clip", value, -float(limit), float(limit)) if limit else value

    def step(body: Graph, state: List[str], rows: List[str]) -> Tuple[List[str], List[str]]:
        hidden, cell = state
        gates = body.add("Add", rows[0], body.add("MatMul", hidden, recurrent_weight))
        c, *others = body.add_all("Split", gates, outputs=4, axis=-1)
        i, f, o = (body.add("Sigmoid", gate) for gate in others)
        kept, new = body.add("Mul", f, cell), body.add("Mul", i, body.add("Tanh", c))
        cell = clip(body, body.add("Add", kept, new), lstm.cell_clip)
        output = body.add("MatMul", body.add("Mul", o, body.add("Tanh", cell)), projection)
        hidden = clip(body, output, lstm.projection_clip)
        return [hidden, cell], [hidden]

    rows = graph.add("Concat", graph.size(inputs, 1), [1], axis=0)
    state = [  # hidden and cell, (batch, features)
        graph.add("Expand", np.zeros((1, size), np.float32), rows)
        for size in reversed(projection.shape)
    ]
    _, [outputs] = graph.scan(step, state, [graph.linear(inputs, input_weight, bias)])
    return outputs


def _add_boundaries(graph: Graph, bilm: BiLM, vectors: str, lengths: str) -> Tuple[str, str]:
    """Return word vectors with those of `<S>` and `</S>` around each row, and the lengths."""
    config = bilm.config
    tail = [] if config.char_cnn is None else [config.max_characters]
    with paddle.no_grad():  # of a row of one word between the two
        ids, _ = add_boundaries(paddle.zeros([1, 1, *tail], dtype="int64"), None, config)
        first, _, last = bilm.embed(ids).numpy()[0]
    padded = graph.add("Pad", vectors, [1, 0, 0, 1, 0, 0])
    numbers = graph.numbers(padded, 0)
    # not LessOrEqual, whose shape onnxruntime 1.20 does not infer
    inside = graph.add("Less", numbers, graph.add("Add", lengths, [1]))
    inside = graph.add("Unsqueeze", inside, [-1])
    is_first = graph.add("Unsqueeze", graph.add("Equal", numbers, [0]), [-1])
    joined = graph.add("Where", is_first, first, graph.add("Where", inside, padded, last))
    return joined, graph.add("Add", lengths, [2])


def _embed(graph: Graph, bilm: BiLM, ids: str, has_pieces: bool) -> str:
    """Return word vectors (steps, batch, projection); see `BiLM.embed`."""
    config = bilm.config
    if config.char_cnn is not None:
        return _encode_characters(graph, bilm.character_encoder, config.char_cnn, ids)
    vectors = graph.embedding(ids, bilm.embedding.weight.numpy())
    if not has_pieces:
        return vectors
    # -1, where there is no piece, took the last row, which weighs nothing
    is_piece = graph.to_float(graph.add("Greater", ids, [-1]))
    count = graph.add("Max", graph.add("ReduceSum", is_piece, [2], keepdims=1), 1.0)
    weights = graph.add("Unsqueeze", graph.add("Div", is_piece, count), [-1])
    return graph.add("ReduceSum", graph.add("Mul", vectors, weights), [2], keepdims=0)


def _encode_characters(
    graph: Graph, encoder: CharacterEncoder, options: Dict[str, Any], ids: str
) -> str:
    """Return word vectors (steps, batch, projection); see `CharacterEncoder`."""

    def linear(name: str, values: str) -> str:
        weight, bias = (getattr(encoder, f"{name}_{part}").numpy() for part in ("weight", "bias"))
        return graph.linear(values, weight, bias)

    characters = graph.embedding(ids, encoder.embedding.weight.numpy(), padding=0)
    activation = "Tanh" if options.get("activation") == "tanh" else "Relu"
    features = []
    for k, (width, _) in enumerate(options["filters"]):
        windows = graph.windows(characters, width)
        best = graph.add("ReduceMax", linear(f"filter_{k}", windows), axes=[2], keepdims=0)
        features.append(graph.add(activation, best))
    vectors = graph.add("Concat", *features, axis=-1)
    for k in range(options.get("n_highway") or 0):
        share = graph.add("Sigmoid", linear(f"highway_{k}_carry", vectors))
        transformed = graph.add("Relu", linear(f"highway_{k}_transform", vectors))
        change = graph.add("Mul", share, graph.add("Sub", transformed, vectors))
        vectors = graph.add("Add", vectors, change)
    return linear("projection", vectors) if hasattr(encoder, "projection_weight") else vectors
