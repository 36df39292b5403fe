"""One step of each optimiser, clipping and the learning rate, against NumPy."""

import math

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F
from paddle.nn.clip import get_tensor_from_selected_rows

from bilm.errors import InputError
from bilm.training.optimizer import (
    MOMENTS,
    build_optimizer,
    clip_factor,
    collect_gradients,
    global_norm,
    learning_rate_at,
    pack_optimizer,
    scale_gradients,
    unpack_optimizer,
)
from bilm.training.options import OPTIMIZERS, TrainingOptions

ROWS, SIZE = 8, 3
# each with a repeated row, and each leaving rows out
LOOKED_UP = ([1, 4, 1, 6, 1], [0, 4, 4, 5, 5])


def rates(total_steps, steps, **settings):
    options = TrainingOptions("corpus_*", learning_rate=0.8, **settings)
    return [learning_rate_at(step, options, total_steps) for step in steps]


@pytest.mark.parametrize("settings, steps, expected", [
    ({}, [1, 50, 1000], [0.8, 0.8, 0.8]),
    ({"warmup_steps": 4}, [1, 2, 3, 4, 5, 99], [0.2, 0.4, 0.6, 0.8, 0.8, 0.8]),
    ({"decay": "linear"}, [1, 26, 51, 100, 101, 500], [0.8, 0.6, 0.4, 0.008, 0, 0]),
    ({"decay": "linear", "decay_steps": 20}, [1, 11, 21, 99], [0.8, 0.4, 0, 0]),
    ({"decay": "linear", "warmup_steps": 20}, [10, 20, 21, 61, 101], [0.4, 0.8, 0.8, 0.4, 0]),
    ({"decay": "cosine"}, [1, 26, 51, 76, 101, 500],
     [0.8, 0.4 + 0.4 * math.sqrt(0.5), 0.4, 0.4 - 0.4 * math.sqrt(0.5), 0, 0]),
    ({"decay": "cosine", "warmup_steps": 2, "decay_steps": 8}, [1, 3, 6, 9], [0.4, 0.8, 0.4, 0]),
    # the run ends while it warms up, or at once after it
    ({"decay": "linear", "warmup_steps": 100}, [50, 100], [0.4, 0.8]),
    ({"decay": "cosine", "warmup_steps": 500}, [100, 500, 501, 502], [0.16, 0.8, 0.8, 0]),
])
def test_learning_rate_at_its_marks(settings, steps, expected):
    np.testing.assert_allclose(rates(100, steps, **settings), expected, atol=1e-12)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_learning_rate_rises_and_then_falls_without_a_jump(decay):
    values = np.diff([0, *rates(200, range(1, 230), decay=decay, warmup_steps=50)])
    assert (values[:50] > 0).all()
    assert (values[50:200] <= 1e-12).all() and (values[51:200] < 0).all()
    assert not values[201:].any()
    assert np.abs(values).max() < 0.8 / 50 + 1e-9


def lookup(rows, weight, sparse):
    """Return a loss whose gradient of row r of `weight` is a sum of r's factors."""
    factors = np.linspace(-2, 3, len(rows) * SIZE).reshape(len(rows), SIZE).astype(np.float32)
    embedded = F.embedding(paddle.to_tensor(rows), weight, sparse=sparse)
    dense = np.zeros((ROWS, SIZE), np.float32)
    np.add.at(dense, rows, factors)
    return (embedded * paddle.to_tensor(factors)).sum(), dense


def new_parameters(values):
    layer = paddle.nn.Layer()
    for name, array in values.items():
        initializer = paddle.nn.initializer.Assign(array)
        layer.add_parameter(
            name, layer.create_parameter(array.shape, default_initializer=initializer)
        )
    return dict(layer.named_parameters())


