"""The native LSTM against Paddle's operators and NumPy, and what its results may depend on."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import paddle
import pytest

from bilm.kernels.loading import is_native, using
from bilm.network.lstm import LSTMState, run_side_by_side
from bilm.paddle_compat import builds_pir
from tests.reference import numpy_lstm
from tests.reference.kernel_problems import (
    ALL,
    Problem,
    assert_close,
    assert_same_bits,
    inside,
    make_layers,
    needs_native,
    random_problem,
    run_layers,
    solve,
    solve_with_numpy,
    threads,
)
from tests.reference.numpy_lstm import Weights
from tests.reference.places import ROOT
from tests.reference.static_programs import set_parameter, static_programs

pytestmark = needs_native

PADDED = {"lengths": [3, 0, 6, 1, 5]}
CLIPPED = {"cell_clip": 0.4, "projection_clip": 0.3}
PROBLEMS = {
    "one direction": {},
    "two directions": {"directions": 2},
    "one step": {"directions": 2, "steps": 1},
    "one row": {"batch": 1},
    "one row of two directions": {"directions": 2, "batch": 1},
    "one of everything": {"batch": 1, "steps": 1, "input_size": 1, "projection": 1, "cell": 1},
    "padded": PADDED,
    "padded, two directions": {"directions": 2, **PADDED},
    "no row has a step": {"lengths": [0] * 5},
    "a row has a step": {"lengths": [0, 0, 1, 0, 0], "directions": 2},
    "long beside the longest row": {"steps": 40, "directions": 2, **PADDED},
    "no hidden state": {"hidden_rows": 0, "directions": 2},
    "one hidden state": {"hidden_rows": 1, "directions": 2},
    "clips hit": CLIPPED,
    "clips hit, padded, two directions": {"directions": 2, **CLIPPED, **PADDED},
    "clips not hit": {"cell_clip": 50.0, "projection_clip": 50.0},
    "cell clip hit": {"cell_clip": 0.4},
    "projection clip hit": {"projection_clip": 0.3, "directions": 2},
    "rows that fill no vector": {"batch": 19, "steps": 11, "directions": 2},
    "many rows, many steps": {"batch": 70, "steps": 41, "cell": 5, "directions": 2},
    "sizes of powers of 2": {"batch": 8, "steps": 8, "input_size": 16, "projection": 16,
                             "cell": 32, "directions": 2},
}
LARGE = {"directions": 2, "batch": 40, "steps": 50, "input_size": 48, "projection": 64,
         "cell": 256, "lengths": [50, 17, 0, 33] * 10, "cell_clip": 2.0, "projection_clip": 1.0,
         "seed": 4}


@pytest.mark.smoke
@pytest.mark.parametrize("name", PROBLEMS)
def test_results_and_gradients_are_those_of_numpy(name):
    problem = random_problem(**PROBLEMS[name])
    assert_close(solve(problem), solve_with_numpy(problem))


@pytest.mark.smoke
@pytest.mark.parametrize("name", PROBLEMS)
def test_results_and_gradients_are_those_of_paddles_operators(name):
    problem = random_problem(**PROBLEMS[name])
    found, expected = solve(problem), solve(problem, "paddle")
    for solution in (found, expected):  # beyond a row's length outputs are not defined
        solution["outputs"] = solution["outputs"][:, inside(problem)]
    assert_close(found, expected)


@pytest.mark.smoke
@pytest.mark.parametrize("count", [1, 2, 3])
def test_large_batches_are_right_however_they_are_shared_out(count):
    problem = random_problem(**LARGE)
    with threads(count):
        found = solve(problem)
    assert_close(found, solve_with_numpy(problem))
    assert (np.abs(found["outputs"]) == LARGE["projection_clip"]).any()
    assert (np.abs(found["cell"]) == LARGE["cell_clip"]).any()


@pytest.mark.smoke
@pytest.mark.parametrize("used", [ALL[:1], ALL[1:2], ALL[2:], ALL[1:]], ids=" and ".join)
@pytest.mark.parametrize("name", ["one direction", "clips hit, padded, two directions"])
def test_gradients_are_right_if_the_loss_knows_some_results_only(name, used):
    problem = random_problem(**PROBLEMS[name])
    assert_close(solve(problem, used=used), solve_with_numpy(problem, used))


def loss_of(problem) -> float:
    """Return the loss of a problem of one direction, from `numpy_lstm`."""
    run = numpy_lstm.run_layer(
        problem.weights[0], problem.inputs[0], problem.hidden[0], problem.cell[0],
        problem.lengths, problem.cell_clip, problem.projection_clip,
    )
    return sum((getattr(run, name) * problem.factors[name][0]).sum() for name in ALL)


def moved(problem, name, place, distance):
    """Return a problem in float64 with one number changed, of the argument with this name."""
    weights = Weights(*(weight.astype(np.float64) for weight in problem.weights[0]))
    arguments = {key: getattr(problem, key).astype(np.float64) for key in ALL if key != "outputs"}
    arguments["inputs"] = problem.inputs.astype(np.float64)
    changed = {**arguments, **weights._asdict()}[name]
    changed.reshape(-1)[place] += distance
    return problem._replace(weights=[weights], **arguments)


@pytest.mark.parametrize("name", ["one direction", "padded", "clips hit", "cell clip hit"])
def test_the_references_gradients_are_the_slopes_of_its_loss(name):
    problem = random_problem(**PROBLEMS[name])
    gradients = solve_with_numpy(problem)
    random, step = np.random.default_rng(0), 1e-6
    for argument in ("inputs", "hidden", "cell", *Weights._fields):
        gradient = gradients[f"d {argument}" + " 0" * (argument in Weights._fields)].reshape(-1)
        for place in random.integers(0, gradient.size, 6):
            ends = [loss_of(moved(problem, argument, place, side)) for side in (step, -step)]
            slope = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(gradient[place], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.smoke
def test_no_gradient_flows_through_clipped_cells():
    problem = random_problem(cell_clip=1e-4)
    found = solve(problem)
    assert_close(found, solve_with_numpy(problem))
    blocks = dict(zip("cifo", np.split(found["d bias 0"], 4)))
    assert not blocks["c"].any() and not blocks["i"].any() and not blocks["f"].any()
    assert blocks["o"].all()
    assert not found["d cell"].any()


@pytest.mark.smoke
def test_no_gradient_flows_through_clipped_projections():
    problem = random_problem(projection_clip=1e-6)
    found = solve(problem, used=["outputs", "hidden"])
    assert (np.abs(found["outputs"]) == np.float32(1e-6)).all()
    assert not any(values.any() for name, values in found.items() if name.startswith("d "))


def test_a_value_at_its_clip_counts_as_clipped():
    """Without weights the cell is the forget gate, 1/2, times the cell before."""
    def with_cell(size):
        problem = random_problem(steps=1, cell_clip=0.25)
        zeros = Weights(*(np.zeros_like(weight) for weight in problem.weights[0]))
        return problem._replace(weights=[zeros], cell=np.full_like(problem.cell, size))

    at_clip, below = (solve(with_cell(size), used=["cell"]) for size in (0.5, 0.4999))
    assert (at_clip["cell"] == 0.25).all()
    assert not at_clip["d cell"].any()
    assert below["d cell"].all()


@pytest.mark.smoke
@pytest.mark.parametrize("count", [1, 2, 4])
def test_what_stands_beyond_a_rows_length_changes_nothing(count):
    problem = random_problem(directions=2, **CLIPPED, **PADDED)
    outside = ~inside(problem)
    for values in (problem.inputs, problem.factors["outputs"]):
        values[:, outside] = 0
    other = problem._replace(inputs=problem.inputs.copy(), factors=dict(problem.factors))
    other.inputs[:, outside] = 1e3
    other.factors["outputs"] = np.where(outside[..., None], 7, problem.factors["outputs"])
    other = other._replace(factors={key: value.astype(np.float32)
                                    for key, value in other.factors.items()})
    with threads(count):
        found, expected = solve(other), solve(problem)
    assert_same_bits(found, expected)
    assert not found["outputs"][:, outside].any()
    assert not found["d inputs"][:, outside].any()


@pytest.mark.smoke
def test_nan_beyond_a_rows_length_reaches_no_result():
    problem = random_problem(directions=2, **PADDED)
    expected = solve(problem)
    problem.inputs[:, ~inside(problem)] = np.nan
    assert_same_bits(*({name: solution[name] for name in ALL}
                       for solution in (solve(problem), expected)))


@pytest.mark.smoke
@pytest.mark.parametrize("clips", [{}, CLIPPED], ids=["free", "clipped"])
def test_nan_within_a_row_is_not_hidden(clips):
    """It stands in the row's outputs from its step on, and nowhere else."""
    problem = random_problem(directions=2, **clips)
    expected = solve(problem)["outputs"]
    problem.inputs[1, 2, 3, 4] = np.nan
    outputs = solve(problem)["outputs"]
    is_nan = np.zeros(outputs.shape, bool)
    is_nan[1, 2, 3:] = True
    np.testing.assert_array_equal(np.isnan(outputs), is_nan)
    np.testing.assert_array_equal(outputs[~is_nan], expected[~is_nan])


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("sizes", [PROBLEMS["clips hit, padded, two directions"], LARGE],
                         ids=["small", "large"])
