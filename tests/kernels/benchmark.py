"""Times of the native operators beside those of Paddle's own.

`pytest tests/kernels/benchmark.py` runs it, with the package pytest-benchmark; its name keeps it
out of the tests. Nothing is asserted of times.
"""

import numpy as np
import paddle
import pytest

from bilm.hardware import tune_cpu
from bilm.kernels.loading import is_native, using
from bilm.network.losses import full_softmax_loss
from bilm.network.lstm import LSTMState, run_side_by_side
from tests.reference.kernel_problems import needs_native, random_problem, run_layers, trainable

pytestmark = [needs_native, pytest.mark.parametrize("operators", ["native", "paddle"])]

SIZES = {"directions": 2, "steps": 20, "input_size": 256, "projection": 256, "cell": 1024,
         "cell_clip": 3.0, "projection_clip": 3.0}


@pytest.fixture(autouse=True)
def chosen(operators):
    """Compute with these operators, on all cores."""
    tune_cpu()
    with using(operators):
        assert is_native() == (operators == "native")
        yield


def layers_of(batch):
    """Return a function that runs two layers over a batch and returns their outputs."""
    layers, (inputs, *state), _ = run_layers(random_problem(batch=batch, **SIZES))
    return lambda: run_side_by_side(layers, inputs, LSTMState(*state))[0]


@pytest.mark.parametrize("batch", [1, 8, 32, 128])
def test_projected_lstm(benchmark, batch):
    run = layers_of(batch)
    with paddle.no_grad():
        benchmark(run)


@pytest.mark.parametrize("batch", [8, 32])
def test_projected_lstm_with_gradients(benchmark, batch):
    run = layers_of(batch)
    benchmark(lambda: run().sum().backward())


@pytest.mark.parametrize("classes", [1_024, 20_000])
def test_softmax_with_gradients(benchmark, classes):
    random = np.random.default_rng(0)
    hidden, weight, bias = (trainable(random.normal(size=shape).astype(np.float32))
                            for shape in ([640, 256], [classes, 256], [classes]))
    targets = paddle.to_tensor(random.integers(0, classes, 640))
    shares = paddle.ones([640])
    benchmark(lambda: full_softmax_loss(hidden, targets, weight, bias, shares).backward())
