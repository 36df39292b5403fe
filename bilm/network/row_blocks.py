"""How many rows are computed where some are asked for."""

# The processor's vector instructions take so many numbers at once, and what is left over may be
# rounded differently. MKL's code for AVX2 needs more: rows_rounded_alike in kernels/core/gemm.h.
_ROW_MULTIPLE = 8


def full_blocks(rows):
    """Return how many rows to compute, so that a row's place among them changes no bit of it.

    A single row becomes two: products of a matrix and a vector are other, slower code.

    Args:
        rows: A number, or a tensor in a static program.
    """
    if isinstance(rows, int):
        return 2 if rows == 1 else -(-rows // _ROW_MULTIPLE) * _ROW_MULTIPLE
    is_one = (rows == 1).astype(rows.dtype)
    blocks = (rows + _ROW_MULTIPLE - 1) // _ROW_MULTIPLE
    return is_one * 2 + (1 - is_one) * blocks * _ROW_MULTIPLE


def rows_within(max_tokens: int, steps: int, batch_size: int) -> int:
    """Return how many rows of so many steps to take, at most batch_size, at least one.

    With what `full_blocks` adds, they hold at most max_tokens tokens if two rows do.
    """
    rows = max(1, min(batch_size, max_tokens // steps))
    if full_blocks(rows) * steps > max_tokens:
        rows = max(1, rows // _ROW_MULTIPLE * _ROW_MULTIPLE)
    return rows