def test_results_are_the_same_to_the_bit_each_time(sizes, count):
    problem = random_problem(**sizes)
    with threads(count):
        expected = solve(problem)
        for _ in range(3):
            assert_same_bits(solve(problem), expected)


def test_more_threads_than_cores_compute_the_same():
    problem = random_problem(**LARGE)
    with threads(1):
        expected = solve(problem)
    with threads(4):
        found = solve(problem)
        assert_same_bits(solve(problem), found)
    assert_close(found, expected, gradients=1e-5)


def rows_of(problem, order) -> Problem:
    """Return the problem with its rows in another order."""
    factors = {name: values[:, order] for name, values in problem.factors.items()}
    return problem._replace(
        inputs=problem.inputs[:, order], hidden=problem.hidden[:, order],
        cell=problem.cell[:, order], lengths=problem.lengths[order], factors=factors,
    )


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("sizes", [
    {"input_size": 12, "projection": 20, "cell": 36},
    {"input_size": 32, "projection": 32, "cell": 128},
], ids=["multiples of 4", "powers of 2"])
def test_a_rows_results_are_the_same_to_the_bit_at_each_place_of_16(sizes, count):
    problem = random_problem(directions=2, batch=16, steps=9, **sizes, **CLIPPED,
                             lengths=[9, 3, 0, 7, 1, 9, 9, 2] * 2)
    random = np.random.default_rng(0)
    with threads(count):
        expected = solve(problem)
        for _ in range(8):
            order = random.permutation(16)
            found = solve(rows_of(problem, order))
            for name in (*ALL, "d inputs", "d hidden", "d cell"):
                np.testing.assert_array_equal(found[name], expected[name][:, order], err_msg=name)


