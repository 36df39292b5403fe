"""The same as the native operators compute, made of Paddle's own operators.

The functions are those of `bilm.kernels.operators`, where they are described.
"""

from functools import partial
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm import paddle_compat
from bilm.kernels.arguments import Candidates, LSTMWeights
from bilm.kernels.fused_loss import FusedLoss
from bilm.kernels.rows import reverse_rows
from bilm.paddle_compat import as_tensor

# Logits that exist at once, in several buffers of 64 MB.
MAX_LOGITS = 1 << 24


def projected_lstm(
    weights: Sequence[LSTMWeights],
    inputs: paddle.Tensor,
    hidden: paddle.Tensor,
    cell: paddle.Tensor,
    lengths: Optional[paddle.Tensor],
    cell_clip: float,
    projection_clip: float,
) -> Tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Run one layer in each direction, step by step."""
    recurrences = _recurrences(weights, cell_clip, projection_clip)
    outputs, *state = _run_each(recurrences, paddle.unstack(inputs), hidden, cell, lengths)
    return (paddle.stack(outputs), *state)


def projected_lstm_over_text(
    weights: Sequence[LSTMWeights],
    inputs: paddle.Tensor,
    hidden: paddle.Tensor,
    cell: paddle.Tensor,
    lengths: Optional[paddle.Tensor],
    cell_clip: float,
    projection_clip: float,
) -> Tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Run one layer in each direction, step by step, the second over reversed rows."""
    recurrences = _recurrences(weights, cell_clip, projection_clip)
    read = _second_reversed(paddle.unstack(inputs, axis=2), lengths)
    outputs, *state = _run_each(recurrences, read, hidden, cell, lengths)
    return (paddle.stack(_second_reversed(outputs, lengths), axis=2), *state)


def _second_reversed(directions, lengths):
    first, *second = directions
    return [first, *(reverse_rows(values, lengths) for values in second)]


class _Recurrence(NamedTuple):
    """One direction of a layer."""

    weights: LSTMWeights
    projection_size: int
    cell_size: int
    cell_clip: float
    projection_clip: float

    def step(self, step_gates, hidden, cell):
        """Return the next hidden (batch, projection) and cell (batch, cell).

        step_gates (batch, 4 * cell) is the input's part of the gates, before their nonlinearities.
        """
        gates = step_gates + paddle.matmul(hidden, self.weights.recurrent_weight)
        size = self.cell_size  # blocks: c, i, f, o
        candidate = paddle.tanh(gates[:, :size])
        input_gate, forget_gate, output_gate = paddle.split(F.sigmoid(gates[:, size:]), 3, axis=-1)
        cell = _clip(forget_gate * cell + input_gate * candidate, self.cell_clip)
        hidden = paddle.matmul(output_gate * paddle.tanh(cell), self.weights.projection_weight)
        return _clip(hidden, self.projection_clip), cell


def _recurrences(weights, cell_clip, projection_clip):
    cell_size, projection_size = weights[0].projection_weight.shape
    return [_Recurrence(own, projection_size, cell_size, cell_clip, projection_clip)
            for own in weights]


def _clip(values, limit):
    return paddle.clip(values, -limit, limit) if limit else values


def _run_each(recurrences, inputs, hidden, cell, lengths):
    """Return a list of outputs, one for each direction, and the last hidden and cell of all."""
    results = [
        _run_steps(recurrence, rows, before, cell_before, lengths)
        for recurrence, rows, before, cell_before in zip(
            recurrences, inputs, paddle.unstack(hidden), paddle.unstack(cell)
        )
    ]
    outputs, hidden, cell = zip(*results)
    return outputs, paddle.stack(hidden), paddle.stack(cell)


def _run_steps(recurrence, inputs, hidden, cell, lengths):
    """Return the outputs (batch, steps, projection) of one direction and its last state."""
    # (batch, steps, input) @ (input, 4 * cell): the input's part of all gates at once
    gate_inputs = paddle.matmul(inputs, recurrence.weights.input_weight) + recurrence.weights.bias
    if gate_inputs.shape[1] is None or gate_inputs.shape[1] < 0:
        # A static program whose number of steps is known only when it runs needs a while loop.
        loop = nn.RNN(_StepCell(recurrence))
        outputs, state = loop(gate_inputs, (hidden, cell), lengths)
        return (outputs, *state)
    outputs, state = [], (hidden, cell)
    for step, step_gates in enumerate(paddle.unstack(gate_inputs, axis=1)):
        new_state = recurrence.step(step_gates, *state)
        outputs.append(new_state[0])
        if lengths is not None:
            running = (lengths > step).unsqueeze(-1)
            new_state = [paddle.where(running, new, old) for new, old in zip(new_state, state)]
        state = new_state
    return (paddle.stack(outputs, axis=1), *state)


class _StepCell(nn.RNNCellBase):
    def __init__(self, recurrence):
        super().__init__()
        # not by nn.Layer's own way: the parameters belong to another layer
        object.__setattr__(self, "_recurrence", recurrence)

    def forward(self, inputs, states):
        # Tensors read inside a loop have lost their sizes in Paddle 3.
        hidden = states[0].reshape([-1, self._recurrence.projection_size])
        cell = states[1].reshape([-1, self._recurrence.cell_size])
        hidden, cell = self._recurrence.step(inputs, hidden, cell)
        return hidden, (hidden, cell)


def softmax_nats(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    max_logits: int = 0,
) -> paddle.Tensor:
    """Return the cross entropy of each token in nats, chunk by chunk."""
    return paddle.concat([
        _nats_and_softmax(_logits(hidden[rows], weight, bias), targets[rows])[0]
        for rows in _chunks(hidden.shape[0], weight.shape[0], max_logits)
    ])


def softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    token_weights: paddle.Tensor,
    max_logits: int = 0,
) -> paddle.Tensor:
    """Return the weighted sum of the cross entropies, with a gradient, chunk by chunk."""
    compute = partial(
        _softmax_loss, targets=targets, token_weights=token_weights, max_logits=max_logits
    )
    return FusedLoss.apply(compute, hidden, weight, bias)


def _softmax_loss(hidden, weight, bias, targets, token_weights, max_logits):
    """Return the loss, and the gradients of hidden, weight and bias."""
    loss = paddle.zeros([], dtype="float64")
    hidden_gradients = []
    weight_gradient, bias_gradient = paddle.zeros_like(weight), paddle.zeros_like(bias)
    for rows in _chunks(hidden.shape[0], weight.shape[0], max_logits):
        logits = _logits(hidden[rows], weight, bias)
        nats, probabilities = _nats_and_softmax(logits, targets[rows])
        weights = token_weights[rows]
        loss += (nats.astype("float64") * weights.astype("float64")).sum()
        # d loss / d logits = token weight * (softmax - one hot)
        gradient = paddle.put_along_axis(
            probabilities, targets[rows].unsqueeze(1), paddle.full([1, 1], -1.0), 1, "add"
        )
        gradient *= weights.unsqueeze(1)
        hidden_gradients.append(paddle.matmul(gradient, weight))
        weight_gradient += paddle.matmul(gradient, hidden[rows], transpose_x=True)
        bias_gradient += gradient.sum(axis=0)
    return loss.astype(hidden.dtype), [
        paddle.concat(hidden_gradients), weight_gradient, bias_gradient
    ]


def _chunks(num_tokens, num_classes, max_logits):
    step = max(1, (max_logits or MAX_LOGITS) // num_classes)
    for start in range(0, num_tokens, step):
        yield slice(start, start + step)


def _logits(hidden, weight, bias):
    # (tokens, projection) x (classes, projection) -> (tokens, classes)
    return paddle.matmul(hidden, weight, transpose_y=True) + bias


def _nats_and_softmax(logits, targets):
    # Paddle's own cross entropy never exceeds 64 nats on the CPU, so only the largest logit,
    # whose probability is at least 1 / classes, is taken from its softmax.
    probabilities = F.softmax(logits)
    log_total = logits.max(axis=1) - paddle.log(probabilities.max(axis=1))
    return log_total - _pick(logits, targets), probabilities


def _pick(logits, classes):
    return paddle.take_along_axis(logits, classes.unsqueeze(1), axis=1).squeeze(1)


def sampled_softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    candidates: Candidates,
    token_weights: paddle.Tensor,
    sparse: bool,
) -> paddle.Tensor:
    """Return the weighted sum of estimated cross entropies, with a gradient."""
    nats = sampled_softmax_nats(hidden, targets, weight, bias, candidates, sparse)
    return (nats * token_weights).sum()


def sampled_softmax_nats(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    candidates: Candidates,
    sparse: bool = False,
) -> paddle.Tensor:
    """Return an estimate of the cross entropy of each token, shape (tokens,), with a gradient.

    The arguments are those of `bilm.kernels.operators.sampled_softmax_loss`.
    """
    ids = as_tensor(candidates.ids)
    biases = paddle.gather(bias, ids) - _log_tensor(candidates.expected_counts)
    rows = F.embedding(ids, weight, sparse=sparse)
    scores = paddle.matmul(hidden, rows, transpose_y=True) + biases  # (tokens, candidates)
    target_rows = F.embedding(targets, weight, sparse=sparse)  # (tokens, projection)
    target_scores = (hidden * target_rows).sum(axis=1) + paddle.gather(bias, targets)
    target_scores = target_scores - _log_tensor(candidates.target_expected_counts)
    # A target that is no candidate joins the sum. One that is a candidate stands in it already: its
    # second score falls so low that exp makes it 0; infinity would make the gradient NaN.
    is_candidate = candidates.target_places >= 0
    lowered = as_tensor(np.where(is_candidate, -1e30, 0.0).astype(np.float32))
    total = paddle.logaddexp(_log_sum_exp(scores), target_scores + lowered)
    return total - target_scores


def _log_sum_exp(scores):
    # The cross entropy of a class is log(sum(exp)) less its score, and on the CPU it takes a
    # third of the time of paddle.logsumexp and its gradient. Of the best class it is small:
    # Paddle's never exceeds 64 nats.
    best = scores.detach().argmax(axis=1)
    return F.cross_entropy(scores, best, reduction="none") + _pick(scores, best)


def _log_tensor(values):
    return as_tensor(np.log(values).astype(np.float32))


def dropout(values: paddle.Tensor, rate: float) -> paddle.Tensor:
    """Return Paddle's dropout."""
    return F.dropout(values, rate)


def sum_of_squares(values: paddle.Tensor) -> paddle.Tensor:
    """Return the sum of squares, summed in float32."""
    values = values.astype("float32")
    return (values * values).sum().astype("float64").reshape([1])


def adagrad(
    parameter: paddle.Tensor,
    moment: paddle.Tensor,
    gradient: paddle.Tensor,
    factor: paddle.Tensor,
    rate: float,
    epsilon: float,
) -> None:
    """Update a parameter and its moment in place; a dense gradient is changed, too."""
    paddle_compat.adagrad(parameter, moment, scaled(gradient, factor), rate, epsilon)


def scaled(gradient: paddle.Tensor, factor: paddle.Tensor) -> paddle.Tensor:
    """Return a gradient times a scalar: a dense one in place, one of single rows as a new one."""
    if gradient.is_selected_rows():
        return paddle.scale(gradient, factor.item())
    return gradient.multiply_(factor.astype(gradient.dtype))
