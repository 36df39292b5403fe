"""Every private or version-dependent interface of Paddle that is used, for Paddle 2.6 and 3.

Whatever a new version of Paddle moves or renames is fixed here.
"""

from contextlib import contextmanager
from typing import Any, Callable, Collection, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np
import paddle
from paddle.base.layer_helper import LayerHelper


def as_tensor(array: np.ndarray) -> paddle.Tensor:
    """Return a tensor with the values of an array, on the device that computes.

    `paddle.to_tensor` of Paddle 3.3 loses 112 bytes of memory at each call; that of 2.6 does not.
    Use `paddle.to_tensor` only in code that runs once, not once per batch. In a static program this
    function makes a constant.

    Examples:
        >>> as_tensor(np.array([2, 3])).tolist()
        [2, 3]
    """
    if not paddle.in_dynamic_mode():
        return paddle.to_tensor(array)
    tensor = paddle.empty(array.shape, dtype=str(array.dtype))
    tensor.set_value(array)
    return tensor


def set_num_threads(count: int) -> None:
    """Make Paddle compute with this many threads; it also sets OMP_NUM_THREADS. Paddle 2.6 and 3.

    The public way is that variable, which is read when Paddle is imported.
    """
    paddle.base.core.set_num_threads(count)


def call_when_gradient_is_ready(parameter: paddle.Tensor, function: Callable) -> None:
    """Call a function whenever a backward pass has finished the gradient of a parameter.

    The public `register_hook` is called earlier, before the gradient is added. Paddle 2.6 and 3.
    """
    parameter._register_backward_hook(lambda *_: function())


def learning_rate_factor(parameter: paddle.Tensor) -> float:
    """Return the factor of a parameter's learning rate in each optimiser. Paddle 2.6 and 3."""
    return parameter.optimize_attr["learning_rate"]


def set_learning_rate_factor(parameter: paddle.Tensor, factor: float) -> None:
    """Set the factor of a parameter's learning rate in each optimiser. Paddle 2.6 and 3.

    The public way, `paddle.ParamAttr`, exists only when the parameter is made.
    """
    parameter.optimize_attr["learning_rate"] = factor


def optimizer_state(optimizer: paddle.optimizer.Optimizer) -> Dict[str, paddle.Tensor]:
    """Return an optimiser's state by name, also one that was set and has not been used yet.

    The public `state_dict` of Paddle 2.6 leaves the latter out; that of Paddle 3 does not.
    """
    return {**optimizer._accumulators_holder, **optimizer.state_dict()}


def adagrad_moments(
    optimizer: paddle.optimizer.Adagrad, parameters: Sequence[paddle.Tensor]
) -> List[paddle.Tensor]:
    """Return the moments of parameters, which are made before an optimiser's first step.

    The public `state_dict` knows them after the first step only. Paddle 2.6 and 3.
    """
    optimizer.helper = LayerHelper("Adagrad")  # Paddle 2.6 makes it in a step only
    block = paddle.static.default_main_program().global_block()
    optimizer._create_accumulators(block, parameters)  # leaves alone those that are there
    name = optimizer._moment_acc_str
    return [optimizer._get_accumulator_master(name, parameter) for parameter in parameters]


def adagrad(
    parameter: paddle.Tensor,
    moment: paddle.Tensor,
    gradient: paddle.Tensor,
    rate: float,
    epsilon: float,
) -> None:
    """Update a parameter and its moment in place with the operator of Paddle's Adagrad.

    The gradient may be of single rows (SelectedRows). The public `paddle.optimizer.Adagrad` has
    moments of its own. Paddle 2.6 and 3.
    """
    rate = paddle.full([1], rate, "float32")
    paddle._C_ops.adagrad_(parameter, gradient, moment, rate, None, epsilon, False)


def builds_pir() -> bool:
    """Return whether operators are added to a program of Paddle 3, which has other operators."""
    in_pir_mode = getattr(paddle.framework, "in_pir_mode", None)  # not in Paddle 2.6
    return bool(in_pir_mode and in_pir_mode())


def run_custom_operator(
    name: str,
    inputs: Mapping[str, Optional[paddle.Tensor]],
    attributes: Mapping[str, object],
    outputs: Sequence[str],
    optional: Collection[str] = (),
) -> List[paddle.Tensor]:
    """Compute with a custom operator, or add it to a static program; return its outputs.

    Paddle generates Python code that does this, but only for operators that it has compiled
    and installed itself.

    Args:
        name: As PD_BUILD_OP has it.
        inputs: All inputs by name, in their order; None: an optional one that is absent.
        attributes: All attributes by name, in their order.
        outputs: Names of the outputs.
        optional: Names of inputs that may be absent.
    """
    if paddle.in_dynamic_mode() or builds_pir():
        # Paddle 3 and Paddle 2.6 have it in different places
        modules = paddle._C_ops, paddle.base.core.eager
        home = next(module for module in modules if hasattr(module, "_run_custom_op"))
        return home._run_custom_op(name, *inputs.values(), *attributes.values())
    helper = LayerHelper(name)
    results = {output: helper.create_variable(dtype="float32") for output in outputs}
    given = {key + ("@OPTIONAL" if key in optional else ""): value
             for key, value in inputs.items() if value is not None}
    helper.append_op(type=name, inputs=given, outputs=results, attrs=dict(attributes))
    return list(results.values())


@contextmanager
def constants_in_program() -> Iterator[None]:
    """Make everything a constant that a static program computes in this block.

    Otherwise Paddle 3 adds the backward pass of loops, whose arrays it takes for trainable.
    The operators of Paddle 3 have results; those of Paddle 2.6 have names of variables.
    """
    block = paddle.static.default_main_program().global_block()
    first = len(block.ops)
    yield
    for operator in list(block.ops)[first:]:
        if hasattr(operator, "results"):
            values = operator.results()
        else:
            values = [block.vars[name] for name in operator.output_arg_names if name in block.vars]
        for value in values:
            value.stop_gradient = True


def is_initialized(variable: Any) -> bool:
    """Return whether a variable of a scope, as `find_var` returns it, has a value.

    Paddle 2.6 and 3.
    """
    return variable is not None and variable.get_tensor()._is_initialized()
