"""A loss whose gradients are computed with it, in the forward pass."""

from typing import Any, Callable, List, Optional, Tuple

import paddle


class FusedLoss(paddle.autograd.PyLayer):
    """A scalar loss: `FusedLoss.apply(compute, *tensors)` returns it. Dynamic mode only.

    `compute`, called with the tensors, returns the loss and a list with its gradient for each of
    them. Tensors that are constant (`stop_gradient`) get no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        compute: Callable[..., Tuple[paddle.Tensor, List[paddle.Tensor]]],
        *tensors: paddle.Tensor,
    ) -> paddle.Tensor:
        """Return the loss; keep its gradients."""
        loss, gradients = compute(*tensors)
        ctx.gradients = [None if tensor.stop_gradient else gradient
                         for gradient, tensor in zip(gradients, tensors)]
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: paddle.Tensor) -> Tuple[Optional[paddle.Tensor], ...]:
        """Return the gradients times that of the loss.

        Gradients are freed after use, so backward can run only once.
        """
        gradients, ctx.gradients = ctx.gradients, None  # given away, so that memory is freed
        return tuple(gradient if gradient is None else gradient * upstream
                     for gradient in gradients)
