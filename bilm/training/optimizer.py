"""Optimisers, the learning rate of each step, and gradients that may hold single rows."""

import math
from typing import Dict, Iterable, List, Sequence, Tuple

import numpy as np
import paddle
from paddle.nn.clip import get_tensor_from_selected_rows, merge_selected_rows

from bilm.kernels import operators
from bilm.kernels.with_paddle import scaled
from bilm.paddle_compat import adagrad_moments, as_tensor, learning_rate_factor, optimizer_state
from bilm.storage.tensors import as_float32, check_tensors, shapes_of
from bilm.training.options import TrainingOptions

# A parameter and its gradient, dense or of single rows (SelectedRows).
Gradient = Tuple[paddle.Tensor, paddle.Tensor]

# The moments that each optimiser keeps of a parameter, under Paddle's names.
MOMENTS = {
    "adagrad": ("moment_0",),
    "sgd": (),
    "adam": ("moment1_0", "moment2_0", "beta1_pow_acc_0", "beta2_pow_acc_0"),
    "rmsprop": ("momentum_0", "mean_square_0", "mean_grad_0"),
}
# Paddle's Adam and RMSProp treat a gradient of single rows differently from a dense one.
TAKES_SPARSE_GRADIENTS = ("adagrad", "sgd")
_ADAGRAD_EPSILON = 0.0  # LARK's; moments start at 1


def build_optimizer(
    name: str, learning_rate: float, parameters: Sequence[paddle.Tensor]
) -> paddle.optimizer.Optimizer:
    """Return one of Paddle's optimisers; Adagrad starts from LARK's accumulator of 1.

    Args:
        name: A key of MOMENTS.
        learning_rate: The first learning rate; `set_lr` changes it later.
        parameters: They get no other optimiser.
    """
    settings = {"learning_rate": learning_rate, "parameters": parameters}
    if name == "adagrad":
        return paddle.optimizer.Adagrad(
            epsilon=_ADAGRAD_EPSILON, initial_accumulator_value=1.0, **settings
        )
    classes = {"sgd": "SGD", "adam": "Adam", "rmsprop": "RMSProp"}
    return getattr(paddle.optimizer, classes[name])(**settings)


def learning_rate_at(step: int, options: TrainingOptions, total_steps: int) -> float:
    """Return the learning rate of the step with this number, counted from 1.

    It rises linearly over warmup_steps, then stays, or falls along a line or half a cosine
    that reaches 0 after the step decay_steps (0: after total_steps).

    Args:
        step: From 1 on.
        options: Only learning_rate, warmup_steps, decay and decay_steps are read.
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


def collect_gradients(parameters: Iterable[paddle.Tensor]) -> List[Gradient]:
    """Return the gradients of parameters that have one; rows that occur twice are merged."""
    pairs = [(p, p.grad) for p in parameters if p.grad is not None]
    return [(p, merge_selected_rows(g) if g.is_selected_rows() else g) for p, g in pairs]


def global_norm(gradients: List[Gradient]) -> paddle.Tensor:
    """Return the square root of the sum of squares of all gradients, a float64 scalar.

    With dense gradients neither this function nor its callers wait for a GPU.
    """
    squares = [operators.sum_of_squares(_values(gradient)) for _, gradient in gradients]
    return paddle.sqrt(paddle.add_n(squares)).reshape([])


def _values(gradient):
    return get_tensor_from_selected_rows(gradient) if gradient.is_selected_rows() else gradient


def clip_factor(norm: paddle.Tensor, max_norm: float) -> paddle.Tensor:
    """Return the factor that clips gradients of this norm: max_norm / max(norm, max_norm).

    Args:
        norm: The global norm: sqrt of the sum of all gradients' squares, a scalar.
        max_norm: 0 means no clip, a factor of 1.

    Returns:
        At most 1, in the shape of `norm`.
    """
    if not max_norm:
        return paddle.ones_like(norm)
    return max_norm / paddle.clip(norm, min=max_norm)


def scale_gradients(gradients: List[Gradient], factor: paddle.Tensor) -> List[Gradient]:
    """Return the gradients times a scalar, dense ones in place; under `paddle.no_grad()`."""
    return [(parameter, scaled(gradient, factor)) for parameter, gradient in gradients]


def apply_gradients(
    optimizer: paddle.optimizer.Optimizer, gradients: List[Gradient], factor: paddle.Tensor
) -> None:
    """Update the parameters with the gradients times `factor`; under `paddle.no_grad()`.

    Args:
        optimizer: Made by `build_optimizer`.
        gradients: They may be changed.
        factor: A scalar: see `clip_factor`.
    """
    # weight decay is added to gradients that are scaled already: it is not to be clipped
    decays = any(parameter.regularizer is not None for parameter, _ in gradients)
    if decays or not isinstance(optimizer, paddle.optimizer.Adagrad):
        optimizer.apply_gradients(scale_gradients(gradients, factor))
        return
    moments = adagrad_moments(optimizer, [parameter for parameter, _ in gradients])
    for (parameter, gradient), moment in zip(gradients, moments):
        rate = optimizer.get_lr() * learning_rate_factor(parameter)
        operators.adagrad(parameter, moment, gradient, factor, rate, _ADAGRAD_EPSILON)


def pack_optimizer(
    optimizer: paddle.optimizer.Optimizer, name: str, parameters: Dict[str, paddle.Tensor]
) -> Dict[str, np.ndarray]:
    """Return the moments of an optimiser: arrays named `<parameter>.<moment>`.

    It must have made a step, and be the only optimiser that its parameters ever had.

    Args:
        optimizer: Made by `build_optimizer`.
        name: Its key in MOMENTS.
        parameters: Parameters by their name in the model.
    """
    state = optimizer_state(optimizer)
    arrays = {}
    for parameter_name, parameter in parameters.items():
        for moment in MOMENTS[name]:
            arrays[f"{parameter_name}.{moment}"] = state[f"{parameter.name}_{moment}"].numpy()
    return arrays


def unpack_optimizer(
    optimizer: paddle.optimizer.Optimizer,
    name: str,
    parameters: Dict[str, paddle.Tensor],
    arrays: Dict[str, np.ndarray],
    source: str,
) -> None:
    """Give a new optimiser the moments that `pack_optimizer` returned.

    Args:
        optimizer: Made by `build_optimizer`; it has made no step.
        name: Its key in MOMENTS.
        parameters: Parameters by their name in the model.
        arrays: Named `<parameter>.<moment>`.
        source: The file that they come from, for messages.

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
        state[f"{parameters[parameter_name].name}_{moment}"] = as_tensor(array)
    optimizer.set_state_dict(state)
