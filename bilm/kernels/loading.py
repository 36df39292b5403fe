"""Which operators compute, and the calls of the native ones."""

import logging
import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Iterator, Optional

import paddle
from paddle.utils.cpp_extension import load_op_meta_info_and_register_op

from bilm.errors import InputError
from bilm.kernels.build import CannotBuildError, build

CHOICES = ("auto", "native", "paddle")

_log = logging.getLogger("bilm")
# the choice of the innermost `using` block that is open in this context
_forced: ContextVar[Optional[str]] = ContextVar("operators", default=None)
_is_loaded: Optional[bool] = None  # None: not tried yet


def choice() -> str:
    """Return which operators are asked for, one of CHOICES; see `bilm.kernels`.

    Raises:
        InputError: BILM_KERNEL is none of them.
    """
    found = _forced.get() or os.environ.get("BILM_KERNEL") or "auto"
    if found not in CHOICES:
        raise InputError(f"BILM_KERNEL must be one of {', '.join(CHOICES)}, not {found!r}")
    return found


@contextmanager
def using(operators: str) -> Iterator[None]:
    """Take these operators in this block and context, whatever BILM_KERNEL says.

    Args:
        operators: One of CHOICES.

    Raises:
        ValueError: It is none of them.
    """
    if operators not in CHOICES:
        raise ValueError(f"operators must be one of {', '.join(CHOICES)}, not {operators!r}")
    before = _forced.set(operators)
    try:
        yield
    finally:
        _forced.reset(before)


def is_native() -> bool:
    """Return whether the native operators compute here and now; load or compile them if so.

    Raises:
        InputError: They are asked for by `native` and cannot be had.
    """
    wanted = choice()
    if wanted == "paddle":
        return False
    if wanted == "auto" and not paddle.in_dynamic_mode():
        return False
    if paddle.device.get_device() != "cpu":
        return False
    return _load(must=wanted == "native")


