"""Tables that tell, for one format, which of its tensors hold which of ours, and how.

Reading and writing are both made from the same table, so that they cannot disagree.
"""

import math
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from bilm.errors import InputError
from bilm.storage.tensors import LazyArray

_MAX_VALUES = 1 << 32  # of one tensor: 16 GB
OUR_GATES = "cifo"  # order of the gate blocks in this project and in LARK


def reorder_gates(packed: np.ndarray, source: str, target: str) -> np.ndarray:
    """Return `packed` with its four gate blocks in another order; no value changes.

    Args:
        packed: Shape (..., 4 * cell_size), the blocks along the last axis.
        source: The order that the blocks have, such as "cifo": candidate, input, forget, output.
        target: The order to give them, in the same letters.

    Raises:
        ValueError: An order is no permutation of "cifo", or the last axis is not 4 blocks.
    """
    for order in (source, target):
        if sorted(order) != sorted(OUR_GATES):
            raise ValueError(f"a gate order is a permutation of {OUR_GATES!r}, not {order!r}")
    if packed.shape[-1] % 4:
        raise ValueError(f"the last axis must be four blocks of one size, not {packed.shape}")
    if source == target:
        return packed
    blocks = dict(zip(source, np.split(packed, 4, axis=-1)))
    return np.concatenate([blocks[gate] for gate in target], axis=-1)


class Transform(NamedTuple):
    """How arrays of ours become arrays of a format, and back.

    Attributes:
        to: From ours to theirs, lists of arrays in the order of the entry's names.
        back: From theirs to ours.
    """

    to: Callable[[List[np.ndarray]], List[np.ndarray]]
    back: Callable[[List[np.ndarray]], List[np.ndarray]]


class Entry(NamedTuple):
    """One row of a table.

    Attributes:
        ours: Names of parameters here.
        theirs: Names of tensors of the format that hold them.
        transform: How the one becomes the other.
    """

    ours: Tuple[str, ...]
    theirs: Tuple[str, ...]
    transform: Transform


def each(to: Callable[[np.ndarray], np.ndarray], back: Callable[[np.ndarray], np.ndarray]):
    """Return the transform that treats each array by itself."""
    return Transform(
        lambda arrays: [to(array) for array in arrays],
        lambda arrays: [back(array) for array in arrays],
    )


IDENTITY = each(lambda array: array, lambda array: array)
TRANSPOSED = each(np.transpose, np.transpose)
AS_ROW = each(lambda array: array[None], lambda array: _only_row(array))


def gates(order: str, transposed: bool = False) -> Transform:
    """Return the transform of a matrix or bias whose gates the format has in `order`.

    Args:
        order: Such as "ifco".
        transposed: Whether the format has the gates along the first axis.

    Raises:
        ValueError: When the transform is used: see `reorder_gates`.
    """
    def to(array):
        array = reorder_gates(array, OUR_GATES, order)
        return array.T if transposed else array

    def back(array):
        return reorder_gates(array.T if transposed else array, order, OUR_GATES)

    return each(to, back)


def _only_row(array):
    if array.ndim != 2 or len(array) != 1:
        raise InputError(f"expected one row, found the shape {array.shape}")
    return array[0]


def simple(ours: str, theirs: str, transform: Transform = IDENTITY) -> Entry:
    """Return the entry of one tensor that is one tensor in the format."""
    return Entry((ours,), (theirs,), transform)


def rename(entry: Entry, ours: Callable[[str], str], theirs: Callable[[str], str]) -> Entry:
    """Return an entry for tensors of other names, such as those of the optimiser."""
    return Entry(tuple(map(ours, entry.ours)), tuple(map(theirs, entry.theirs)), entry.transform)


def to_format(
    table: Sequence[Entry], tensors: Mapping[str, np.ndarray]
) -> Iterator[Tuple[str, np.ndarray]]:
    """Yield the names and arrays of the format, one entry after the other.

    Entries of which we have no tensor are left out; `lost` tells the tensors without entry.

    Args:
        table: The format's.
        tensors: Arrays, or what `np.asarray` reads, by our names.
    """
    for entry in table:
        if all(name in tensors for name in entry.ours):
            arrays = [np.asarray(tensors[name]) for name in entry.ours]
            for name, array in zip(entry.theirs, entry.transform.to(arrays)):
                yield name, np.asarray(array, order="C")


def lost(table: Sequence[Entry], tensors: Iterable[str]) -> List[str]:
    """Return which of our tensors have no place in the format."""
    held = {name for entry in table for name in entry.ours}
    return sorted(set(tensors) - held)


def from_format(
    table: Sequence[Entry], found: Mapping[str, np.ndarray], source: str
) -> Dict[str, np.ndarray]:
    """Return our tensors as arrays that are read when they are asked for.

    Args:
        table: The format's; entries of which nothing is there are left out.
        found: Arrays, or what `np.asarray` reads, by the format's names.
        source: Where they come from, for messages.

    Raises:
        InputError: An entry is there in part only, or a tensor belongs to no entry; all that is
            missing or not expected is listed.
    """
    known = {name for entry in table for name in entry.theirs}
    unexpected = sorted(set(found) - known)
    if unexpected:
        raise InputError(f"{source}: unexpected {', '.join(unexpected)}")
    tensors, missing = {}, []
    for entry in table:
        absent = [name for name in entry.theirs if name not in found]
        if len(absent) == len(entry.theirs):
            continue
        missing += absent
        if not absent:
            tensors.update(_read_later(entry, [found[name] for name in entry.theirs], source))
    if missing:
        raise InputError(f"{source}: missing {', '.join(sorted(missing))}")
    return tensors


def _read_later(entry, arrays, source):
    if any(math.prod(array.shape) > _MAX_VALUES for array in arrays):
        raise InputError(f"{source}: {entry.theirs[0]} says it is {arrays[0].shape}")
    # on arrays without memory of their own: what shapes come out
    shadows = [np.broadcast_to(np.zeros((), array.dtype), array.shape) for array in arrays]
    try:
        shapes = [array.shape for array in entry.transform.back(shadows)]
    except (ValueError, IndexError, TypeError) as error:
        names = ", ".join(entry.theirs)
        raise InputError(f"{source}: {names}: {error}") from None

    def reader(number):
        return lambda: entry.transform.back([np.asarray(array) for array in arrays])[number]

    return {
        name: LazyArray(shape, arrays[0].dtype, reader(number))
        for number, (name, shape) in enumerate(zip(entry.ours, shapes))
    }
