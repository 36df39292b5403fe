"""Both GRUs against NumPy that shares no code, and padded rows against single ones."""

import numpy as np
import paddle
import pytest

from lac.network.gru import bidirectional_gru

pytestmark = pytest.mark.smoke
SIZE, INPUT = 5, 4


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def weights_of(layer, direction, reset_before):
    """Return input weights, recurrent weights, and both biases as (size, 3) blocks' functions."""
    if reset_before:
        cell = getattr(layer, f"{direction}_direction")
        return {name: getattr(cell, name).numpy().astype(np.float64) for name in (
            "input_weight", "update_reset_weight", "candidate_weight", "input_bias", "bias")}
    end = "_reverse" if direction == "backward" else ""
    return {name: getattr(layer, f"{name}_l0{end}").numpy().astype(np.float64) for name in (
        "weight_ih", "weight_hh", "bias_ih", "bias_hh")}


def step(x, h, w, reset_before):
    if reset_before:
        gates = x @ w["input_weight"] + w["input_bias"] + w["bias"]
        u, r = np.split(sigmoid(gates[: 2 * SIZE] + h @ w["update_reset_weight"]), 2)
        candidate = np.tanh(gates[2 * SIZE :] + (r * h) @ w["candidate_weight"])
        return (1 - u) * h + u * candidate
    own = w["weight_ih"] @ x + w["bias_ih"]
    past = w["weight_hh"] @ h + w["bias_hh"]
    r, z = np.split(sigmoid(own[: 2 * SIZE] + past[: 2 * SIZE]), 2)
    candidate = np.tanh(own[2 * SIZE :] + r * past[2 * SIZE :])
    return z * h + (1 - z) * candidate


def expected(layer, sentence, reset_before):
    halves = []
    for direction, words in (("forward", sentence), ("backward", sentence[::-1])):
        w, h, states = weights_of(layer, direction, reset_before), np.zeros(SIZE), []
        for x in words:
            h = step(x, h, w, reset_before)
            states.append(h)
        halves.append(np.array(states if direction == "forward" else states[::-1]))
    return np.concatenate(halves, axis=-1)


@pytest.mark.parametrize("reset_before", [False, True])
def test_states_are_those_of_the_equations_whatever_the_padding(reset_before):
    paddle.seed(4)
    layer = bidirectional_gru(INPUT, SIZE, reset_before)
    for parameter in layer.parameters():  # biases, too
        parameter.set_value(paddle.uniform(parameter.shape, min=-0.8, max=0.8))
    random = np.random.default_rng(1)
    lengths = [6, 1, 4]
    inputs = random.normal(size=(3, 6, INPUT)).astype(np.float32)
    with paddle.no_grad():
        outputs, _ = layer(paddle.to_tensor(inputs), None, paddle.to_tensor(lengths))
    for row, length in enumerate(lengths):
        wanted = expected(layer, inputs[row, :length].astype(np.float64), reset_before)
        np.testing.assert_allclose(outputs.numpy()[row, :length], wanted, atol=1e-5)
        assert not outputs.numpy()[row, length:].any()
    with paddle.no_grad():
        full, _ = layer(paddle.to_tensor(inputs[:1]), None, None)
    np.testing.assert_allclose(full.numpy(), outputs.numpy()[:1], atol=1e-6)


@pytest.mark.parametrize("reset_before", [False, True])
def test_a_word_changes_forward_states_after_it_and_backward_states_before_it(reset_before):
    layer = bidirectional_gru(INPUT, SIZE, reset_before)
    inputs = np.random.default_rng(2).normal(size=(1, 7, INPUT)).astype(np.float32)
    changed = inputs.copy()
    changed[0, 3] += 1
    with paddle.no_grad():
        one, other = (layer(paddle.to_tensor(x), None, None)[0].numpy()[0]
                      for x in (inputs, changed))
    is_equal = (one == other).reshape(7, 2, SIZE).all(axis=-1)
    assert is_equal[:, 0].tolist() == [True] * 3 + [False] * 4
    assert is_equal[:, 1].tolist() == [False] * 4 + [True] * 3
