"""The model and its training against values recorded from the original LARK."""

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig
from bilm.network.losses import full_softmax_nats
from bilm.network.lstm import LSTMState
from bilm.storage.tensors import set_weights, weights_of
from bilm.text.corpus import Batch
from bilm.training.optimizer import pack_optimizer
from bilm.training.options import TrainingOptions
from bilm.training.trainer import Trainer, TrainingBatch
from tests.reference import lark, numpy_bilm
from tests.reference.gradients import dense_gradient

CONFIG = BiLMConfig(vocab_size=37, projection_size=8, cell_size=14, dropout=0.0)


@pytest.fixture(scope="module")
def golden():
    return lark.golden()


def model_of(checkpoint):
    model = BiLM(CONFIG)
    set_weights(model, lark.weights(checkpoint), checkpoint)
    return model


def largest_relative(actual, expected):
    return np.max(np.abs(actual - expected) / np.maximum(1, np.abs(expected)))


class OneStream:
    """Stands for a corpus: the trainer is fed LARK's batches by hand."""

    shards = ()
    vocabulary = None


def lark_trainer(golden):
    batch, steps = golden["train/ids"].shape[2:]
    options = TrainingOptions(
        train_path="-", batch_size=batch, num_steps=steps, dropout=0.0, optim="adagrad",
        learning_rate=0.2, max_grad_norm=10.0, state_reset_rate=0.0,
    )
    return Trainer(model_of("checkpoint_init"), OneStream(), options, total_steps=6)


def lark_batch(streams):
    x, y, x_reverse, y_reverse = streams
    batch = Batch(np.stack([x, x_reverse]), np.stack([y, y_reverse]), None, x.size, None)
    ids = [(batch.inputs, batch.targets)]
    return TrainingBatch(batch, ids, [[None, None]], np.unique(batch.inputs), [])


@pytest.fixture(scope="module")
def trained(golden):
    """LARK's six steps: the trainer, the losses, and the state after each step."""
    trainer, losses, states = lark_trainer(golden), [], []
    for streams in golden["train/ids"]:
        result = trainer.train_step(lark_batch(streams))
        losses.append(result.nats.item() / result.predictions)
        states.append(trainer.lstm_state())
    return trainer, np.array(losses), states


@pytest.mark.smoke
def test_training_losses_are_larks(golden, trained):
    _, losses, _ = trained
    np.testing.assert_allclose(losses, golden["train/loss"], rtol=2e-6)


@pytest.mark.smoke
def test_the_loss_of_the_first_step_is_larks(golden, trained):
    np.testing.assert_allclose(trained[1][:1], golden["step0_eval/final_loss"], rtol=2e-6)


@pytest.mark.smoke
def test_final_states_are_larks(golden, trained):
    for step, state in enumerate(trained[2]):
        for ours, theirs in zip(state, (f"train/last_hidden_{step}", f"train/last_cell_{step}")):
            expected = golden[theirs]
            actual = ours.numpy().reshape(expected.shape)
            np.testing.assert_allclose(actual, expected, atol=1e-5, rtol=0)


@pytest.mark.smoke
def test_final_weights_are_larks(trained):
    actual, expected = weights_of(trained[0].model), lark.weights("checkpoint_trained")
    assert set(actual) == set(expected)
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], atol=1e-5, rtol=0, err_msg=name)


def test_adagrad_moments_are_larks(trained):
    trainer = trained[0]
    moments = pack_optimizer(trainer._optimizer, "adagrad", trainer._parameters)
    variables = numpy_bilm.read_lark_folder(lark.FOLDER / "checkpoint_trained")
    for ours, theirs in lark.names().items():
        expected = variables[f"{theirs}_moment_0"]
        actual = moments[f"{ours}.moment_0"].reshape(expected.shape)
        assert largest_relative(actual, expected) < 1e-5, ours


@pytest.mark.smoke
@pytest.mark.parametrize("direction, suffix", [(0, ""), (1, "_r")])
def test_all_intermediate_values_of_a_step_are_larks(golden, direction, suffix):
    values = {name: golden[f"step0_eval/{name}{suffix}"] for name in (
        "x", "y", "x_emb", "xproj", "xproj2", "rnn_out", "rnn_out2", "proj", "loss")}
    batch, steps = golden["train/ids"].shape[2:]
    model = model_of("checkpoint_init")
    model.eval()
    ids = paddle.to_tensor(values["x"].reshape(batch, steps))
    layers, _ = model.run_direction(direction, ids)
    stack = (model.forward_layers, model.backward_layers)[direction]
    flat = [layer.reshape([batch * steps, -1]) for layer in layers]
    logits = paddle.matmul(flat[2], model.softmax.weight, transpose_y=True) + model.softmax.bias

    targets = paddle.to_tensor(values["y"].reshape(-1))
    nats = full_softmax_nats(flat[2], targets, model.softmax.weight, model.softmax.bias)
    actual = {
        "x_emb": flat[0],
        "xproj": paddle.matmul(flat[0], stack[0].input_weight),
        "xproj2": paddle.matmul(flat[1], stack[1].input_weight),
        "rnn_out": flat[1],
        "rnn_out2": flat[2],
        "proj": logits,
        "loss": nats.reshape([-1, 1]),
    }
    for name, tensor in actual.items():
        np.testing.assert_allclose(tensor.numpy(), values[name], atol=1e-5, rtol=0, err_msg=name)


@pytest.mark.smoke
@pytest.mark.parametrize("direction, suffix", [(0, ""), (1, "_r")])
def test_cells_of_a_step_are_larks(golden, direction, suffix):
    """Cells are seen as final states, so the window grows a step at a time."""
    batch, steps = golden["train/ids"].shape[2:]
    model = model_of("checkpoint_init")
    model.eval()
    ids = golden[f"step0_eval/x{suffix}"].reshape(batch, steps)
    for step in range(steps):
        _, state = model.run_direction(direction, paddle.to_tensor(ids[:, : step + 1]))
        for layer, name in enumerate(("cell", "cell2")):
            expected = golden[f"step0_eval/{name}{suffix}"].reshape(batch, steps, -1)[:, step]
            np.testing.assert_allclose(state.cell[layer].numpy(), expected, atol=1e-5, rtol=0)


def test_one_step_equals_the_numpy_reference(golden):
    """States that are not zero, clips that bite: loss and every gradient."""
    random = np.random.default_rng(3)
    batch, steps = golden["train/ids"].shape[2:]
    hidden = random.normal(size=(4, batch, 8)).astype(np.float32)
    cell = random.normal(size=(4, batch, 14), scale=2).astype(np.float32)
    streams = golden["train/ids"][2]
    trainer = lark_trainer(golden)
    trainer._states = [
        LSTMState(*(paddle.to_tensor(part.reshape([2, 2, batch, -1])) for part in (hidden, cell)))
    ]
    loss = trainer._backward(lark_batch(streams), 0, slice(None))
    variables = numpy_bilm.read_lark_folder(lark.FOLDER / "checkpoint_init")
    expected = numpy_bilm.language_model_step(variables, streams, hidden, cell)
    np.testing.assert_allclose(loss.item() / steps, expected.loss, rtol=2e-6)
    for ours, theirs in lark.names().items():
        dense = dense_gradient(trainer._parameters[ours])
        wanted = expected.gradients[theirs] * steps
        assert largest_relative(dense.reshape(wanted.shape), wanted) < 1e-5, ours
