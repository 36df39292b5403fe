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
