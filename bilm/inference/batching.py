"""Batches of sentences of similar length, which need little padding."""

from typing import Any, Callable, Iterable, Iterator, List, Sequence, TypeVar

from bilm.network.row_blocks import rows_within

Item = TypeVar("Item")

# Sentences are sorted by length within blocks of this many sentences, or this many words.
SORTED_SENTENCES = 4096
SORTED_WORDS = 1 << 20
# A batch holds at most this many tokens, padding included, and at most twice as many if it is a
# single sentence. Longer sentences run in windows with carried state.
BATCH_TOKENS = 4096


def slices(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield consecutive slices of `size` items; the last one may be shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def sorted_blocks(
    items: Iterable[Item], length_of: Callable[[Any], int] = len
) -> Iterator[List[Item]]:
    """Yield blocks of consecutive items, sorted by falling length, so that memory is bounded.

    Items of equal length stay in order.
    """
    block: List[Item] = []
    words = 0
    for item in items:
        block.append(item)
        words += length_of(item)
        if len(block) >= SORTED_SENTENCES or words >= SORTED_WORDS:
            yield sorted(block, key=length_of, reverse=True)
            block, words = [], 0
    if block:
        yield sorted(block, key=length_of, reverse=True)


def plan_blocks(
    lengths: Iterable[int], batch_size: int, stateful: bool = False
) -> Iterator[List[List[int]]]:
    """Yield blocks of batches of sentence numbers, which depend on the lengths alone.

    A block holds consecutive sentences, without empty ones, in batches of similar length. A
    stateful batch is a single sentence, in the order of the text.

    Args:
        lengths: Words in each sentence.
        batch_size: Largest number of sentences in a batch; it has fewer where they are long.
        stateful: Whether state is carried from sentence to sentence.
    """
    numbered = ((length, number) for number, length in enumerate(lengths) if length)
    if stateful:
        yield from ([[number]] for _, number in numbered)
        return
    for block in sorted_blocks(numbered, length_of=lambda pair: pair[0]):
        yield [*_batches_of(block, batch_size)]


def _batches_of(block, batch_size):
    start = 0
    while start < len(block):
        longest, _ = block[start]
        rows = rows_within(BATCH_TOKENS, longest + 2, batch_size)
        yield [number for _, number in block[start : start + rows]]
        start += rows
