"""Gradients summed over processes: in buckets, while the backward pass still computes others."""

from functools import partial
from typing import Any, List, Optional, Sequence

import numpy as np
import paddle
from paddle import distributed
from paddle.nn import functional as F
from paddle.nn.clip import get_tensor_from_selected_rows, merge_selected_rows

from bilm.paddle_compat import as_tensor, call_when_gradient_is_ready
from bilm.training.distributed import peers_are_needed

# Size of a bucket, in bytes; a gradient that is larger is sent alone, in place.
BUCKET_BYTES = 25 << 20


class _Bucket:
    """Parameters whose gradients are sent together."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.waiting = 0  # gradients that the backward pass has not finished yet
        self.sent: Any = None  # the tensor that was sent, and Paddle's handle of the exchange

    def send(self):
        with paddle.no_grad():
            gradients = [parameter.grad for parameter in self.parameters]
            flat = gradients[0]
            if len(gradients) > 1:
                flat = paddle.concat([gradient.flatten() for gradient in gradients])
            self.sent = flat, distributed.all_reduce(flat, sync_op=False)

    def receive(self):
        flat, task = self.sent
        self.sent = None
        if task is not None:
            task.wait()
        if len(self.parameters) == 1:  # summed in place
            return
        sizes = [parameter.size for parameter in self.parameters]
        for parameter, part in zip(self.parameters, paddle.split(flat, sizes)):
            parameter.grad.set_value(part.reshape(parameter.shape))


class GradientExchange:
    """Sums the gradients of all processes, which must hold the same parameters.

    Dense gradients are sent in buckets as soon as the backward pass has finished those of a
    bucket; the buckets and their order are the same everywhere. Only those rows of tables are
    sent that some process has touched.

    Source: Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel
    Training", sections 3.2 and 4.2, for buckets and overlap.

    Args:
        parameters: Roughly in the order in which the forward pass uses them.
        tables: Those among them of which a step touches only some rows.
        bucket_bytes: Size of a bucket.
    """

    def __init__(
        self,
        parameters: Sequence[paddle.Tensor],
        tables: Sequence[paddle.Tensor] = (),
        bucket_bytes: int = BUCKET_BYTES,
    ):
        names = {parameter.name for parameter in tables}
        self._tables = list(tables)
        dense = [parameter for parameter in parameters if parameter.name not in names]
        self._buckets = _buckets(reversed(dense), bucket_bytes)
        self._next = len(self._buckets)  # the first bucket that is not sent yet
        self._problem: Optional[Exception] = None
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket.parameters:
                call_when_gradient_is_ready(parameter, partial(self._finished, number))

    def start(self) -> None:
        """Make the next backward pass, the last of the step, send gradients as it finishes them."""
        for bucket in self._buckets:
            bucket.waiting = len(bucket.parameters)
        self._next = 0

    def finish(self, touched: Sequence[np.ndarray] = ()) -> None:
        """Wait for the sums and put them in place of the gradients; under `paddle.no_grad()`.

        Args:
            touched: For each table the rows that any process has touched, rising.

        Raises:
            InputError: Another process has ended.
            ValueError: A parameter has no gradient yet, or `touched` lacks a table.
        """
        self.raise_problem()
        if self._next < len(self._buckets) or len(touched) != len(self._tables):
            raise ValueError("a parameter has no gradient, or a table no rows")
        with peers_are_needed():
            for bucket in self._buckets:
                bucket.receive()
            for parameter, rows in zip(self._tables, touched):
                _sum_rows(parameter, rows)

    def raise_problem(self) -> None:
        """Raise the error of the backward pass, if there was one, before the next exchange."""
        if self._problem:
            raise self._problem

    def _finished(self, number):
        """Send all buckets that are complete, in order: each process must send the same."""
        self._buckets[number].waiting -= 1
        while self._next < len(self._buckets) and self._buckets[self._next].waiting == 0:
            try:
                with peers_are_needed():
                    self._buckets[self._next].send()
            except Exception as error:  # Paddle would replace it by one of its own
                self._problem, self._next = error, len(self._buckets)
                return
            self._next += 1


def _buckets(parameters, bucket_bytes) -> List[_Bucket]:
    groups: List[list] = []
    room = 0
    for parameter in parameters:
        size = parameter.size * parameter.element_size()
        if size > room or not groups:
            groups.append([])
            room = bucket_bytes
        groups[-1].append(parameter)
        room -= size
    return [_Bucket(group) for group in groups]


def _sum_rows(table, rows):
    """Sum the rows of a table's gradient over all processes; `rows` are those of all of them."""
    ids = as_tensor(rows)
    if not table.grad.is_selected_rows():
        values = paddle.gather(table.grad, ids)
        distributed.all_reduce(values)
        paddle.scatter_(table.grad, ids, values)
        return
    own = merge_selected_rows(table.grad)
    places = as_tensor(np.searchsorted(rows, own.rows()))
    values = paddle.zeros([len(rows), *table.shape[1:]])
    values = paddle.scatter(values, places, get_tensor_from_selected_rows(own))
    distributed.all_reduce(values)
    table.clear_gradient(False)
    with paddle.enable_grad():  # Paddle makes SelectedRows in this way only
        F.embedding(ids, table, sparse=True).backward(values)