ROWS = [2, *range(8, 80, 8), 88, 128]  # as many as `full_blocks` gives
SIZES = [(8, 12), (32, 128), (64, 256), (100, 36)]  # projection and cell
OTHER_SIZES = [(6, 10), (7, 33), (100, 30)]  # no multiples of 4


def places_that_differ(all_sizes):
    """Return the cases (threads, rows, steps, sizes) in which equal rows have unequal outputs."""
    sizes = [*SIZES, *OTHER_SIZES] if all_sizes else SIZES
    return [case for case in product([1, 2, 4], ROWS, [1, 3, 5], sizes) if rows_differ(*case)]


def rows_differ(count, rows, steps, sizes):
    projection, cell = sizes
    problem = random_problem(directions=2, batch=1, steps=steps, input_size=projection,
                             projection=projection, cell=cell)
    repeated = {name: np.repeat(getattr(problem, name), rows, axis=1)
                for name in ("inputs", "hidden", "cell")}
    with threads(count), using("native"), paddle.no_grad():
        assert is_native()
        _, _, results = run_layers(problem._replace(**repeated))
    return any((values != values[:, :1]).any() for values in results)


@pytest.mark.smoke
@pytest.mark.parametrize("code, feature, all_sizes", [
    ("0", "sse2", False), ("4", "avx", False), ("5", "avx2", True), ("7", "avx512vl", True),
])
def test_equal_rows_get_equal_bits_from_each_code_of_mkl(code, feature, all_sizes):
    """In processes of their own: MKL reads the variable once."""
    if f" {feature} " not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip(f"this processor has no {feature}")
    program = ("from tests.kernels.test_projected_lstm import places_that_differ; "
               f"print(places_that_differ({all_sizes}))")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MKL_")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True,
        env={**inherited, "PYTHONPATH": str(ROOT), "MKL_DEBUG_CPU_TYPE": code},
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.smoke
def test_arguments_and_upstream_gradients_need_not_be_contiguous():
    problem = random_problem(directions=2)
    expected = solve(problem)
    with using("native"):
        layers, (_, *state), _ = run_layers(problem)
        inputs = paddle.to_tensor(problem.inputs.transpose(2, 1, 0, 3).copy(), stop_gradient=False)
        outputs, state = run_side_by_side(layers, inputs.transpose([2, 1, 0, 3]),
                                          LSTMState(*state))
        factors = problem.factors["outputs"].transpose(0, 1, 3, 2).copy()
        loss = (outputs.transpose([0, 1, 3, 2]) * paddle.to_tensor(factors)).sum()
        for name, values in zip(ALL[1:], state):
            loss += (values * paddle.to_tensor(problem.factors[name])).sum()
        loss.backward()
    gradient = inputs.grad.numpy().transpose(2, 1, 0, 3)
    assert_same_bits({"outputs": outputs.numpy(), "d inputs": gradient},
                     {name: expected[name] for name in ("outputs", "d inputs")})


