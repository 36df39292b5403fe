"""The biLM's contract: causality, carried state, padding, directions, both graph modes."""

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, InputError, LSTMState
from bilm.kernels.rows import reverse_rows
from bilm.network.lstm import ProjectedLSTM
from bilm.network.model import BACKWARD, FORWARD

CONFIG = BiLMConfig(vocab_size=30, projection_size=6, cell_size=10, cell_clip=0.4,
                    projection_clip=0.1, dropout=0.3)


def small_model(config=CONFIG, seed=3):
    paddle.seed(seed)
    model = BiLM(config)
    for tensor in model.state_dict().values():  # large weights, so that the clips bite
        tensor.set_value(tensor * 3 + 0.05)
    model.eval()
    return model


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture
def ids():
    return np.random.default_rng(0).integers(3, 30, (3, 12))


def layers_of(model, ids, lengths=None, state=None):
    lengths = None if lengths is None else paddle.to_tensor(lengths)
    layers, state = model(paddle.to_tensor(ids), lengths, state)
    return layers.numpy(), state


@pytest.mark.smoke
def test_changing_a_token_changes_only_what_may_know_it(ids):
    """Forward states before t and backward states after t stay bit-identical."""
    model = small_model(BiLMConfig(**{**CONFIG.__dict__, "cell_clip": 0, "projection_clip": 0}))
    place, size = 5, CONFIG.projection_size
    before, _ = layers_of(model, ids)
    changed = ids.copy()
    changed[:, place] = (changed[:, place] - 3 + 1) % 27 + 3
    after, _ = layers_of(model, changed)
    forward, backward = np.split(after == before, [size], axis=-1)
    assert forward[:, :, :place].all()
    assert backward[:, :, place + 1 :].all()
    for row in range(len(ids)):
        for layer in (1, 2):
            assert not forward[layer, row, place:].all(axis=-1).any()
            assert not backward[layer, row, : place + 1].all(axis=-1).any()


