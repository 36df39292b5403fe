"""Optimisers, the learning rate of each step, and gradients that may hold single rows."""

import math
from typing import Dict, List

import paddle
from paddle.nn.clip import get_tensor_from_selected_rows, merge_selected_rows

from bilm.kernels import loading as kernels
from bilm.storage.tensors import as_float32, check_tensors, shapes_of
from bilm.training.options import TrainingOptions

# What each optimiser remembers of a parameter, under Paddle's names.
MOMENTS = {
    "adagrad": ("moment_0",),
    "sgd": (),
    "adam": ("moment1_0", "moment2_0", "beta1_pow_acc_0", "beta2_pow_acc_0"),
    "rmsprop": ("momentum_0", "mean_square_0", "mean_grad_0"),
}
# Paddle's Adam and RMSProp treat a gradient of single rows differently from a dense one.
TAKES_SPARSE_GRADIENTS = ("adagrad", "sgd")


class _Adagrad(paddle.optimizer.Adagrad):
    """Paddle's Adagrad, which updates dense parameters with the native operator where it is.

    Attributes:
        factor: Scalar tensor by which the next gradients are multiplied; None: they are as they
            should be.
    """

    factor = None

    def _append_optimize_op(self, block, param_and_grad):
        parameter, gradient = param_and_grad
        if gradient.is_selected_rows() or not kernels.is_native():
            scaled = gradient if self.factor is None else _scaled(gradient, self.factor)
            return super()._append_optimize_op(block, (parameter, scaled))
        moment = self._get_accumulator_master(self._moment_acc_str, parameter)
        rate = self.get_lr() * parameter.optimize_attr["learning_rate"]
        factor = 1.0 if self.factor is None else self.factor.item()
        kernels.adagrad(parameter, moment, gradient, factor, rate, self._epsilon)
        return None


def build_optimizer(name: str, learning_rate: float, parameters) -> paddle.optimizer.Optimizer:
    """Return one of Paddle's optimisers; Adagrad starts from LARK's accumulator of 1.

    Args:
        name: A key of MOMENTS.
        learning_rate: Its first learning rate; `set_lr` changes it later.
        parameters: What it updates.
    """
    settings = {"learning_rate": learning_rate, "parameters": parameters}
    if name == "adagrad":
        return _Adagrad(epsilon=0.0, initial_accumulator_value=1.0, **settings)
    classes = {"sgd": "SGD", "adam": "Adam", "rmsprop": "RMSProp"}
    return getattr(paddle.optimizer, classes[name])(**settings)


def learning_rate_at(step: int, options: TrainingOptions, total_steps: int) -> float:
    """Return the learning rate of the step with this number, counted from 1.

    It rises linearly over warmup_steps, then stays, or falls along a line or half a cosine
    that reaches 0 after the step decay_steps (0: after total_steps).

    Args:
        step: From 1 on.
        options: learning_rate, warmup_steps, decay and decay_steps are read.
        total_steps: Of the whole run, as far as it is known.
    """
    if step <= options.warmup_steps:
        return options.learning_rate * step / options.warmup_steps
    if options.decay == "none":
        return options.learning_rate
    last = options.decay_steps or max(total_steps, options.warmup_steps + 1)
    done = min(1.0, (step - 1 - options.warmup_steps) / (last - options.warmup_steps))
    left = 1 - done if options.decay == "linear" else (1 + math.cos(math.pi * done)) / 2
    return options.learning_rate * left


def collect_gradients(parameters) -> List[tuple]:
    """Return (parameter, gradient) pairs; rows that occur twice in a gradient are merged."""
    pairs = [(p, p.grad) for p in parameters if p.grad is not None]
    return [(p, merge_selected_rows(g) if g.is_selected_rows() else g) for p, g in pairs]


def global_norm(gradients: List[tuple]) -> paddle.Tensor:
    """Return the square root of the sum of squares of all gradients, a float64 scalar.

    Neither this nor what uses it waits for a GPU to have computed it, where gradients are dense.
    """
    squares = [_sum_of_squares(_values(gradient)) for _, gradient in gradients]
    return paddle.sqrt(paddle.add_n(squares)).reshape([])


