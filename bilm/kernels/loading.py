"""Which operators compute: the choice, and the loading of the native ones."""

import logging
import os
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Iterator, Optional

import paddle
from paddle.utils.cpp_extension import load_op_meta_info_and_register_op

from bilm.errors import InputError
from bilm.kernels.build import CannotBuildError, build

CHOICES = ("auto", "native", "paddle")

_log = logging.getLogger("bilm")
# the choice of the innermost `using` block that is open in this context
_forced: ContextVar[Optional[str]] = ContextVar("operators", default=None)
_is_loaded: Optional[bool] = None  # None: not tried yet


def choice() -> str:
    """Return which operators are asked for, one of CHOICES; see `bilm.kernels`.

    Raises:
        InputError: BILM_KERNEL is none of them.
    """
    wanted = _forced.get() or os.environ.get("BILM_KERNEL") or "auto"
    if wanted not in CHOICES:
        raise InputError(f"BILM_KERNEL must be one of {', '.join(CHOICES)}, not {wanted!r}")
    return wanted


@contextmanager
def using(operators: str) -> Iterator[None]:
    """Take these operators in this block and context, whatever BILM_KERNEL says.

    Args:
        operators: One of CHOICES.

    Raises:
        ValueError: It is none of them.
    """
    if operators not in CHOICES:
        raise ValueError(f"operators must be one of {', '.join(CHOICES)}, not {operators!r}")
    before = _forced.set(operators)
    try:
        yield
    finally:
        _forced.reset(before)


def is_native() -> bool:
    """Return whether the native operators compute here and now; load or compile them if so.

    Raises:
        InputError: They are asked for by `native` and cannot be had.
    """
    wanted = choice()
    if wanted == "paddle":
        return False
    if wanted == "auto" and not paddle.in_dynamic_mode():
        return False
    if paddle.device.get_device() != "cpu":
        return False
    return _load(must=wanted == "native")


def _load(must: bool) -> bool:
    global _is_loaded
    if _is_loaded is None or (must and not _is_loaded):
        try:
            library = build(partial(_log.warning, extra={"is_progress": True}))
            try:
                load_op_meta_info_and_register_op(str(library))
            except (OSError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[0]
                raise CannotBuildError(
                    f"{library} cannot be loaded (`python -m bilm.kernels build --again` compiles "
                    f"it anew): {reason}"
                ) from None
            _is_loaded = True
        except CannotBuildError as error:
            _is_loaded = False
            if must:
                raise InputError(f"BILM_KERNEL=native: {error}") from None
            _log.warning("computing with Paddle's own operators, which takes several times as "
                         "long: %s (set BILM_KERNEL=paddle to silence this)", error)
    return _is_loaded
