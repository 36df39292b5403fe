"""Static programs that leave nothing behind."""

from contextlib import contextmanager

import numpy as np
import paddle


@contextmanager
def static_programs():
    """Yield a main and a startup program that are the default ones, and an executor."""
    paddle.enable_static()
    main, startup = paddle.static.Program(), paddle.static.Program()
    try:
        scope = paddle.static.Scope()
        with paddle.static.scope_guard(scope), paddle.static.program_guard(main, startup):
            yield main, startup, paddle.static.Executor(paddle.CPUPlace())
    finally:
        paddle.disable_static()


def set_parameter(name, value):
    tensor = paddle.static.global_scope().find_var(name).get_tensor()
    tensor.set(np.asarray(value, np.float32), paddle.CPUPlace())


def words(shape=(None, None)):
    return paddle.static.data("word", list(shape), "int64")


def data(shape=(None, None)):
    return words(shape), paddle.static.data("lengths", [shape[0]], "int64")


def parameters():
    """Return the present values of the default program's parameters."""
    scope = paddle.static.global_scope()
    block = paddle.static.default_main_program().global_block()
    return {p.name: np.array(scope.find_var(p.name).get_tensor()) for p in block.all_parameters()}


def small_tagger(features):
    hidden = paddle.nn.functional.tanh(paddle.nn.Linear(16, 64)(features))
    emissions = paddle.nn.Linear(64, 5)(hidden)
    tags = paddle.static.data("tags", [None, None], "int64")
    return paddle.nn.functional.cross_entropy(emissions, tags).mean(), emissions
