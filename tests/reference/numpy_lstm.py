"""Independent NumPy reference of one layer of projected LSTM, forward and backward.

Imports nothing of the project. With blocks of columns in the order c, i, f, o:

    c~, i, f, o = tanh, sig, sig, sig of split(x_t W_in + h_{t-1} W_rec + b)
    c_t = clip(f * c_{t-1} + i * c~, +-cell_clip)
    h_t = clip((o * tanh(c_t)) W_proj, +-projection_clip)

A row with a length keeps its state after so many steps, and its outputs are 0 from there on. No
gradient flows through a value at or beyond its clip. Unlike `numpy_bilm` it takes gradients of
the last state, gives those of the first one, and knows lengths. Results have the dtype of the
arguments.
"""

from typing import NamedTuple, Optional

import numpy as np


class Weights(NamedTuple):
    """Parameters of a layer, or their gradients."""

    input_weight: np.ndarray  # (input, 4 * cell)
    recurrent_weight: np.ndarray  # (projection, 4 * cell)
    bias: np.ndarray  # (4 * cell,)
    projection_weight: np.ndarray  # (cell, projection)


class Step(NamedTuple):
    """What one step computed; the suffix `_open` means: True where the clip was not active."""

    running: np.ndarray  # (batch, 1)
    hidden_before: np.ndarray  # (batch, projection)
    cell_before: np.ndarray  # (batch, cell)
    gates: np.ndarray  # (batch, 4 * cell), after their nonlinearities
    cell: np.ndarray  # (batch, cell)
    cell_open: np.ndarray  # (batch, cell)
    hidden_open: np.ndarray  # (batch, projection)


class Run(NamedTuple):
    """What a layer computed of a whole sequence."""

    outputs: np.ndarray  # (batch, steps, projection)
    hidden: np.ndarray  # (batch, projection), the last
    cell: np.ndarray  # (batch, cell), the last
    steps: list
    margin: float  # from the value nearest to its clip to that clip; inf without clips


class Gradients(NamedTuple):
    """Gradients of what `run_layer` takes."""

    inputs: np.ndarray
    hidden: np.ndarray
    cell: np.ndarray
    weights: Weights


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def clip(values: np.ndarray, limit: float) -> tuple:
    """Return clipped values, where the clip was not active, and how far it was from the others."""
    if not limit:
        return values, np.ones(values.shape, bool), np.full(values.shape, np.inf)
    limit = values.dtype.type(np.float32(limit))  # as those who compute in float32 know it
    return np.clip(values, -limit, limit), np.abs(values) < limit, np.abs(np.abs(values) - limit)


def run_layer(
    weights: Weights,
    inputs: np.ndarray,
    hidden: np.ndarray,
    cell: np.ndarray,
    lengths: Optional[np.ndarray] = None,
    cell_clip: float = 0.0,
    projection_clip: float = 0.0,
) -> Run:
    """Return everything that one layer computes.

    Args:
        weights: Its parameters.
        inputs: Shape (batch, steps, input).
        hidden: State before the first step, shape (batch, projection).
        cell: Cell before the first step, shape (batch, cell).
        lengths: Steps of each row, shape (batch,); None: all rows are full.
        cell_clip: Bound of the cell; 0 for none.
        projection_clip: Bound of the outputs; 0 for none.
    """
    batch, num_steps = inputs.shape[:2]
    lengths = np.full(batch, num_steps) if lengths is None else lengths
    outputs, steps, margin = [], [], np.inf
    for t in range(num_steps):
        running = (t < lengths)[:, None]
        sums = inputs[:, t] @ weights.input_weight + hidden @ weights.recurrent_weight
        c, i, f, o = np.split(sums + weights.bias, 4, axis=-1)
        c, i, f, o = np.tanh(c), sigmoid(i), sigmoid(f), sigmoid(o)
        new_cell, cell_open, cell_margin = clip(f * cell + i * c, cell_clip)
        projected = (o * np.tanh(new_cell)) @ weights.projection_weight
        new_hidden, hidden_open, hidden_margin = clip(projected, projection_clip)
        gates = np.concatenate([c, i, f, o], axis=-1)
        steps.append(Step(running, hidden, cell, gates, new_cell, cell_open, hidden_open))
        outputs.append(np.where(running, new_hidden, 0))
        hidden, cell = np.where(running, new_hidden, hidden), np.where(running, new_cell, cell)
        for margins in (cell_margin, hidden_margin):
            margin = min(margin, np.where(running, margins, np.inf).min())
    return Run(np.stack(outputs, axis=1), hidden, cell, steps, margin)


def backpropagate_layer(
    weights: Weights,
    inputs: np.ndarray,
    run: Run,
    d_outputs: np.ndarray,
    d_hidden: np.ndarray,
    d_cell: np.ndarray,
) -> Gradients:
    """Return the gradients of all arguments of `run_layer`.

    Args:
        weights: What `run_layer` got.
        inputs: What `run_layer` got.
        run: What it returned.
        d_outputs: Gradient of the outputs, shape (batch, steps, projection).
        d_hidden: Gradient of the last hidden, shape (batch, projection).
        d_cell: Gradient of the last cell, shape (batch, cell).
    """
    d_inputs = np.zeros_like(inputs)
    d_weights = Weights(*(np.zeros_like(weight) for weight in weights))
    for t, step in reversed(list(enumerate(run.steps))):
        c, i, f, o = np.split(step.gates, 4, axis=-1)
        squashed = np.tanh(step.cell)
        d_projected = (d_outputs[:, t] + d_hidden) * (step.running & step.hidden_open)
        d_activated = d_projected @ weights.projection_weight.T  # of o * tanh(c_t)
        d_new_cell = d_cell + d_activated * o * (1 - squashed**2)
        d_new_cell = d_new_cell * (step.running & step.cell_open)
        d_c = d_new_cell * i * (1 - c**2)
        d_i = d_new_cell * c * i * (1 - i)
        d_f = d_new_cell * step.cell_before * f * (1 - f)
        d_o = d_activated * squashed * o * (1 - o)
        d_gates = np.concatenate([d_c, d_i, d_f, d_o], axis=-1)
        d_inputs[:, t] = d_gates @ weights.input_weight.T
        d_weights.input_weight[:] += inputs[:, t].T @ d_gates
        d_weights.recurrent_weight[:] += step.hidden_before.T @ d_gates
        d_weights.bias[:] += d_gates.sum(axis=0)
        d_weights.projection_weight[:] += (o * squashed).T @ d_projected
        d_hidden = np.where(step.running, d_gates @ weights.recurrent_weight.T, d_hidden)
        d_cell = np.where(step.running, d_new_cell * f, d_cell)
    return Gradients(d_inputs, d_hidden, d_cell, d_weights)
