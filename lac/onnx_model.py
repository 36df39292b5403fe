"""ELMo and tagger as one ONNX model, for runtimes without Paddle; needs the extra [onnx].

The network is in model.onnx of a folder as `lac.exported_folder` writes it. In the graph steps are
the first axis, as ONNX's GRU wants it.
"""

from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from paddle import nn

from bilm.files import PathLike
from bilm.onnx.elmo import add_elmo
from bilm.onnx.graph import Graph, Port
from lac.exported_files import ONNX_FILE
from lac.exported_folder import input_shapes, write_exported
from lac.lookup import PAD_CHARACTER
from lac.network.bidirectional import Bidirectional
from lac.network.character_encoder import CharacterFeatures
from lac.network.gru import ResetBeforeCell
from lac.network.model import Tagger
from lac.network.viterbi import TransitionScores


def export(path: PathLike, target: PathLike) -> List[str]:
    """Write a tagger as an ONNX model to the folder `target`, whole or not at all.

    Args:
        path: A tagger's folder, or a training run's, which stands for its best checkpoint.
        target: A folder that does not exist, or is empty.

    Returns:
        The names of the model's inputs.

    Raises:
        InputError: There is no tagger, the target holds something or cannot be written, the
            package onnx is not installed, or the model is too large for an ONNX file.
    """
    return write_exported(path, target, _write_model)


def _write_model(folder: Path, tagger: Tagger, scores: TransitionScores) -> None:
    (folder / ONNX_FILE).write_bytes(to_onnx(tagger, scores))


def to_onnx(tagger: Tagger, scores: TransitionScores) -> bytes:
    """Return the ONNX model of a tagger and of the search for the best path.

    Args:
        tagger: The tagger in evaluation mode.
        scores: Scores of its CRF, with penalties on forbidden transitions.

    Returns:
        A model with the inputs and outputs that `lac.exported_folder` names.

    Raises:
        InputError: The package onnx is not installed, or the model is too large.
    """
    graph = Graph()
    ports = _inputs(tagger)
    given = {
        port.value: graph.add("Transpose", port.value, perm=[1, 0, *range(2, len(port.shape))])
        for port in ports if len(port.shape) > 1
    }
    emissions = _add_emissions(graph, tagger, given)
    tags = _add_best_paths(graph, emissions, scores)
    num_tags = tagger.config.num_tags
    outputs = {
        "tags": Port(graph.add("Transpose", tags), "int64", ["batch", "steps"]),
        "emissions": Port(graph.add("Transpose", emissions, perm=[1, 0, 2]), "float32",
                          ["batch", "steps", num_tags]),
    }
    return graph.to_bytes(ports, outputs)


def _inputs(tagger: Tagger) -> List[Port]:
    """Return the inputs with names for the sizes that are free."""
    shapes = input_shapes(tagger)
    own_steps = {"elmo": "elmo_steps"} if "elmo_places" in shapes else {}
    return [
        Port(name, "int64", [
            axis if size is None else size
            for axis, size in zip(("batch", own_steps.get(name, "steps"), f"{name}_size"), shape)
        ])
        for name, shape in shapes.items()
    ]


def _add_emissions(graph: Graph, tagger: Tagger, given: Dict[str, str]) -> str:
    """Return the emissions (steps, batch, tags); see `Tagger.forward`."""
    features = [graph.embedding(given["words"], tagger.word_embedding.weight.numpy())]
    if tagger.elmo is not None:
        has_pieces = len(input_shapes(tagger)["elmo"]) == 3
        lengths = "lengths" if tagger.place_embedding is None else "elmo_lengths"
        mixed = add_elmo(graph, tagger.elmo, given["elmo"], lengths, has_pieces)
        if tagger.place_embedding is not None:
            mixed = _add_rows_at(graph, mixed, "elmo_places")
        features.insert(0, mixed)
    if tagger.character_features is not None:
        features.append(
            _add_character_features(graph, tagger.character_features, given["characters"]))
    if tagger.place_embedding is not None:
        place = graph.add("Gather", given["elmo_places"], np.array(1, np.int64), axis=2)
        features.append(graph.embedding(place, tagger.place_embedding.weight.numpy()))
    values = graph.add("Concat", *features, axis=-1)
    for gru in tagger.gru_layers:
        values = _add_gru(graph, gru, values)
    return graph.linear(values, tagger.emissions.weight.numpy(), tagger.emissions.bias.numpy())


def _add_rows_at(graph: Graph, values: str, places: str) -> str:
    """Return the vectors (steps, batch, features) of pieces; see `lac.network.model.rows_at`.

    Args:
        graph: To which nodes are added.
        values: The vectors of words, shape (words, batch, features).
        places: Shape (batch, steps, 2); the first is the number of a word.
    """
    of_rows = graph.add("Transpose", values, perm=[1, 0, 2])
    numbers = graph.add("Slice", places, [0], [1], [2])  # (batch, steps, 1)
    chosen = graph.add("GatherND", of_rows, numbers, batch_dims=1)
    return graph.add("Transpose", chosen, perm=[1, 0, 2])


