"""Random layers of projected LSTM, solved by each way of computing them."""

import os
from contextlib import contextmanager
from typing import List, NamedTuple, Optional

import numpy as np
import paddle
import pytest

from bilm.kernels import loading as kernels
from bilm.kernels.build import CannotBuildError, library_folder
from bilm.network.lstm import LSTMState, ProjectedLSTM, run_side_by_side
from tests.reference import numpy_lstm
from tests.reference.numpy_lstm import Weights

ALL = ("outputs", "hidden", "cell")


def _why_not_here():
    try:
        library_folder()
    except CannotBuildError as error:
        return str(error)
    return ""


# Of modules whose tests need the native operators; that compiling fails is no reason to skip.
needs_native = pytest.mark.skipif(bool(_why_not_here()), reason=_why_not_here())


class Problem(NamedTuple):
    """Layers side by side, what they read, and the factors of a loss, in float32.

    loss = sum(outputs * factors[0]) + sum(hidden * factors[1]) + sum(cell * factors[2])
    """

    weights: List[Weights]  # one for each direction
    inputs: np.ndarray  # (directions, batch, steps, input)
    hidden: np.ndarray  # (directions, batch, projection)
    cell: np.ndarray  # (directions, batch, cell)
    lengths: Optional[np.ndarray]  # (batch,)
    cell_clip: float
    projection_clip: float
    factors: dict  # by the names in ALL


def random_problem(
    directions=1, batch=5, steps=6, input_size=7, projection=6, cell=33, lengths=None,
    cell_clip=0.0, projection_clip=0.0, seed=0, hidden_rows=None,
) -> Problem:
    """Return a problem of random numbers; the loss ignores what lies beyond a row's length.

    The first hidden_rows rows (None: all) have a hidden state that is not zero.
    """
    random = np.random.default_rng(seed)

    def values(*shape, scale=1.0):
        return (scale * random.normal(size=shape)).astype(np.float32)

    weights = [
        Weights(
            values(input_size, 4 * cell, scale=input_size**-0.5),
            values(projection, 4 * cell, scale=projection**-0.5),
            values(4 * cell, scale=0.5),
            values(cell, projection, scale=cell**-0.5),
        )
        for _ in range(directions)
    ]
    factors = {"outputs": values(directions, batch, steps, projection),
               "hidden": values(directions, batch, projection),
               "cell": values(directions, batch, cell)}
    if lengths is not None:
        lengths = np.array(lengths)
        factors["outputs"][:, np.arange(steps) >= lengths[:, None]] = 0
    hidden = values(directions, batch, projection)
    if hidden_rows is not None:
        hidden[:, hidden_rows:] = 0
    return Problem(
        weights, values(directions, batch, steps, input_size), hidden,
        values(directions, batch, cell), lengths, cell_clip, projection_clip, factors,
    )


def make_layers(problem) -> List[ProjectedLSTM]:
    """Return layers of the problem's sizes, with values of their own."""
    sizes = problem.inputs.shape[-1], problem.hidden.shape[-1], problem.cell.shape[-1]
    clips = problem.cell_clip, problem.projection_clip
    return [ProjectedLSTM(*sizes, *clips) for _ in problem.weights]


def trainable(values) -> paddle.Tensor:
    """Return a tensor that gets a gradient."""
    return paddle.to_tensor(values, stop_gradient=False)


def run_layers(problem):
    """Return the layers, their arguments and their results as tensors, in dynamic mode."""
    layers = make_layers(problem)
    for layer, weights in zip(layers, problem.weights):
        for name, value in weights._asdict().items():
            getattr(layer, name).set_value(value)
    arguments = [trainable(values) for values in (problem.inputs, problem.hidden, problem.cell)]
    lengths = None if problem.lengths is None else paddle.to_tensor(problem.lengths)
    outputs, state = run_side_by_side(layers, arguments[0], LSTMState(*arguments[1:]), lengths)
    return layers, arguments, (outputs, *state)