def _load(must: bool) -> bool:
    global _is_loaded
    if _is_loaded is None or (must and not _is_loaded):
        try:
            library = build(_log.warning)
            try:
                load_op_meta_info_and_register_op(str(library))
            except (OSError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[0]
                raise CannotBuildError(
                    f"{library} cannot be loaded (`python -m bilm.kernels build --again` compiles "
                    f"it anew): {reason}"
                ) from None
            _is_loaded = True
        except CannotBuildError as error:
            _is_loaded = False
            if must:
                raise InputError(f"BILM_KERNEL=native: {error}") from None
            _log.warning("computing with Paddle's own operators, which takes several times as "
                         "long: %s (BILM_KERNEL=paddle says that this is meant)", error)
    return _is_loaded


def projected_lstm(
    inputs, hidden, cell, lengths, weights, cell_clip, projection_clip, in_text_order=False
):
    """Run one layer in each direction; see core/projected_lstm.h.

    Args:
        inputs: Shape (directions, batch, steps, features), one direction or two.
        hidden: Shape (directions, batch, projection).
        cell: Shape (directions, batch, cell).
        lengths: int64, shape (batch,), or None.
        weights: For each direction input_weight, recurrent_weight, bias and projection_weight.
        cell_clip: 0 means no clip.
        projection_clip: 0 means no clip.
        in_text_order: Whether inputs and outputs are (batch, steps, directions, features), and
            the second direction reads from the end of each row.

    Returns:
        Outputs in the axes of the inputs, last hidden and last cell.
    """
    name = "bilm_projected_lstm" if len(weights) == 4 else "bilm_projected_lstm_pair"
    names = ("InputWeight", "RecurrentWeight", "Bias", "ProjectionWeight")
    named = {"Inputs": inputs, "Hidden": hidden, "Cell": cell, "Lengths": lengths}
    for number, weight in enumerate(weights):
        named[f"{names[number % 4]}{number // 4}"] = weight
    needs_trace = any(not tensor.stop_gradient for tensor in named.values() if tensor is not None)
    if paddle.in_dynamic_mode():
        needs_trace = needs_trace and paddle.is_grad_enabled()
    attributes = {
        "cell_clip": float(cell_clip),
        "projection_clip": float(projection_clip),
        "in_text_order": in_text_order,
        "has_trace": needs_trace,
    }
    outputs = ("Outputs", "LastHidden", "LastCell", "Gates", "Cells")
    return _run(name, named, attributes, outputs)[:3]


def softmax_nats(hidden, weight, bias, targets):
    """Return the cross entropy of each token in nats, without a gradient; see core/softmax.h.

    Args:
        hidden: Shape (tokens, projection), float32.
        weight: Shape (classes, projection), float32.
        bias: Shape (classes,), float32.
        targets: Shape (tokens,), int64, each at least 0 and below the number of classes.

    Returns:
        Shape (tokens,).
    """
    named = {"Hidden": hidden, "Weight": weight, "Bias": bias, "Targets": targets}
    return _run("bilm_softmax_nats", named, {}, ("Nats",))[0]


def softmax_loss(hidden, weight, bias, targets, token_weights, extra, max_logits):
    """Return nats (tokens,) and the gradients of hidden, weight, bias and extra.

    They are those of the sum of token_weights * nats; see core/softmax.h. Without `extra` (None)
    no target may be -1, and the last gradient means nothing.

    Args:
        hidden: Shape (tokens, projection), float32.
        weight: Shape (classes, projection), float32.
        bias: Shape (classes,), float32.
        targets: Shape (tokens,), int64; -1: the token's own logit in `extra`.
        token_weights: Shape (tokens,), float32; 0 leaves a token out.
        extra: Shape (tokens,), float32, or None: one more logit, of those tokens only.
        max_logits: So many exist at once, but at least those of one token.

    Returns:
        Shape (tokens,), and gradients in the shapes of what they belong to.
    """
    named = {"Hidden": hidden, "Weight": weight, "Bias": bias, "Targets": targets,
             "TokenWeights": token_weights, "Extra": extra}
    outputs = ("Nats", "HiddenGradient", "WeightGradient", "BiasGradient", "ExtraGradient")
    return _run("bilm_softmax_loss", named, {"max_logits": max_logits}, outputs)


def dropout(values, rate):
    """Return values / (1 - rate), with each place 0 with probability `rate`.

    The places depend on Paddle's random state, as those of `paddle.nn.functional.dropout` do.
    """
    seed = paddle.randint(0, 2**31 - 1, [1]).item()
    return _run("bilm_dropout", {"Values": values}, {"rate": float(rate), "seed": seed},
                ("Dropped",))[0]


def sum_of_squares(values):
    """Return the sum of the squares of a tensor's values, float64, shape (1,)."""
    return _run("bilm_sum_of_squares", {"Values": values}, {}, ("Total",))[0]


def adagrad(parameter, moment, gradient, scale, rate, epsilon):
    """Update a parameter and its moment in place; see core/adagrad.h.

        g = scale * gradient;  moment += g^2;  parameter -= rate * g / (sqrt(moment) + epsilon)

    Args:
        parameter: float32, any shape.
        moment: In its shape.
        gradient: In its shape; it is not changed.
        scale: Such as what `clip_factor` gives.
        rate: The learning rate.
        epsilon: 0 in LARK, where moments start above 0.
    """
    parameter = parameter.detach()  # shares its values, and may be changed in place
    named = {"Parameter": parameter, "Moment": moment, "Gradient": gradient}
    attributes = {"scale": float(scale), "rate": float(rate), "epsilon": float(epsilon)}
    _run("bilm_adagrad", named, attributes, ("ParameterOut", "MomentOut"))


def _run(name, inputs, attributes, outputs):
    """Call an operator as the interface that Paddle generates for custom operators does."""
    if paddle.in_dynamic_mode() and not paddle.is_grad_enabled():
        # Paddle makes its own operators' results constants; those of custom ones it does not
        inputs = {key: value if value is None else value.detach() for key, value in inputs.items()}
    if paddle.in_dynamic_mode() or _builds_pir():
        # Paddle 3 and Paddle 2.6 have it in different places
        modules = paddle._C_ops, paddle.base.core.eager
        home = next(module for module in modules if hasattr(module, "_run_custom_op"))
        return home._run_custom_op(name, *inputs.values(), *attributes.values())
    from paddle.base.layer_helper import LayerHelper

    helper = LayerHelper(name)
    results = {output: helper.create_variable(dtype="float32") for output in outputs}
    given = {key: value for key, value in inputs.items() if value is not None}
    if attributes.get("has_trace"):  # Paddle 2.6 knows no shapes if only some have a gradient
        for key in ("Inputs", "Hidden", "Cell"):
            if given[key].stop_gradient:
                given[key] = paddle.assign(given[key])
                given[key].stop_gradient = False
    keys = {key + ("@OPTIONAL" if key == "Lengths" else ""): given[key] for key in given}
    helper.append_op(type=name, inputs=keys, outputs=results, attrs=attributes)
    return [results[output] for output in outputs]


def _builds_pir() -> bool:
    in_pir = getattr(paddle.framework, "in_pir_mode", None)
    return bool(in_pir and in_pir())