def _add_character_features(graph: Graph, layer: CharacterFeatures, characters: str) -> str:
    vectors = graph.embedding(characters, layer.embedding.weight.numpy(), PAD_CHARACTER)
    padded = graph.add("Pad", vectors, [0, 0, 1, 0, 0, 0, 1, 0])  # one character at each end
    weight, bias = layer.convolution.weight.numpy(), layer.convolution.bias.numpy()
    values = graph.add("Tanh", graph.linear(graph.windows(padded, 3), weight, bias))
    is_padding = graph.add("Unsqueeze", graph.add("Equal", characters, [PAD_CHARACTER]), [-1])
    values = graph.add("Where", is_padding, -1.0, values)  # tanh is above -1
    return graph.add("ReduceMax", values, axes=[2], keepdims=0)


def _add_gru(graph: Graph, gru: nn.Layer, values: str) -> str:
    """Return the outputs (steps, batch, 2 * hidden); see `lac.network.gru.bidirectional_gru`."""
    is_reset_before = isinstance(gru, Bidirectional)
    if is_reset_before:
        cells = [_of_reset_before_cell(gru.forward_direction),
                 _of_reset_before_cell(gru.backward_direction)]
    else:
        cells = [_of_paddles_cell(gru[0].cell_fw), _of_paddles_cell(gru[0].cell_bw)]
    weights = [np.stack(parts) for parts in zip(*cells)]
    lengths = graph.to_int32("lengths")
    outputs = graph.add(  # (steps, directions, batch, hidden)
        "GRU", values, *weights, lengths, direction="bidirectional",
        hidden_size=weights[1].shape[-1], linear_before_reset=int(not is_reset_before),
    )
    return graph.add("Reshape", graph.add("Transpose", outputs, perm=[0, 2, 1, 3]), [0, 0, -1])


# ONNX's GRU: blocks z, r, h along the first axis of W (3 * hidden, inputs) and R (3 * hidden,
# hidden), of the biases of W and then of R; h' = (1 - z) * h~ + z * h.


def _of_paddles_cell(cell: nn.GRUCell) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return W, R and biases; Paddle's blocks are r, z, c with the same z."""
    def reorder(packed: np.ndarray) -> np.ndarray:
        r, z, c = np.split(packed, 3)
        return np.concatenate([z, r, c])

    of_input, of_state, input_bias, state_bias = (reorder(part.numpy()) for part in (
        cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
    ))
    return of_input, of_state, np.concatenate([input_bias, state_bias])


def _of_reset_before_cell(cell: ResetBeforeCell) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return W, R and biases; the blocks are u, r, c, and z = 1 - u = sigmoid(-(...))."""
    size = cell.candidate_weight.shape[0]
    sign = np.repeat(np.array([-1, 1, 1], np.float32), size)
    of_state = np.concatenate(
        [cell.update_reset_weight.numpy(), cell.candidate_weight.numpy()], axis=1)
    bias = (cell.input_bias.numpy() + cell.bias.numpy()) * sign
    of_input = cell.input_weight.numpy() * sign
    return of_input.T, (of_state * sign).T, np.concatenate([bias, np.zeros_like(bias)])


def _add_best_paths(graph: Graph, emissions: str, scores: TransitionScores) -> str:
    """Return the best path of each row, (steps, batch), 0 beyond a row's length.

    See `lac.network.viterbi.best_paths`: the same sums, in the same order.

    Args:
        graph: To which nodes are added.
        emissions: Shape (steps, batch, tags).
        scores: Scores of the chain.
    """
    steps = graph.numbers(emissions, 0)  # (steps, 1)
    inside = graph.add("Less", steps, "lengths")  # (steps, batch)
    not_last = graph.add("Less", graph.add("Add", steps, [1]), "lengths")

    def forward(body: Graph, state: List[str], rows: List[str]) -> Tuple[List[str], List[str]]:
        """State: the best score with which each tag is entered; that of each row's last step."""
        entering, best = state
        emission, is_inside = rows
        reached = body.add("Add", entering, emission)  # (batch, tags)
        best = body.add("Where", body.add("Unsqueeze", is_inside, [-1]), reached, best)
        candidates = body.add(  # (batch, from, to)
            "Add", body.add("Unsqueeze", reached, [-1]), scores.transitions)
        entering = body.add("ReduceMax", candidates, axes=[1], keepdims=0)
        pointers = body.add("ArgMax", candidates, axis=1, keepdims=0)  # ties go to the lowest id
        return [entering, best], [pointers]

    def backward(body: Graph, state: List[str], rows: List[str]) -> Tuple[List[str], List[str]]:
        """State: the tag after this step, or from a row's last step on that step's."""
        pointers, is_inside, is_not_last = rows
        place = body.add("Unsqueeze", state[0], [-1])
        followed = body.add("Squeeze", body.add("GatherElements", pointers, place, axis=1), [1])
        tag = body.add("Where", is_not_last, followed, state[0])
        return [tag], [body.add("Where", is_inside, tag, np.array(0, np.int64))]

    first = graph.add("Expand", scores.start, graph.add(
        "Concat", graph.size(emissions, 1), [1], axis=0))
    (_, best), [pointers] = graph.scan(forward, [first, first], [emissions, inside])
    last = graph.add("ArgMax", graph.add("Add", best, scores.stop), axis=1, keepdims=0)
    _, [paths] = graph.scan(backward, [last], [pointers, inside, not_last], backward=True)
    return paths