def solve(problem, operators="native", used=ALL) -> dict:
    """Return results and gradients as Paddle computes them with these operators.

    Args:
        problem: Made by `random_problem`.
        operators: One of `bilm.kernels.loading.CHOICES`.
        used: The results that the loss knows of.
    """
    with kernels.using(operators):
        assert kernels.is_native() == (operators == "native")
        layers, arguments, results = run_layers(problem)
        found = dict(zip(ALL, (values.numpy() for values in results)))
        parts = [(values * paddle.to_tensor(problem.factors[name])).sum()
                 for name, values in zip(ALL, results) if name in used]
        paddle.add_n(parts).backward()
    named = zip(("inputs", "hidden", "cell"), arguments)
    found.update({f"d {name}": values.grad.numpy() for name, values in named})
    for number, layer in enumerate(layers):
        for name in Weights._fields:
            grad = getattr(layer, name).grad
            # a loss that knows the cells alone has no way to the projection
            empty = np.zeros(getattr(layer, name).shape, np.float32)
            found[f"d {name} {number}"] = empty if grad is None else grad.numpy()
    return found


def solve_with_numpy(problem, used=ALL, dtype=np.float64, least_margin=1e-5) -> dict:
    """Return the same as `solve`, from `numpy_lstm` in float64.

    No value may be so near to its clip that rounding decides whether it is clipped.
    """
    parts = []
    for number, weights in enumerate(problem.weights):
        weights = Weights(*(weight.astype(dtype) for weight in weights))
        inputs, hidden, cell = (
            values[number].astype(dtype)
            for values in (problem.inputs, problem.hidden, problem.cell)
        )
        run = numpy_lstm.run_layer(weights, inputs, hidden, cell, problem.lengths,
                                   problem.cell_clip, problem.projection_clip)
        assert run.margin > least_margin, f"take another seed: {run.margin}"
        factors = [problem.factors[name][number] * (name in used) for name in ALL]
        gradients = numpy_lstm.backpropagate_layer(weights, inputs, run, *factors)
        parts.append((run, gradients))
    found = {name: np.stack([getattr(run, name) for run, _ in parts]) for name in ALL}
    for name in ("inputs", "hidden", "cell"):
        found[f"d {name}"] = np.stack([getattr(gradients, name) for _, gradients in parts])
    for number, (_, gradients) in enumerate(parts):
        named = gradients.weights._asdict()
        found.update({f"d {name} {number}": values for name, values in named.items()})
    return found


def inside(problem) -> np.ndarray:
    """Return which steps of which rows are within the row's length, shape (batch, steps)."""
    batch, steps = problem.inputs.shape[1:3]
    return np.arange(steps) < (np.full(batch, steps) if problem.lengths is None
                               else problem.lengths)[:, None]


def error(found, expected) -> float:
    """Return max |found - expected| / max(1, max |expected|)."""
    if not np.size(expected):
        return 0.0
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def assert_close(found: dict, expected: dict, results=1e-5, gradients=1e-4):
    """Compare all that both hold, results and gradients (their names start with "d ")."""
    errors = {name: error(found[name], expected[name]) for name in expected}
    limits = {name: gradients if name.startswith("d ") else results for name in expected}
    # `not <=` finds NaN as well
    wrong = {name: value for name, value in errors.items() if not value <= limits[name]}
    assert not wrong, wrong


def assert_same_bits(found: dict, expected: dict):
    """Compare all values exactly."""
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def assert_promised_bits(found, expected):
    """Compare values of rows among other neighbours: exactly if native operators computed them.

    Paddle's are not exact on every processor: see `bilm.network.row_blocks`.
    """
    limit = 0 if kernels.is_native() else 1e-6
    assert error(found, expected) <= limit


@contextmanager
def threads(count: int):
    """Let Paddle and the native operators use so many threads in this block."""
    paddle.base.core.set_num_threads(count)
    try:
        yield
    finally:  # Paddle sets the variable if it was not set
        before = os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]
        paddle.base.core.set_num_threads(int(before))
