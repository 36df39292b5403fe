"""A loss whose gradients are computed with it, in the forward pass."""

from typing import Callable, List, Tuple

import paddle


def fused_loss(
    compute: Callable[..., Tuple[paddle.Tensor, List[paddle.Tensor]]], *tensors: paddle.Tensor
) -> paddle.Tensor:
    """Return a scalar loss of tensors; dynamic mode only.

    Args:
        compute: Called with the tensors; returns the loss, and its gradient for each of them.
        tensors: Those that are constant (`stop_gradient`) get no gradient.
    """
    return _FusedLoss.apply(compute, *tensors)


class _FusedLoss(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, compute, *tensors):
        loss, gradients = compute(*tensors)
        ctx.gradients = [None if tensor.stop_gradient else gradient
                         for gradient, tensor in zip(gradients, tensors)]
        return loss

    @staticmethod
    def backward(ctx, upstream):
        gradients, ctx.gradients = ctx.gradients, None  # they are given away
        # nearly always 1, which saves a pass over large gradients; on GPUs looking would wait
        if upstream.place.is_cpu_place() and upstream.item() == 1:
            return tuple(gradients)
        return tuple(gradient if gradient is None else gradient * upstream
                     for gradient in gradients)
