"""Batch sizes for which a row's vectors do not depend on its position."""

from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:  # batches are planned without Paddle, too
    import paddle

# Rows are computed in blocks of this many, as vector instructions do; the rows that remain may be
# rounded differently. MKL's code for AVX2 needs more: rows_rounded_alike in kernels/core/gemm.h.
_ROW_MULTIPLE = 8


def full_blocks(rows: Union[int, "paddle.Tensor"]) -> Union[int, "paddle.Tensor"]:
    """Round a number of rows up to full blocks; a static program has it as a tensor.

    A single row becomes two: products of a matrix and a vector run through other, slower code.

    Examples:
        >>> [full_blocks(rows) for rows in (1, 2, 8, 9)]
        [2, 8, 8, 16]
    """
    if isinstance(rows, int):
        return 2 if rows == 1 else -(-rows // _ROW_MULTIPLE) * _ROW_MULTIPLE
    is_one = (rows == 1).astype(rows.dtype)
    blocks = (rows + _ROW_MULTIPLE - 1) // _ROW_MULTIPLE
    return is_one * 2 + (1 - is_one) * blocks * _ROW_MULTIPLE


def rows_within(max_tokens: int, steps: int, batch_size: int) -> int:
    """Return the number of rows of a batch, from 1 to batch_size.

    Rounded up by `full_blocks`, that many rows of `steps` tokens hold at most max_tokens tokens,
    provided that two rows fit.

    Examples:
        >>> rows_within(4096, steps=100, batch_size=64)
        40
    """
    rows = max(1, min(batch_size, max_tokens // steps))
    if full_blocks(rows) * steps > max_tokens:
        rows = max(1, rows // _ROW_MULTIPLE * _ROW_MULTIPLE)
    return rows
