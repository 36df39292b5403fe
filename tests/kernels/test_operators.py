"""The native softmax, dropout and Adagrad, and layers in text order, beside Paddle's operators."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle
import pytest

from bilm.kernels import operators
from bilm.kernels.loading import choice, is_native, using
from bilm.kernels.operators import sampled_softmax_loss
from bilm.network.log_uniform_sampler import LogUniformSampler
from bilm.network.losses import full_softmax_loss, full_softmax_nats
from bilm.network.lstm import LSTMState, ProjectedLSTM, run_over_text, run_side_by_side
from bilm.training.optimizer import apply_gradients, build_optimizer, clip_factor, global_norm
from tests.reference.kernel_problems import needs_native, threads

pytestmark = [needs_native, pytest.mark.smoke]


def softmax_problem(tokens, classes, size=7, scale=1.0):
    random = np.random.default_rng(tokens + classes)
    hidden = random.normal(size=[tokens, size], scale=scale).astype(np.float32)
    weight = random.normal(size=[classes, size]).astype(np.float32)
    bias = random.normal(size=classes).astype(np.float32)
    token_weights = random.random(tokens).astype(np.float32)
    token_weights[::3] = 0
    return hidden, weight, bias, random.integers(0, classes, tokens), token_weights


def numpy_softmax(hidden, weight, bias, targets, token_weights):
    """Return nats, and the gradients of hidden, weight and bias, in float64."""
    logits = hidden.astype(np.float64) @ weight.T.astype(np.float64) + bias
    rows = np.arange(len(targets))
    logits -= logits.max(axis=1, keepdims=True)
    total = np.exp(logits).sum(axis=1, keepdims=True)
    slopes = np.exp(logits) / total
    slopes[rows, targets] -= 1
    slopes *= token_weights[:, None]
    nats = np.log(total[:, 0]) - logits[rows, targets]
    return nats, slopes @ weight, slopes.T @ hidden, slopes.sum(axis=0)


def distance(found, expected):
    return np.abs(found - expected).max() / max(1, np.abs(expected).max())


@pytest.mark.parametrize("tokens, classes, limit", [
    (1, 1, 0), (3, 5, 0), (9, 1024, 0), (300, 1025, 0), (300, 1025, 70_000), (5, 3000, 1),
])
@pytest.mark.parametrize("count", [1, 2])
def test_the_full_softmax_is_numpys(tokens, classes, limit, count):
    problem = softmax_problem(tokens, classes)
    expected = numpy_softmax(*problem)
    hidden, weight, bias, targets, token_weights = map(paddle.to_tensor, problem)
    parameters = hidden, weight, bias
    with using("native"), threads(count):
        nats = full_softmax_nats(hidden, targets, weight, bias)
        for parameter in parameters:
            parameter.stop_gradient = False
        loss = full_softmax_loss(hidden, targets, weight, bias, token_weights, limit)
        loss.backward()
    assert distance(nats.numpy(), expected[0]) < 1e-6
    assert loss.item() == pytest.approx((expected[0] * problem[-1]).sum(), rel=1e-5, abs=1e-5)
    for parameter, wanted in zip(parameters, expected[1:]):
        assert distance(parameter.grad.numpy(), wanted) < 1e-5


@pytest.mark.parametrize("way", ["native", "paddle"])
@pytest.mark.parametrize("wrong", [-1, 5])
def test_a_target_outside_the_vocabulary_is_refused(way, wrong):
    hidden, weight, bias, targets, token_weights = map(paddle.to_tensor, softmax_problem(4, 5))
    targets[2] = wrong
    message = rf"targets must be from 0 to 4, not {wrong} \(token 2\)"
    with using(way):
        with pytest.raises(ValueError, match=message):
            full_softmax_loss(hidden, targets, weight, bias, token_weights)
        with pytest.raises(ValueError, match=message):
            full_softmax_nats(hidden, targets, weight, bias)


@pytest.mark.parametrize("way", ["native", "paddle"])
def test_no_tokens_are_refused(way):
    hidden, weight, bias, targets, token_weights = map(paddle.to_tensor, softmax_problem(0, 5))
    with using(way):
        with pytest.raises(ValueError, match="no tokens"):
            full_softmax_nats(hidden, targets, weight, bias)
        with pytest.raises(ValueError, match="no tokens"):
            full_softmax_loss(hidden, targets, weight, bias, token_weights)


@pytest.mark.parametrize("way", ["native", "paddle"])
@pytest.mark.parametrize("learned", [0, 1, 2])
def test_constants_get_no_gradient(way, learned):
    problem = softmax_problem(4, 5)
    *tensors, targets, token_weights = map(paddle.to_tensor, problem)
    tensors[learned].stop_gradient = False
    with using(way):
        full_softmax_loss(tensors[0], targets, *tensors[1:], token_weights).backward()
    expected = numpy_softmax(*problem)[1 + learned]
    assert distance(tensors[learned].grad.numpy(), expected) < 1e-5
    assert all(tensor.grad is None for tensor in tensors if tensor.stop_gradient)


def test_extreme_logits_are_right():
    problem = softmax_problem(40, 1100, scale=60.0)
    expected = numpy_softmax(*problem)[0]
    assert expected.max() > 200
    hidden, weight, bias, targets, _ = map(paddle.to_tensor, problem)
    with using("native"):
        nats = full_softmax_nats(hidden, targets, weight, bias).numpy()
    np.testing.assert_allclose(nats, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("num_candidates", [20, 299, 300])
def test_the_sampled_softmax_is_that_of_paddles_operators(num_candidates):
    """Targets among the candidates and, but for the last case, others."""
    problem = softmax_problem(50, 300)
    drawn = LogUniformSampler(300, num_candidates).draw(problem[3], np.random.default_rng(0))
    assert (drawn.target_places >= 0).any()
    results = []
    for way in ("native", "paddle"):
        hidden, weight, bias, targets, token_weights = map(paddle.to_tensor, problem)
        for parameter in (hidden, weight, bias):
            parameter.stop_gradient = False
        with using(way):
            loss = sampled_softmax_loss(hidden, targets, weight, bias, drawn, token_weights)
            loss.backward()
        gradients = [parameter.grad.numpy() for parameter in (hidden, weight, bias)]
        results.append([np.array(loss.item()), *gradients])
    for found, expected in zip(*results):
        assert distance(found, expected) < 1e-5


def test_dropout_drops_its_share_and_the_gradient_at_the_same_places():
    values = paddle.ones([400, 500])
    values.stop_gradient = False
    masks = []
    for seed in (1, 1, 2):
        paddle.seed(seed)
        with using("native"):
            assert is_native()
            dropped, second = operators.dropout(values, 0.3), operators.dropout(values, 0.3)
        masks += [dropped.numpy() > 0, second.numpy() > 0]
        assert set(np.unique(dropped.numpy())) == {0, np.float32(1 / (1 - np.float32(0.3)))}
        values.clear_gradient(False)
        dropped.sum().backward()
        np.testing.assert_array_equal(values.grad.numpy(), dropped.numpy())
    deviation = np.sqrt(0.3 * 0.7 / masks[0].size)
    assert all(abs(mask.mean() - 0.7) < 5 * deviation for mask in masks)
    np.testing.assert_array_equal(masks[0], masks[2])
    for one, other in ((masks[0], masks[1]), (masks[0], masks[4])):
        assert abs((one & other).mean() - 0.49) < 5 * np.sqrt(0.49 * 0.51 / one.size)
    # neighbours in a row and in a column know nothing of each other
    for pairs in (masks[0][:, 1:] & masks[0][:, :-1], masks[0][1:] & masks[0][:-1]):
        assert abs(pairs.mean() - 0.49) < 5 * 0.5 / np.sqrt(pairs.size)


@pytest.mark.parametrize("count", [1, 2])
def test_adagrad_and_the_norm_are_numpys(count):
    random = np.random.default_rng(0)
    size = (1 << 18) + 77  # more than a task takes
    value, gradient = (random.normal(size=size).astype(np.float32) for _ in range(2))
    moment = random.random(size).astype(np.float32) + 1
    tensors = [paddle.to_tensor(array) for array in (value, moment, gradient)]
    with using("native"), threads(count):
        norm = global_norm([(tensors[0], tensors[2])])
        operators.adagrad(*tensors, clip_factor(norm, norm.item() / 2), 0.2, 1e-3)
    scaled = gradient.astype(np.float64) / 2
    assert norm.item() == pytest.approx(np.sqrt((scaled**2).sum() * 4), rel=1e-6)
    expected_moment = moment + scaled**2
    expected = value - 0.2 * scaled / (np.sqrt(expected_moment) + 1e-3)
    np.testing.assert_allclose(tensors[1].numpy(), expected_moment, rtol=1e-6)
    np.testing.assert_allclose(tensors[0].numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("l2_coef", [0.0, 0.5])
def test_clipped_steps_of_adagrad_are_those_of_paddles(l2_coef):
    random = np.random.default_rng(0)
    value, *gradients = (random.normal(size=[7, 5]).astype(np.float32) for _ in range(4))
    results = []
    for way in ("native", "paddle"):
        decay = paddle.regularizer.L2Decay(l2_coef) if l2_coef else None
        parameter = paddle.create_parameter(
            [7, 5], "float32", attr=paddle.ParamAttr(regularizer=decay),
            default_initializer=paddle.nn.initializer.Assign(value),
        )
        optimizer = build_optimizer("adagrad", 0.2, [parameter])
        with using(way), paddle.no_grad():
            for factor, gradient in zip((1.0, 0.25, 0.5), gradients):
                pairs = [(parameter, paddle.to_tensor(gradient))]
                apply_gradients(optimizer, pairs, paddle.to_tensor(factor, "float64"))
        results.append(parameter.numpy())
    expected, moment = value.astype(np.float64), 1.0
    for factor, gradient in zip((1.0, 0.25, 0.5), gradients):
        slope = factor * gradient.astype(np.float64) + l2_coef * expected
        moment = moment + slope**2
        expected = expected - 0.2 * slope / np.sqrt(moment)
    for found in results:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_forked_process_computes_the_same():
    problem = softmax_problem(300, 1100)
    hidden, weight, bias, targets, _ = map(paddle.to_tensor, problem)
    with using("native"), threads(2):  # with one there is nothing that a fork could break
        expected = full_softmax_nats(hidden, targets, weight, bias).numpy()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # no exception may reach the parent's test run
            try:
                found = full_softmax_nats(hidden, targets, weight, bias).numpy()
                os.write(writer, b"same" if (found == expected).all() else b"other")
            finally:
                os._exit(0)
    os.close(writer)
    deadline = time.monotonic() + 60
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.05)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"same"


def test_a_choice_holds_in_its_own_context_only(monkeypatch):
    monkeypatch.delenv("BILM_KERNEL", raising=False)
    with using("paddle"), ThreadPoolExecutor(1) as pool:
        with using("native"):
            assert choice() == "native"
            assert pool.submit(choice).result() == "auto"
        assert choice() == "paddle"


@pytest.mark.parametrize("lengths", [None, [6, 0, 3, 1, 5]])
@pytest.mark.parametrize("directions", [1, 2])
def test_in_text_order_the_second_direction_reads_backwards(directions, lengths):
    """Both ways of computing: the results and the gradient of the inputs."""
    paddle.seed(0)
    layers = [ProjectedLSTM(7, 6, 9, 0.5, 0.3) for _ in range(directions)]
    random = np.random.default_rng(0)
    start = [random.normal(size=[directions, 5, size]).astype(np.float32) for size in (6, 9)]
    inputs = random.normal(size=[5, 6, directions, 7]).astype(np.float32)
    factors = random.normal(size=[5, 6, directions, 6]).astype(np.float32)
    counts = None if lengths is None else paddle.to_tensor(np.array(lengths))
    inside = np.arange(6) < np.full(5, 6)[:, None] if lengths is None else (
        np.arange(6) < np.array(lengths)[:, None])
    factors[~inside] = 0
    results = []
    for way in ("native", "paddle"):
        given = paddle.to_tensor(inputs, stop_gradient=False)
        state = LSTMState(*map(paddle.to_tensor, start))
        with using(way):
            outputs, after = run_over_text(layers, given, state, counts)
            ((outputs * paddle.to_tensor(factors)).sum() + after.cell.sum()).backward()
        results.append([outputs.numpy()[inside], *(part.numpy() for part in after),
                        given.grad.numpy()])
    for found, expected in zip(*results):
        assert distance(found, expected) < 1e-6


def test_ten_thousand_calls_leave_no_memory_behind():
    layer = ProjectedLSTM(3, 2, 4)
    inputs = paddle.ones([1, 2, 3, 3])
    inputs.stop_gradient = False
    state = LSTMState(paddle.zeros([1, 2, 2]), paddle.zeros([1, 2, 4]))

    def call(times):
        for _ in range(times):
            outputs, _ = run_side_by_side([layer], inputs, state)
            outputs.backward(outputs.detach())
            inputs.clear_gradient(False)
            for parameter in layer.parameters():
                parameter.clear_gradient(False)
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    with using("native"):
        before = call(2_000)
        assert call(10_000) - before < 2e6