@pytest.fixture
def parameters():
    """A matrix whose rows are looked up and a vector that is used as it is."""
    random = np.random.default_rng(2)
    shapes = {"rows": (ROWS, SIZE), "vector": (4,)}
    return new_parameters(
        {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    )


def backward(parameters, rows=LOOKED_UP[0], sparse=True):
    """Give both parameters a gradient; return the gradients as dense arrays by name."""
    loss, dense = lookup(rows, parameters["rows"], sparse)
    factors = np.array([0.5, -1, 2, 0.25], np.float32)
    (loss + (parameters["vector"] * paddle.to_tensor(factors)).sum()).backward()
    return {"rows": dense, "vector": factors}


def dense(gradient):
    if gradient.is_selected_rows():
        values = np.zeros((ROWS, SIZE), np.float32)
        rows = np.array(gradient.rows())
        assert len(set(rows.tolist())) == len(rows)
        values[rows] = get_tensor_from_selected_rows(gradient).numpy()
        return values
    return gradient.numpy()


def arrays(parameters):
    return {name: parameter.numpy().copy() for name, parameter in parameters.items()}


@pytest.mark.smoke
@pytest.mark.parametrize("sparse", [True, False])
@paddle.no_grad()
def test_norm_and_clip_are_those_of_dense_gradients(parameters, sparse):
    with paddle.enable_grad():
        expected = backward(parameters, sparse=sparse)
    gradients = collect_gradients(parameters.values())
    assert [gradient.is_selected_rows() for _, gradient in gradients] == [sparse, False]
    norm = global_norm(gradients)
    wanted = math.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in expected.values()))
    assert norm.item() == pytest.approx(wanted, rel=1e-6)
    for max_norm, factor in ((0, 1), (wanted * 1.01, 1), (wanted / 4, 1 / 4)):
        assert clip_factor(norm, max_norm).item() == pytest.approx(factor, rel=1e-6)
        clipped = scale_gradients(gradients, clip_factor(norm, max_norm))
        for (parameter, gradient), name in zip(clipped, expected):
            assert parameter is parameters[name]
            np.testing.assert_allclose(dense(gradient), expected[name] * factor, rtol=1e-6)


def test_a_parameter_without_gradient_is_left_out(parameters):
    lookup([0], parameters["rows"], False)[0].backward()
    (parameter, _), = collect_gradients(parameters.values())
    assert parameter is parameters["rows"]


def step(optimizer, parameters, rows, sparse):
    gradients = backward(parameters, rows, sparse)
    with paddle.no_grad():
        optimizer.apply_gradients(collect_gradients(parameters.values()))
        optimizer.clear_grad(set_to_zero=False)
    return gradients


def trained(name, parameters, sparse):
    """Return the parameters and what the optimiser remembers, after two steps."""
    optimizer = build_optimizer(name, 0.1, list(parameters.values()))
    for rows in LOOKED_UP:
        step(optimizer, parameters, rows, sparse)
    return arrays(parameters), pack_optimizer(optimizer, name, parameters)


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["adagrad", "sgd"])
def test_gradients_of_single_rows_have_the_effect_of_dense_ones(parameters, name):
    before = arrays(parameters)
    from_sparse, sparse_memory = trained(name, parameters, True)
    from_dense, dense_memory = trained(name, new_parameters(before), False)
    for actual, expected in ((from_sparse, from_dense), (sparse_memory, dense_memory)):
        assert actual.keys() == expected.keys()
        for key in expected:
            np.testing.assert_allclose(actual[key], expected[key], rtol=2e-7, atol=1e-7)
    untouched = sorted(set(range(ROWS)) - set(sum(LOOKED_UP, [])))
    assert (from_sparse["rows"][untouched] == before["rows"][untouched]).all()
    assert (from_sparse["rows"] != before["rows"]).any(axis=1).sum() == ROWS - len(untouched)