@pytest.mark.smoke
@pytest.mark.parametrize("directions", [[FORWARD], [BACKWARD], [FORWARD, BACKWARD]])
def test_two_windows_are_one(model, ids, directions):
    read = np.stack([ids] * len(directions))
    whole, end = model.read(directions, paddle.to_tensor(read))
    first, state = model.read(directions, paddle.to_tensor(read[:, :, :6]))
    second, state = model.read(directions, paddle.to_tensor(read[:, :, 6:]), state)
    joined = np.concatenate([first.numpy(), second.numpy()], axis=2)
    np.testing.assert_allclose(joined, whole.numpy(), atol=1e-6)
    for part, expected in zip(state, end):
        np.testing.assert_allclose(part.numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.smoke
def test_reading_gives_the_top_layer_of_each_direction_in_its_own_order(model, ids):
    read = paddle.to_tensor(np.stack([ids, ids[:, ::-1]]))
    (forward, backward), state = model.read([FORWARD, BACKWARD], read)
    layers, expected_state = layers_of(model, ids)
    expected = np.split(layers[-1], 2, axis=-1)
    np.testing.assert_allclose(forward.numpy(), expected[FORWARD], atol=1e-6)
    np.testing.assert_allclose(backward.numpy()[:, ::-1], expected[BACKWARD], atol=1e-6)
    for part, whole in zip(state, expected_state):
        np.testing.assert_allclose(part.numpy(), whole.numpy(), atol=1e-6)


@pytest.mark.smoke
def test_a_padded_batch_is_its_sentences_one_by_one(model, ids):
    lengths = np.array([12, 1, 7])
    batch, state = layers_of(model, ids, lengths)
    for row, length in enumerate(lengths):
        alone, alone_state = layers_of(model, ids[row : row + 1, :length])
        np.testing.assert_allclose(batch[:, row, :length], alone[:, 0], atol=1e-6)
        for part, expected in zip(state, alone_state):
            part, expected = part[:, :, row].numpy(), expected[:, :, 0].numpy()
            np.testing.assert_allclose(part, expected, atol=1e-6)


def test_the_backward_direction_is_the_forward_one_over_reversed_text(ids):
    model = small_model()
    weights = model.forward_layers.state_dict()
    for name, tensor in model.backward_layers.state_dict().items():
        tensor.set_value(weights[name])
    size = CONFIG.projection_size
    straight, _ = layers_of(model, ids)
    reversed_text, _ = layers_of(model, ids[:, ::-1].copy())
    np.testing.assert_array_equal(straight[..., size:], reversed_text[:, :, ::-1, :size])


def test_skip_connections_are_added_outside_the_state(ids):
    config = BiLMConfig(**{**CONFIG.__dict__, "use_skip_connections": False})
    with_skip, without = small_model(), small_model(config)
    for first, second in zip(with_skip.parameters(), without.parameters()):
        np.testing.assert_array_equal(first.numpy(), second.numpy())
    (_, one, two), state = layers_of(with_skip, ids)
    (_, one_plain, two_plain), plain_state = layers_of(without, ids)
    np.testing.assert_array_equal(one, one_plain)
    np.testing.assert_allclose(two, two_plain + one, atol=1e-6)
    np.testing.assert_array_equal(state.hidden.numpy(), plain_state.hidden.numpy())


def test_clips_bound_the_state(model, ids):
    _, state = layers_of(model, ids)
    assert np.abs(state.hidden.numpy()).max() == np.float32(CONFIG.projection_clip)
    assert np.abs(state.cell.numpy()).max() == np.float32(CONFIG.cell_clip)


@pytest.mark.smoke
def test_no_gradient_flows_through_a_clipped_value():
    paddle.seed(0)
    lstm = ProjectedLSTM(4, 3, 5, cell_clip=1e-6, projection_clip=0.0)
    inputs = paddle.ones([2, 4, 4])
    inputs.stop_gradient = False
    state = LSTMState(paddle.zeros([2, 3]), paddle.zeros([2, 5]))
    outputs, _ = lstm(inputs, state)
    outputs.sum().backward()
    gates = lstm.input_weight.grad.numpy()
    blocks = dict(zip("cifo", np.split(gates, 4, axis=1)))
    assert not blocks["c"].any() and not blocks["i"].any() and not blocks["f"].any()
    assert blocks["o"].any()


def test_dropout_acts_in_training_only_and_never_on_the_state_twice(ids):
    model = small_model()
    tokens = paddle.to_tensor(ids[None])
    still = model.read([FORWARD], tokens)[0].numpy()
    np.testing.assert_array_equal(still, model.read([FORWARD], tokens)[0].numpy())
    model.train()
    paddle.seed(1)
    top, state = model.read([FORWARD], tokens)
    # clipped states are at the clip or below it: dropout would have scaled them up
    assert np.abs(state.hidden.numpy()).max() <= np.float32(CONFIG.projection_clip)
    dropped = (top.numpy() == 0).mean()
    assert 0.2 < dropped < 0.4


def test_a_run_has_the_dropout_asked_for_in_either_mode(ids):
    model, tokens = small_model(), paddle.to_tensor(ids)
    still = model(tokens)[0].numpy()
    model.train()
    np.testing.assert_array_equal(model.run(tokens)[0].numpy(), still)
    paddle.seed(1)
    trained = model(tokens)[0].numpy()
    paddle.seed(1)
    model.eval()
    np.testing.assert_array_equal(model.run(tokens, dropout=CONFIG.dropout)[0].numpy(), trained)
    assert (trained != still).any()


def test_what_is_trainable_is_decided_once():
    model = small_model()
    model.set_trainable(False)
    model.set_trainable(False)
    assert not any(parameter.trainable for parameter in model.parameters())
    with pytest.raises(InputError, match="in an ELMo with trainable=False already"):
        model.set_trainable(True)


def test_forget_bias_starts_at_one_or_as_in_lark():
    size = CONFIG.cell_size
    for lark_init, value in ((False, 1.0), (True, 0.0)):
        bias = BiLM(CONFIG, lark_init=lark_init).backward_layers[1].bias.numpy()
        assert bias[2 * size : 3 * size].tolist() == [value] * size
        assert not np.delete(bias, slice(2 * size, 3 * size)).any()


@pytest.mark.parametrize("settings, missing", [
    ({"bidirectional": False}, {"backward_layers", "backward_softmax"}),
    ({"share_softmax": True}, {"backward_softmax"}),
    ({"share_softmax": False}, set()),
])
def test_switches_decide_which_parameters_exist(settings, missing):
    config = BiLMConfig(**{**CONFIG.__dict__, **settings})
    names = {name.split(".")[0] for name in BiLM(config).state_dict()}
    everything = {"embedding", "forward_layers", "backward_layers", "softmax", "backward_softmax"}
    assert everything - names == missing


def test_reversing_rows_twice_gives_the_input():
    values = paddle.arange(24).reshape([2, 4, 3])
    once = reverse_rows(values, paddle.to_tensor([3, 0]))
    expected = values.numpy().copy()
    expected[0, :3] = expected[0, 2::-1]
    np.testing.assert_array_equal(once.numpy(), expected)
    twice = reverse_rows(once, paddle.to_tensor([3, 0]))
    np.testing.assert_array_equal(twice.numpy(), values.numpy())


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize("shape", [[3, 12], [None, None]], ids=["fixed", "unknown"])
def test_a_static_program_computes_the_same(model, ids, shape):
    lengths = np.array([12, 1, 7])
    expected, expected_state = layers_of(model, ids, lengths)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    paddle.enable_static()
    try:
        main, startup = paddle.static.Program(), paddle.static.Program()
        with paddle.static.program_guard(main, startup):
            tokens = paddle.static.data("tokens", shape, "int64")
            counts = paddle.static.data("lengths", shape[:1], "int64")
            twin = BiLM(CONFIG)
            twin.eval()
            layers, state = twin(tokens, counts)
            gradients = paddle.static.append_backward((layers * layers).sum())
        executor = paddle.static.Executor(paddle.CPUPlace())
        executor.run(startup)
        for name, tensor in twin.state_dict().items():
            variable = paddle.static.global_scope().find_var(tensor.name)
            variable.get_tensor().set(weights[name], paddle.CPUPlace())
        embedding_gradient = [
            gradient for parameter, gradient in gradients
            if parameter.name == twin.embedding.weight.name
        ]
        values, hidden, cell, gradient = executor.run(
            main, feed={"tokens": ids, "lengths": lengths},
            fetch_list=[layers, *state, *embedding_gradient],
        )
    finally:
        paddle.disable_static()
    valid = np.arange(12) < lengths[:, None]
    np.testing.assert_allclose(values[:, valid], expected[:, valid], atol=5e-6)
    np.testing.assert_allclose(hidden, expected_state.hidden.numpy(), atol=1e-6)
    np.testing.assert_allclose(cell, expected_state.cell.numpy(), atol=1e-6)
    assert gradient[np.unique(ids[valid])].any(axis=1).all()
