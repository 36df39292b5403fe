"""Checks of the network's inputs, with messages that name the value."""

import paddle

from bilm.errors import InputError


@paddle.jit.not_to_static
def check_shape(name: str, tensor: paddle.Tensor, **axes: int) -> None:
    """Check the axes of a tensor; a static program may not know their sizes yet.

    Args:
        name: The tensor's name, for the message.
        tensor: The tensor.
        **axes: The expected size of each axis by its name; -1: any.

    Raises:
        InputError: The tensor has other axes.
    """
    shape = tuple(tensor.shape)
    fits = len(shape) == len(axes) and all(
        size == expected or -1 in (size, expected) for size, expected in zip(shape, axes.values())
    )
    if not fits:
        expected_axes = ", ".join(
            axis if size == -1 else f"{axis} = {size}" for axis, size in axes.items()
        )
        raise InputError(f"{name} must have shape ({expected_axes}), not {shape}")


@paddle.jit.not_to_static
def check_range(name: str, tensor: paddle.Tensor, lowest: int, highest: int) -> None:
    """Check the values of a tensor; in static programs, which have none yet, do nothing.

    Args:
        name: The tensor's name, for the message.
        tensor: Whole numbers.
        lowest: The smallest allowed value.
        highest: The largest allowed value.

    Raises:
        InputError: A value is out of range.
    """
    if not paddle.in_dynamic_mode():
        return
    values = tensor.numpy()
    wrong = values[(values < lowest) | (values > highest)]
    if wrong.size:
        raise InputError(f"{name} must be from {lowest} to {highest}, not {wrong[0]}")