def curve(function, block) -> np.ndarray:
    """Return errors of a nonlinearity of the operator, in units of float32's last place.

    One step with no weights but the bias, whose block `block` goes through a range of numbers;
    the input gate and the candidate are 1 where they are not measured.
    """
    x = np.concatenate([np.linspace(-30, 30, 3001), np.geomspace(1e-30, 1, 500)])
    x = np.concatenate([x, -x]).astype(np.float32)
    problem = random_problem(batch=1, steps=1, cell=len(x))
    bias = np.full((4, len(x)), 50, np.float32)
    bias["cifo".index(block)] = x
    zeros = Weights(*(np.zeros_like(weight) for weight in problem.weights[0]))
    problem = problem._replace(weights=[zeros._replace(bias=bias.reshape(-1))],
                               cell=np.zeros_like(problem.cell))
    expected = function(x.astype(np.float64))
    found = solve(problem)["cell"][0, 0]
    # below 1e-30 nothing depends on it
    return (found - expected) / np.maximum(np.spacing(np.abs(expected).astype(np.float32)), 1e-37)


def test_nonlinear_functions_are_right_to_the_last_places():
    assert np.abs(curve(np.tanh, "c")).max() < 4
    assert np.abs(curve(lambda x: 1 / (1 + np.exp(-x)), "i")).max() < 4


@pytest.mark.smoke
@pytest.mark.parametrize("changes, message", [
    ({"lengths": np.array([3, 0, 6, 1])}, "lengths"),
    ({"lengths": np.array([3, 0, 6, 1, 5, 2])}, "lengths"),
    ({"lengths": np.array([[3, 0, 6, 1, 5]])}, "lengths"),
    ({"hidden": np.zeros((1, 4, 6), np.float32)}, "hidden"),
    ({"hidden": np.zeros((2, 5, 6), np.float32)}, "hidden"),
    ({"hidden": np.zeros((1, 5, 7), np.float32)}, "recurrent_weight"),
    ({"hidden": np.zeros((5, 6), np.float32)}, "states must have three axes"),
    ({"cell": np.zeros((1, 4, 33), np.float32)}, "cell"),
    ({"cell": np.zeros((1, 5, 32), np.float32)}, "input_weight"),
    ({"inputs": np.zeros((1, 5, 6, 8), np.float32)}, "input_weight"),
    ({"inputs": np.zeros((2, 5, 6, 7), np.float32)}, "inputs"),
    ({"inputs": np.zeros((5, 6, 7), np.float32)}, "inputs must have four axes"),
    ({"inputs": np.zeros((1, 5, 6, 7), np.float64)}, "float32"),
])
def test_wrong_arguments_are_errors(changes, message):
    problem = random_problem()
    tensors = {**{name: getattr(problem, name) for name in ("inputs", "hidden", "cell")},
               "lengths": np.full(5, 6), **changes}
    inputs, hidden, cell, lengths = (paddle.to_tensor(values) for values in tensors.values())
    with using("native"), pytest.raises((OSError, ValueError), match=message):
        run_side_by_side(make_layers(problem), inputs, LSTMState(hidden, cell), lengths)


