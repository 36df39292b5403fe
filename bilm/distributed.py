"""Several processes training one model: who am I, and sums and gathers over all of them.

With one process every function returns what it was given. Processes are started by
`python -m paddle.distributed.launch`, which tells them about each other.
"""

import os
from typing import List

import numpy as np
import paddle
from paddle import distributed


def start() -> None:
    """Join the other processes, if the launcher started several."""
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        distributed.init_parallel_env()


def rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank()


def world_size() -> int:
    """Return the number of processes."""
    return distributed.get_world_size()


def sum_gradients(gradients: List[tuple]) -> None:
    """Replace each dense gradient of (parameter, gradient) pairs by its sum over processes."""
    if world_size() > 1:
        for _, gradient in gradients:
            distributed.all_reduce(gradient)


def sum_numbers(*values: float) -> List[float]:
    """Return the sum over processes of each number."""
    if world_size() == 1:
        return list(values)
    total = paddle.to_tensor(np.array(values, np.float64))
    distributed.all_reduce(total)
    return total.tolist()


def gather(tensor: paddle.Tensor, axis: int) -> paddle.Tensor:
    """Return the tensors of all processes, joined along `axis` in order of rank."""
    if world_size() == 1:
        return tensor
    parts = []
    distributed.all_gather(parts, tensor)
    return paddle.concat(parts, axis=axis)