def numpy_optimizer(name, value, gradients, rate):
    """Return `value` after a step for each gradient, as the papers have it."""
    value = value.astype(np.float64)
    square, mean = np.full_like(value, name == "adagrad"), np.zeros_like(value)
    for number, gradient in enumerate(gradients, start=1):
        gradient = gradient.astype(np.float64)
        if name == "sgd":
            value = value - rate * gradient
        elif name == "adagrad":  # accumulator from 1, epsilon 0: LARK's
            square = square + gradient**2
            value = value - rate * gradient / np.sqrt(square)
        elif name == "rmsprop":  # rho 0.95, epsilon 1e-6 under the root, no momentum
            square = 0.95 * square + 0.05 * gradient**2
            value = value - rate * gradient / np.sqrt(square + 1e-6)
        elif name == "adam":
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            root = np.sqrt(square / (1 - 0.999**number))
            value = value - rate * mean / (1 - 0.9**number) / (root + 1e-8)
    return value


@pytest.mark.smoke
@pytest.mark.parametrize("name", MOMENTS)
def test_steps_are_those_of_numpy(parameters, name):
    before = arrays(parameters)
    optimizer = build_optimizer(name, 0.1, list(parameters.values()))
    gradients = [step(optimizer, parameters, rows, False) for rows in LOOKED_UP]
    for key, value in arrays(parameters).items():
        expected = numpy_optimizer(name, before[key], [g[key] for g in gradients], 0.1)
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_every_name_on_the_command_line_is_an_optimiser():
    names = {TrainingOptions("corpus_*", optim=optim).optimizer for optim in OPTIMIZERS}
    assert names == set(MOMENTS)


@pytest.mark.smoke
@pytest.mark.parametrize("name", MOMENTS)
def test_a_restored_optimiser_goes_on_as_if_nothing_had_been(parameters, name):
    optimizer = build_optimizer(name, 0.1, list(parameters.values()))
    step(optimizer, parameters, LOOKED_UP[0], False)
    middle, memory = arrays(parameters), pack_optimizer(optimizer, name, parameters)
    step(optimizer, parameters, LOOKED_UP[1], False)
    expected = arrays(parameters)
    memory_after = pack_optimizer(optimizer, name, parameters)
    assert memory.keys() == {f"{key}.{moment}" for key in middle for moment in MOMENTS[name]}

    parameters = new_parameters(middle)
    optimizer = build_optimizer(name, 0.1, list(parameters.values()))
    unpack_optimizer(optimizer, name, parameters, memory, "optimizer.safetensors")
    step(optimizer, parameters, LOOKED_UP[1], False)
    for actual, wanted in ((arrays(parameters), expected),
                           (pack_optimizer(optimizer, name, parameters), memory_after)):
        assert actual.keys() == wanted.keys()
        for key in wanted:
            assert actual[key].tobytes() == wanted[key].tobytes(), key


def test_memory_that_does_not_fit_is_told_tensor_by_tensor(parameters):
    _, memory = trained("adam", parameters, False)
    memory["rows.moment1_0"] = memory["rows.moment1_0"][1:]
    memory["vektor.moment1_0"] = memory.pop("vector.moment1_0")
    del memory["vector.beta2_pow_acc_0"]
    optimizer = build_optimizer("adam", 0.1, list(parameters.values()))
    with pytest.raises(InputError) as error:
        unpack_optimizer(optimizer, "adam", parameters, memory, "run/optimizer.safetensors")
    assert str(error.value) == (
        "run/optimizer.safetensors: missing vector.beta2_pow_acc_0 1; "
        "missing vector.moment1_0 4; unexpected vektor.moment1_0 4; "
        f"rows.moment1_0 has shape {ROWS - 1}x{SIZE}, expected {ROWS}x{SIZE}"
    )


def test_memory_of_another_optimiser_is_refused(parameters):
    _, memory = trained("adagrad", parameters, False)
    optimizer = build_optimizer("rmsprop", 0.1, list(parameters.values()))
    with pytest.raises(InputError, match="missing rows.mean_grad_0 .*unexpected rows.moment_0"):
        unpack_optimizer(optimizer, "rmsprop", parameters, memory, "here")


def test_empty_memory_is_refused(parameters):
    optimizer = build_optimizer("adagrad", 0.1, list(parameters.values()))
    with pytest.raises(InputError, match="missing rows.moment_0"):
        unpack_optimizer(optimizer, "adagrad", parameters, {}, "here")
