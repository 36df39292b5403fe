"""Gradients of Paddle's parameters as arrays."""

import numpy as np
from paddle.nn.clip import get_tensor_from_selected_rows

from bilm.training.optimizer import collect_gradients


def dense_gradient(parameter):
    ((_, gradient),) = collect_gradients([parameter])
    if not gradient.is_selected_rows():
        return gradient.numpy()
    dense = np.zeros(parameter.shape, np.float32)
    dense[gradient.rows()] = get_tensor_from_selected_rows(gradient).numpy()
    return dense