def _sum_of_squares(values):
    if kernels.is_native():
        return kernels.sum_of_squares(values)
    values = values.astype("float32")
    return (values * values).sum().astype("float64").reshape([1])


def _values(gradient):
    return get_tensor_from_selected_rows(gradient) if gradient.is_selected_rows() else gradient


def clip_factor(norm: paddle.Tensor, max_norm: float) -> paddle.Tensor:
    """Return max_norm / max(norm, max_norm): by it gradients of this norm are multiplied.

    max_norm 0 means no clip.

    Args:
        norm: The global norm: sqrt of the sum of all gradients' squares, a scalar.
        max_norm: 0 or above.

    Returns:
        At most 1, in the shape of `norm`.
    """
    if not max_norm:
        return paddle.ones_like(norm)
    return max_norm / paddle.clip(norm, min=max_norm)


def scale_gradients(gradients: List[tuple], factor: paddle.Tensor) -> List[tuple]:
    """Return the gradients times `factor`, dense ones in place; under `paddle.no_grad()`.

    Args:
        gradients: Pairs of parameters and gradients, dense or SelectedRows.
        factor: A scalar: see `clip_factor`.
    """
    return [(parameter, _scaled(gradient, factor)) for parameter, gradient in gradients]


def _scaled(gradient, factor):
    if gradient.is_selected_rows():
        return paddle.scale(gradient, factor.item())
    return gradient.multiply_(factor.astype(gradient.dtype))


def apply_gradients(optimizer, gradients: List[tuple], factor: paddle.Tensor) -> None:
    """Update the parameters with the gradients times `factor`; under `paddle.no_grad()`.

    Args:
        optimizer: Made by `build_optimizer`.
        gradients: Pairs of parameters and gradients, which may be changed.
        factor: See `clip_factor`.
    """
    decays = any(parameter.regularizer is not None for parameter, _ in gradients)
    if decays or not isinstance(optimizer, _Adagrad):  # decay is not to be scaled
        optimizer.apply_gradients(scale_gradients(gradients, factor))
        return
    optimizer.factor = factor
    try:
        optimizer.apply_gradients(gradients)
    finally:
        optimizer.factor = None


def pack_optimizer(optimizer, name: str, parameters: Dict[str, paddle.Tensor]) -> dict:
    """Return what the optimiser remembers: arrays named `<parameter>.<moment>`.

    It must have made a step, and be the only optimiser that its parameters ever had.

    Args:
        optimizer: Made by `build_optimizer`.
        name: Its key in MOMENTS.
        parameters: Parameters by their name in the model.
    """
    # a restored memory that no step has used yet is not in Paddle 2.6's state
    state = {**optimizer._accumulators_holder, **optimizer.state_dict()}
    arrays = {}
    for parameter_name, parameter in parameters.items():
        for moment in MOMENTS[name]:
            arrays[f"{parameter_name}.{moment}"] = state[f"{parameter.name}_{moment}"].numpy()
    return arrays


def unpack_optimizer(optimizer, name: str, parameters: dict, arrays: dict, source: str) -> None:
    """Give a new optimiser the memory that `pack_optimizer` saved.

    Args:
        optimizer: Made by `build_optimizer`; it has made no step.
        name: Its key in MOMENTS.
        parameters: Parameters by their name in the model.
        arrays: What `pack_optimizer` returned.
        source: Where they come from, for messages.

    Raises:
        InputError: Arrays are missing, not known or of another shape; all are listed.
    """
    expected = {
        f"{parameter_name}.{moment}": (1,) if "pow_acc" in moment else tuple(parameter.shape)
        for parameter_name, parameter in parameters.items()
        for moment in MOMENTS[name]
    }
    check_tensors(expected, shapes_of(arrays), source)
    state = {}
    for key, array in as_float32(arrays, source).items():
        parameter_name, moment = key.rsplit(".", 1)
        state[f"{parameters[parameter_name].name}_{moment}"] = paddle.to_tensor(array)
    optimizer.set_state_dict(state)
