"""What stands in for Paddle's private and version-dependent interfaces, on this Paddle."""

import numpy as np
import paddle
import pytest

from bilm import paddle_compat
from bilm.paddle_compat import as_tensor
from tests.reference.static_programs import static_programs

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("array", [
    np.arange(12).reshape(3, 4), np.arange(12).reshape(3, 4).T, np.arange(6)[::-1],
    np.arange(12).reshape(3, 4)[:, 1:3], np.array(5), np.zeros((0, 3)), np.float32([[1.5]]),
    np.array([True, False]), np.int32([7]), np.frombuffer(b"abc", np.uint8),
], ids=lambda array: f"{array.dtype}-{array.shape}")
def test_a_tensor_has_the_values_shape_and_type_of_its_array(array):
    tensor = as_tensor(array)
    assert tensor.numpy().dtype == array.dtype
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert tensor.stop_gradient


def test_a_tensor_is_a_copy():
    array = np.zeros(3)
    tensor = as_tensor(array)
    array[0] = 1
    assert tensor.tolist() == [0, 0, 0]


def test_tensors_leave_no_memory_behind():
    array = np.zeros((4, 5), np.int64)

    def memory_after(calls):
        for _ in range(calls):
            as_tensor(array)
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    before = memory_after(10_000)
    assert memory_after(50_000) - before < 1e6  # paddle.to_tensor of Paddle 3.3: 5.6e6


def test_in_a_static_program_it_is_a_constant():
    with static_programs() as (main, startup, executor):
        doubled = as_tensor(np.array([2.0, 3.0])) * 2
        executor.run(startup)
        (values,) = executor.run(main, fetch_list=[doubled])
    assert values.tolist() == [4, 6]


def test_moments_exist_before_the_first_step_and_stay_the_same_tensors():
    layer = paddle.nn.Linear(3, 2)
    parameters = layer.parameters()
    optimizer = paddle.optimizer.Adagrad(0.1, parameters=parameters, initial_accumulator_value=1.0)
    moments = paddle_compat.adagrad_moments(optimizer, parameters)
    assert all((moment == 1).all() for moment in moments)
    layer(paddle.ones([1, 3])).sum().backward()
    optimizer.step()
    for before, now in zip(moments, paddle_compat.adagrad_moments(optimizer, parameters)):
        assert (before == 2).all() and now is before


def test_a_gradient_is_whole_when_it_is_ready():
    layer = paddle.nn.Linear(2, 1)
    seen = []
    paddle_compat.call_when_gradient_is_ready(
        layer.weight, lambda: seen.append(layer.weight.grad.numpy().tolist())
    )
    for factor in (1.0, 2.0):
        (layer(paddle.ones([1, 2])) * factor).backward()
    assert seen == [[[1], [1]], [[3], [3]]]


def test_the_factor_of_a_learning_rate_is_what_optimisers_use():
    layer = paddle.nn.Linear(1, 1)
    before = layer.weight.item(), layer.bias.item()
    paddle_compat.set_learning_rate_factor(layer.weight, 0.25)
    assert paddle_compat.learning_rate_factor(layer.weight) == 0.25
    assert paddle_compat.learning_rate_factor(layer.bias) == 1
    layer(paddle.ones([1, 1])).backward()
    paddle.optimizer.SGD(0.5, parameters=layer.parameters()).step()
    steps = before[0] - layer.weight.item(), before[1] - layer.bias.item()
    assert steps == pytest.approx((0.125, 0.5))
