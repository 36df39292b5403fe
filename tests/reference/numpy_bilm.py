"""Independent NumPy reference of the bidirectional language model (biLM): ground truth of tests.

Imports nothing of the project. Each direction is a stack of LSTM layers with a projection. With
x_t the layer's input, h the projected state and blocks of columns in the order c, i, f, o:

    [c~, i, f, o] = x_t @ gate_w + h_{t-1} @ w_0 + b_0
    c_t = clip(sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(c~), +-cell_clip)
    h_t = clip((sigmoid(o) * tanh(c_t)) @ w_1, +-projection_clip)
    output_t = h_t + x_t in the second and later layers (skip connection), h_t in the first

h_t without the skip connection is what is fed back and carried to the next window. The forget bias
is stored whole. Logits are output @ softmax_weight.T + softmax_bias; both directions share the
embedding and the softmax. The loss is the mean cross entropy (nats) over both directions and all
positions. Gradients stop at the start of the window, and are zero wherever a clip was active.

Source: the original LARK code, release of 2019, and bilm-tf. Parameter names are LARK's. Not here:
dropout, sampled softmax, the ELMo layer mix. Results have the dtype of the parameters.
"""

import re
import struct
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np

DIRECTIONS = {"forward": "fw", "backward": "bw"}
MOMENT_SUFFIX = "_moment_0"  # Adagrad's accumulator of a parameter
LEFTOVER = re.compile(r".*\.tmp_\d+|learning_rate_\d+")
LOD_TENSOR_DTYPES = {1: "<i2", 2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8"}


class Layer(NamedTuple):
    """What one layer computed; the suffix `_open` means: True where the clip was not active."""

    inputs: np.ndarray  # (batch, steps, P)
    gate_inputs: np.ndarray  # (batch, steps, 4 * D), inputs @ gate_w, no recurrent part, no bias
    gates: np.ndarray  # (batch, steps, 4 * D), activated: tanh for c, sigmoid for i, f, o
    cells: np.ndarray  # (batch, steps, D), clipped
    cell_open: np.ndarray  # (batch, steps, D)
    states: np.ndarray  # (batch, steps, P), clipped, without the skip connection
    state_open: np.ndarray  # (batch, steps, P)
    outputs: np.ndarray  # (batch, steps, P), states plus the skip connection if the layer has one
    previous_cells: np.ndarray  # (batch, steps, D), cells one step earlier
    previous_states: np.ndarray  # (batch, steps, P), states one step earlier
    has_skip: bool


class Direction(NamedTuple):
    """What one direction computed, in the order in which its tokens were fed."""

    layers: list[Layer]
    hidden: np.ndarray  # (layers, batch, P), final states
    cell: np.ndarray  # (layers, batch, D), final cells


class Step(NamedTuple):
    """Result of `language_model_step`. Pairs are (forward, backward)."""

    loss: float
    gradients: dict[str, np.ndarray]  # of `loss`, one for every parameter
    hidden: np.ndarray  # (2 * layers, batch, P), final states: all forward, then all backward
    cell: np.ndarray  # (2 * layers, batch, D)
    directions: tuple[Direction, Direction]
    logits: tuple[np.ndarray, np.ndarray]  # (batch, steps, V)
    token_losses: tuple[np.ndarray, np.ndarray]  # (batch, steps)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the protobuf varint at `position` and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def read_tensor_description(desc: bytes) -> tuple[int, list[int]]:
    """Return dtype number (field 1) and shape (field 2, packed or not) of a protobuf TensorDesc."""
    dtype, shape, position = 0, [], 0
    while position < len(desc):
        key, position = read_varint(desc, position)
        value, position = read_varint(desc, position)
        if key == 1 << 3:
            dtype = value
        elif key == 2 << 3:
            shape.append(value)
        elif key == 2 << 3 | 2:  # packed: `value` bytes of varints
            end = position + value
            while position < end:
                size, position = read_varint(desc, position)
                shape.append(size)
        else:
            raise ValueError(f"unknown key {key} in a tensor description")
    return dtype, shape


def read_lod_tensor(path: Union[str, Path]) -> np.ndarray:
    """Return the array in a file of one fluid LoDTensor; its levels of detail are skipped.

    Layout: u32 version 0 | u64 number of levels, each u64 size in bytes and data | u32 version 0 |
    i32 size of the description | description (protobuf) | raw little-endian data.

    Raises:
        ValueError: A version is not 0, the dtype is unknown, or the data has the wrong size.
    """
    data = Path(path).read_bytes()
    version, num_levels = struct.unpack_from("<IQ", data)
    position = 12
    for _ in range(num_levels):
        position += 8 + struct.unpack_from("<Q", data, position)[0]
    tensor_version, desc_size = struct.unpack_from("<Ii", data, position)
    position += 8
    dtype, shape = read_tensor_description(data[position : position + desc_size])
    if version or tensor_version or dtype not in LOD_TENSOR_DTYPES:
        raise ValueError(f"{path}: versions {version}, {tensor_version}, dtype number {dtype}")
    values = np.frombuffer(data[position + desc_size :], LOD_TENSOR_DTYPES[dtype])
    return values.reshape(shape).copy()


def read_lark_folder(
    folder: Union[str, Path], include_leftovers: bool = False
) -> dict[str, np.ndarray]:
    """Return the variables of a LARK folder, name -> array; Adagrad moments are among them.

    Args:
        folder: Holds one LoDTensor file a variable, named like the variable.
        include_leftovers: Whether to read temporary variables and the learning rate as well.
    """
    paths = sorted(path for path in Path(folder).iterdir() if path.is_file())
    return {
        path.name: read_lod_tensor(path)
        for path in paths
        if include_leftovers or not LEFTOVER.fullmatch(path.name)
    }


def split_moments(
    variables: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return (parameters, moments) of a LARK folder, both keyed by the parameter's name."""
    params = {k: v for k, v in variables.items() if not k.endswith(MOMENT_SUFFIX)}
    moments = {
        k.removesuffix(MOMENT_SUFFIX): v for k, v in variables.items() if k.endswith(MOMENT_SUFFIX)
    }
    return params, moments


def count_layers(params: dict[str, np.ndarray]) -> int:
    """Return the number of layers of one direction."""
    return sum(re.fullmatch(r"fw_layer\d+_gate_w", name) is not None for name in params)


def layer_names(num_layers: int, direction: str, layer: int) -> tuple[str, str, str, str]:
    """Return LARK's names of gate_w (P, 4D), w_0 (P, 4D), w_1 (D, P) and b_0 (1, 4D)."""
    number = list(DIRECTIONS).index(direction) * num_layers + layer
    lstmp = f"lstmp_{number}"
    gate_w = f"{DIRECTIONS[direction]}_layer{layer + 1}_gate_w"
    return gate_w, f"{lstmp}.w_0", f"{lstmp}.w_1", f"{lstmp}.b_0"


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def shift_right(first: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the value before each step: `first` (batch, features), then all but the last."""
    return np.concatenate([first[:, None], values[:, :-1]], axis=1)


def run_layer(
    weights: list[np.ndarray],
    inputs: np.ndarray,
    hidden: np.ndarray,
    cell: np.ndarray,
    cell_clip: float,
    projection_clip: float,
    has_skip: bool,
) -> Layer:
    """Return everything one layer computes from `inputs`, shape (batch, steps, P).

    Args:
        weights: gate_w, w_0, w_1, b_0; see `layer_names`.
        inputs: Shape (batch, steps, P).
        hidden: State before the first step, shape (batch, P).
        cell: Cell before the first step, shape (batch, D).
        cell_clip: Bound of the cell; `math.inf` for none.
        projection_clip: Bound of the state; `math.inf` for none.
        has_skip: Whether the input is added to the output.
    """
    gate_w, w_0, w_1, b_0 = weights
    first_hidden, first_cell = hidden, cell
    gate_inputs = inputs @ gate_w
    steps = []
    for t in range(inputs.shape[1]):
        c, i, f, o = np.split(gate_inputs[:, t] + hidden @ w_0 + b_0, 4, axis=-1)
        c, i, f, o = np.tanh(c), sigmoid(i), sigmoid(f), sigmoid(o)
        unclipped_cell = f * cell + i * c
        cell = np.clip(unclipped_cell, -cell_clip, cell_clip)
        unclipped_hidden = (o * np.tanh(cell)) @ w_1
        hidden = np.clip(unclipped_hidden, -projection_clip, projection_clip)
        cell_open = np.abs(unclipped_cell) <= cell_clip
        state_open = np.abs(unclipped_hidden) <= projection_clip
        steps.append((np.concatenate([c, i, f, o], -1), cell, cell_open, hidden, state_open))
    gates, cells, cell_open, states, state_open = (np.stack(x, axis=1) for x in zip(*steps))
    return Layer(
        inputs,
        gate_inputs,
        gates,
        cells,
        cell_open,
        states,
        state_open,
        outputs=states + inputs if has_skip else states,
        previous_cells=shift_right(first_cell, cells),
        previous_states=shift_right(first_hidden, states),
        has_skip=has_skip,
    )


def run_direction(
    params: dict[str, np.ndarray],
    direction: str,
    embedded: np.ndarray,
    hidden: np.ndarray,
    cell: np.ndarray,
    cell_clip: float = 3.0,
    projection_clip: float = 3.0,
    use_skip_connections: bool = True,
) -> Direction:
    """Return what all layers of one direction compute. It reverses nothing.

    Args:
        params: Parameters by LARK's names.
        direction: "forward" or "backward"; chooses the weights, not the order of time.
        embedded: Shape (batch, steps, P), in the order in which the LSTM reads.
        hidden: States before the first step, shape (layers, batch, P).
        cell: Cells before the first step, shape (layers, batch, D).
        cell_clip: Bound of the cells; `math.inf` for none.
        projection_clip: Bound of the states; `math.inf` for none.
        use_skip_connections: Whether second and later layers add their input to their output.
    """
    num_layers = count_layers(params)
    layers, inputs = [], embedded
    for n in range(num_layers):
        weights = [params[name] for name in layer_names(num_layers, direction, n)]
        has_skip = use_skip_connections and n > 0
        layer = run_layer(
            weights, inputs, hidden[n], cell[n], cell_clip, projection_clip, has_skip
        )
        layers.append(layer)
        inputs = layer.outputs
    last_hidden = np.stack([layer.states[:, -1] for layer in layers])
    last_cell = np.stack([layer.cells[:, -1] for layer in layers])
    return Direction(layers, last_hidden, last_cell)


def sum_outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the sum over batch and steps of outer products, shape (features, features)."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def backpropagate_layer(
    weights: list[np.ndarray], layer: Layer, d_outputs: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return gradients of a layer's inputs and of its weights, by backpropagation through time.

    Args:
        weights: gate_w, w_0, w_1, b_0; see `layer_names`.
        layer: What `run_layer` returned.
        d_outputs: Gradient of the layer's outputs, shape (batch, steps, P).
    """
    gate_w, w_0, w_1, b_0 = weights
    c, i, f, o = np.split(layer.gates, 4, axis=-1)
    tanh_cells = np.tanh(layer.cells)
    d_gates = np.empty_like(layer.gates)  # of the sums before the activations
    d_projections = np.empty_like(layer.states)  # of the projections before the clip
    d_hidden = d_cell = 0.0  # from the step after
    for t in reversed(range(layer.inputs.shape[1])):
        d_projections[:, t] = (d_outputs[:, t] + d_hidden) * layer.state_open[:, t]
        d_emitted = d_projections[:, t] @ w_1.T  # of sigmoid(o) * tanh(c_t)
        d_cell = d_cell + d_emitted * o[:, t] * (1.0 - tanh_cells[:, t] ** 2)
        d_cell = d_cell * layer.cell_open[:, t]
        d_c = d_cell * i[:, t] * (1.0 - c[:, t] ** 2)
        d_i = d_cell * c[:, t] * i[:, t] * (1.0 - i[:, t])
        d_f = d_cell * layer.previous_cells[:, t] * f[:, t] * (1.0 - f[:, t])
        d_o = d_emitted * tanh_cells[:, t] * o[:, t] * (1.0 - o[:, t])
        d_gates[:, t] = np.concatenate([d_c, d_i, d_f, d_o], axis=-1)
        d_hidden = d_gates[:, t] @ w_0.T
        d_cell = d_cell * f[:, t]
    d_inputs = d_gates @ gate_w.T + (d_outputs if layer.has_skip else 0.0)
    d_weights = [
        sum_outer(layer.inputs, d_gates),
        sum_outer(layer.previous_states, d_gates),
        sum_outer(o * tanh_cells, d_projections),
        d_gates.sum(axis=(0, 1)).reshape(b_0.shape),
    ]
    return d_inputs, d_weights


def backpropagate_direction(
    params: dict[str, np.ndarray], direction: str, layers: list[Layer], d_outputs: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return gradients of the embedded tokens (batch, steps, P) and of the direction's weights.

    `d_outputs` is the gradient of the last layer's outputs, shape (batch, steps, P).
    """
    gradients = {}
    for n in reversed(range(len(layers))):
        names = layer_names(len(layers), direction, n)
        weights = [params[name] for name in names]
        d_outputs, d_weights = backpropagate_layer(weights, layers[n], d_outputs)
        gradients.update(zip(names, d_weights))
    return d_outputs, gradients


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return -log softmax(logits)[target] (batch, steps) and its gradient (batch, steps, V)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    index = targets[..., None]
    d_logits = np.exp(log_probabilities)
    np.put_along_axis(d_logits, index, np.take_along_axis(d_logits, index, -1) - 1.0, -1)
    return -np.take_along_axis(log_probabilities, index, -1)[..., 0], d_logits


def language_model_step(
    params: dict[str, np.ndarray],
    token_ids: np.ndarray,
    hidden: np.ndarray,
    cell: np.ndarray,
    cell_clip: float = 3.0,
    projection_clip: float = 3.0,
    use_skip_connections: bool = True,
) -> Step:
    """Return loss, gradients and final states of one window, which reads (hidden, cell) first.

    Args:
        params: Parameters by LARK's names.
        token_ids: Streams x, y, x_reverse, y_reverse, shape (4, batch, steps); y are the targets
            of x. The reverse streams are read as they are: they hold reversed text.
        hidden: States before the window, shape (2 * layers, batch, P), all forward layers first.
        cell: Cells before the window, shape (2 * layers, batch, D), all forward layers first.
        cell_clip, projection_clip, use_skip_connections: See `run_direction`.
    """
    embedding, softmax_weight = params["embedding_para"], params["softmax_weight"]
    shared = ("embedding_para", "softmax_weight", "softmax_bias")
    gradients = {name: np.zeros_like(params[name]) for name in shared}
    num_tokens = token_ids[0].size * len(DIRECTIONS)
    results, all_logits, all_losses = [], [], []
    for n, direction in enumerate(DIRECTIONS):
        x, y = token_ids[2 * n], token_ids[2 * n + 1]
        state = np.split(hidden, 2)[n], np.split(cell, 2)[n]
        options = cell_clip, projection_clip, use_skip_connections
        result = run_direction(params, direction, embedding[x], *state, *options)
        outputs = result.layers[-1].outputs
        logits = outputs @ softmax_weight.T + params["softmax_bias"]
        losses, d_logits = cross_entropy(logits, y)
        d_logits /= num_tokens
        d_embedded, d_weights = backpropagate_direction(
            params, direction, result.layers, d_logits @ softmax_weight
        )
        gradients.update(d_weights)
        gradients["softmax_weight"] += sum_outer(d_logits, outputs)
        gradients["softmax_bias"] += d_logits.sum(axis=(0, 1))
        np.add.at(gradients["embedding_para"], x, d_embedded)
        results.append(result)
        all_logits.append(logits)
        all_losses.append(losses)
    return Step(
        float(np.mean(all_losses, dtype=np.float64)),
        gradients,
        np.concatenate([result.hidden for result in results]),
        np.concatenate([result.cell for result in results]),
        tuple(results),
        tuple(all_logits),
        tuple(all_losses),
    )


def adagrad_step(
    params: dict[str, np.ndarray],
    moments: dict[str, np.ndarray],
    gradients: dict[str, np.ndarray],
    steps: int,
    learning_rate: float = 0.2,
    clip_norm: float = 10.0,
    epsilon: float = 0.0,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return new (params, moments) after one Adagrad update with LARK's scaling and clipping.

        g = steps * gradient;  g *= clip_norm / max(clip_norm, norm of all g together)
        moment += g^2;  param -= learning_rate * g / (sqrt(moment) + epsilon)

    Args:
        params: Parameters by name; not changed.
        moments: Accumulators by the parameter's name, see `initial_moments`; not changed.
        gradients: Gradients of the mean loss by the parameter's name.
        steps: Steps of a window: LARK minimises loss * steps.
        learning_rate: Factor of the update.
        clip_norm: Largest global norm of the scaled gradients.
        epsilon: Added to the root of the accumulator.
    """
    norm = steps * float(np.sqrt(sum(np.sum(g**2, dtype=np.float64) for g in gradients.values())))
    scale = steps * clip_norm / max(clip_norm, norm)
    params, moments = dict(params), dict(moments)
    for name, gradient in gradients.items():
        scaled = gradient * scale
        moments[name] = moments[name] + scaled**2
        update = scaled / (np.sqrt(moments[name]) + epsilon)
        params[name] = params[name] - learning_rate * update
    return params, moments


def initial_moments(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return Adagrad accumulators before the first update: 1.0 everywhere."""
    return {name: np.ones_like(value) for name, value in params.items()}