@pytest.mark.smoke
@pytest.mark.parametrize("name, shape, message", [
    ("input_weight", (7, 128), "input_weight"),
    ("recurrent_weight", (6, 128), "recurrent_weight"),
    ("recurrent_weight", (132, 6), "recurrent_weight"),
    ("bias", (33,), "bias"),
    ("projection_weight", (6, 33), "projection_weight"),
])
def test_weights_of_another_size_are_errors(name, shape, message):
    problem = random_problem(directions=2)
    layers = make_layers(problem)
    setattr(layers[1], name, layers[1].create_parameter(list(shape)))
    state = LSTMState(*(paddle.to_tensor(values) for values in (problem.hidden, problem.cell)))
    with using("native"), pytest.raises(OSError, match=message):
        run_side_by_side(layers, paddle.to_tensor(problem.inputs), state)


def build_program(problem):
    """Build the problem in the default static program, of unknown batch and steps.

    Returns:
        The layers, and what can be fetched: results and gradients of weights, as `solve` has them.
    """
    def data(name, shape, dtype="float32", constant=False):
        variable = paddle.static.data(name, shape, dtype)
        variable.stop_gradient = constant
        return variable

    def unknown(values, axes):
        return [None if axis in axes else size for axis, size in enumerate(values.shape)]

    layers = make_layers(problem)
    state = LSTMState(*(data(name, unknown(getattr(problem, name), [1])) for name in ALL[1:]))
    inputs = data("inputs", unknown(problem.inputs, [1, 2]))
    lengths = None if problem.lengths is None else data("lengths", [None], "int64", True)
    outputs, state = run_side_by_side(layers, inputs, state, lengths)
    found = dict(zip(ALL, (outputs, *state)))
    factors = {name: data(f"factor of {name}", list(values.shape), constant=True)
               for name, values in found.items()}
    loss = paddle.add_n([(found[name] * factors[name]).sum() for name in ALL])
    gradients = paddle.static.append_backward(loss)
    for number, layer in enumerate(layers):
        for name in Weights._fields:
            (gradient,) = (gradient for parameter, gradient in gradients
                           if parameter.name == getattr(layer, name).name)
            found[f"d {name} {number}"] = gradient
    return layers, found


def solve_in_a_static_program(problem, operators):
    """Return results and gradients of weights as `solve` does, and the operators' names."""
    with using(operators), static_programs() as (main, startup, executor):
        layers, fetched = build_program(problem)
        executor.run(startup)
        for layer, weights in zip(layers, problem.weights):
            for name, value in weights._asdict().items():
                set_parameter(getattr(layer, name).name, value)
        feed = {name: getattr(problem, name) for name in ("inputs", "hidden", "cell")}
        if problem.lengths is not None:
            feed["lengths"] = problem.lengths
        feed.update({f"factor of {name}": values for name, values in problem.factors.items()})
        values = executor.run(main, feed=feed, fetch_list=list(fetched.values()))
        return dict(zip(fetched, values)), operator_names(main)


def operator_names(program):
    operators = program.global_block().ops
    return [operator.name() if builds_pir() else operator.type for operator in operators]


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["one direction", "padded", "clips hit, padded, two directions"])
def test_a_static_program_of_unknown_sizes_computes_the_same(name):
    problem = random_problem(**PROBLEMS[name])
    found, names = solve_in_a_static_program(problem, "native")
    assert any("bilm_projected_lstm" in operator for operator in names)
    dynamic = solve(problem)
    assert_same_bits(found, {key: dynamic[key] for key in found})


@pytest.mark.smoke
def test_static_programs_hold_native_operators_only_if_asked_to():
    """Others could not run them."""
    problem = random_problem(**PADDED)
    found, names = solve_in_a_static_program(problem, "auto")
    assert names and not any("bilm_" in operator for operator in names)
    found["outputs"] *= inside(problem)[..., None]
    expected = solve_with_numpy(problem)
    assert_close(found, {key: expected[key] for key in found})
