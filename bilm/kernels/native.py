"""Calls of the native operators, which `operators.cc` defines and `core/` computes.

The functions are those of `bilm.kernels.operators`, where they are described.
"""

from functools import partial

import numpy as np
import paddle
from paddle.nn import functional as F

from bilm.kernels.arguments import Candidates
from bilm.kernels.fused_loss import FusedLoss
from bilm.paddle_compat import as_tensor, builds_pir, run_custom_operator

# Logits that exist at once, in one buffer of 256 MB; the operator is slow with those of few tokens.
MAX_LOGITS = 1 << 26


def _projected_lstm(
    weights, inputs, hidden, cell, lengths, cell_clip, projection_clip, *, in_text_order
):
    """Run one layer in each direction; see core/projected_lstm.h."""
    lengths = None if lengths is None else lengths.astype("int64")
    named = {"Inputs": inputs, "Hidden": hidden, "Cell": cell, "Lengths": lengths}
    names = ("InputWeight", "RecurrentWeight", "Bias", "ProjectionWeight")
    for direction, tensors in enumerate(weights):
        named.update((f"{name}{direction}", tensor) for name, tensor in zip(names, tensors))
    needs_trace = any(not tensor.stop_gradient for tensor in named.values() if tensor is not None)
    if paddle.in_dynamic_mode():
        needs_trace = needs_trace and paddle.is_grad_enabled()
    elif needs_trace and not builds_pir():  # Paddle 2.6 knows no shapes if some have no gradient
        named.update((key, _with_gradient(named[key])) for key in ("Inputs", "Hidden", "Cell"))
    attributes = {
        "cell_clip": float(cell_clip),
        "projection_clip": float(projection_clip),
        "in_text_order": in_text_order,
        "has_trace": needs_trace,
    }
    operator = "bilm_projected_lstm" if len(weights) == 1 else "bilm_projected_lstm_pair"
    outputs = ("Outputs", "LastHidden", "LastCell", "Gates", "Cells")
    return tuple(_run(operator, named, attributes, outputs)[:3])


projected_lstm = partial(_projected_lstm, in_text_order=False)
projected_lstm_over_text = partial(_projected_lstm, in_text_order=True)


def _with_gradient(tensor):
    if tensor.stop_gradient:
        tensor = paddle.assign(tensor)
        tensor.stop_gradient = False
    return tensor


class _NativeLoss(FusedLoss):
    @staticmethod
    def backward(ctx, upstream):
        if upstream.item() == 1:  # nearly always, which saves a pass over large gradients
            gradients, ctx.gradients = ctx.gradients, None
            return tuple(gradients)
        return FusedLoss.backward(ctx, upstream)


def softmax_nats(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    max_logits: int = 0,
) -> paddle.Tensor:
    """Return the cross entropy of each token in nats.

    max_logits is ignored: no logits are kept.
    """
    named = {"Hidden": hidden, "Weight": weight, "Bias": bias, "Targets": targets}
    return _run("bilm_softmax_nats", named, {}, ("Nats",))[0]


def softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    token_weights: paddle.Tensor,
    max_logits: int = 0,
) -> paddle.Tensor:
    """Return the weighted sum of the cross entropies, with a gradient."""
    compute = partial(
        _softmax_loss, targets=targets, token_weights=token_weights, max_logits=max_logits
    )
    return _NativeLoss.apply(compute, hidden, weight, bias)


def sampled_softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    candidates: Candidates,
    token_weights: paddle.Tensor,
    sparse: bool,
) -> paddle.Tensor:
    """Return the weighted sum of estimated cross entropies, with a gradient.

    The candidates are the classes of a full softmax. A target that is none of them is one more
    class of its token alone.
    """
    rows, biases = _rows_of(candidates.ids, candidates.expected_counts, weight, bias, sparse)
    extra = paddle.zeros([hidden.shape[0]])
    absent = np.flatnonzero(candidates.target_places < 0)
    if len(absent):
        target_rows, target_biases = _rows_of(
            targets.numpy()[absent], candidates.target_expected_counts[absent], weight, bias, sparse
        )
        places = as_tensor(absent)
        scores = (paddle.gather(hidden, places) * target_rows).sum(axis=1) + target_biases
        extra = paddle.scatter(extra, places, scores)
    compute = partial(
        _softmax_loss, targets=as_tensor(candidates.target_places), token_weights=token_weights
    )
    return _NativeLoss.apply(compute, hidden, rows, biases, extra)


def _rows_of(ids, expected_counts, weight, bias, sparse):
    """Return the weights (ids, projection) of classes, and their biases corrected for sampling."""
    ids = as_tensor(ids)
    corrections = as_tensor(np.log(expected_counts).astype(np.float32))
    return F.embedding(ids, weight, sparse=sparse), paddle.gather(bias, ids) - corrections


def _softmax_loss(hidden, weight, bias, extra=None, *, targets, token_weights, max_logits=0):
    """Return sum_t token_weights_t * nats_t and the gradients of the tensors before `targets`.

    Args:
        hidden: Shape (tokens, projection), float32.
        weight: Shape (classes, projection), float32.
        bias: Shape (classes,), float32.
        extra: Shape (tokens,), float32: one more logit, of each token alone; None: there is none.
        targets: Shape (tokens,), int64; -1: the token's logit in `extra`.
        token_weights: Shape (tokens,), float32.
        max_logits: Maximum number of logits in memory; at least those of one token.
    """
    named = {"Hidden": hidden, "Weight": weight, "Bias": bias, "Targets": targets,
             "TokenWeights": token_weights, "Extra": extra}
    outputs = ("Nats", "HiddenGradient", "WeightGradient", "BiasGradient", "ExtraGradient")
    attributes = {"max_logits": max_logits or MAX_LOGITS}
    nats, *gradients = _run("bilm_softmax_loss", named, attributes, outputs)
    loss = (nats.astype("float64") * token_weights.astype("float64")).sum().astype("float32")
    return loss, gradients if extra is not None else gradients[:3]


def dropout(values: paddle.Tensor, rate: float) -> paddle.Tensor:
    """Return values / (1 - rate) with zeros, by a generator seeded from Paddle's."""
    seed = paddle.randint(0, 2**31 - 1, [1]).item()
    attributes = {"rate": float(rate), "seed": seed}
    return _run("bilm_dropout", {"Values": values}, attributes, ("Dropped",))[0]


def sum_of_squares(values: paddle.Tensor) -> paddle.Tensor:
    """Return the sum of squares, summed in float64."""
    return _run("bilm_sum_of_squares", {"Values": values}, {}, ("Total",))[0]


def adagrad(
    parameter: paddle.Tensor,
    moment: paddle.Tensor,
    gradient: paddle.Tensor,
    factor: paddle.Tensor,
    rate: float,
    epsilon: float,
) -> None:
    """Update a parameter and its moment in place, in one pass; see core/adagrad.h."""
    parameter = parameter.detach()  # shares its values, and may be changed in place
    named = {"Parameter": parameter, "Moment": moment, "Gradient": gradient}
    attributes = {"scale": factor.item(), "rate": float(rate), "epsilon": float(epsilon)}
    _run("bilm_adagrad", named, attributes, ("ParameterOut", "MomentOut"))


def _run(name, inputs, attributes, outputs):
    if paddle.in_dynamic_mode() and not paddle.is_grad_enabled():
        # Paddle makes its own operators' results constants; those of custom ones it does not
        inputs = {key: value if value is None else value.detach() for key, value in inputs.items()}
    return run_custom_operator(name, inputs, attributes, outputs, optional=("Lengths", "Extra"))
