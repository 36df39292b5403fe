"""Segmented text as training batches: windows of contiguous streams of sentences.

Text is streamed in bounded memory. A position in the corpus is a small value, which can be saved
and from which reading continues exactly.
"""

import codecs
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.randomness import random_for
from bilm.text.counting import CorpusCounts, Progress, count_shard, sha256_of_text
from bilm.text.lines import not_utf8, open_bytes
from bilm.text.shards import find_shards
from bilm.text.vocabulary import Vocabulary

# Sentences are shuffled within blocks of at most this many sentences and bytes of text.
BLOCK_SENTENCES = 10_000
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class StreamPosition:
    """A place between two sentences of a `SentenceStream`.

    Attributes:
        epoch: Complete passes over the corpus.
        shard: Shards of this epoch that have been read.
        offset: Byte of the (decompressed) shard at which the current block starts.
        line: Lines before that byte.
        sentence: Sentences of the block that have been read.
    """

    epoch: int = 0
    shard: int = 0
    offset: int = 0
    line: int = 0
    sentence: int = 0


class Batch(NamedTuple):
    """One window of every stream, for both directions.

    Attributes:
        inputs: Token ids, shape (directions, batch, steps), int64; direction 1 reads
            each sentence from its end.
        targets: The token that follows each input, same shape.
        mask: Whether each position holds a token, shape (batch, steps); None: all do, which is
            the case except at the end of the last epoch.
        num_tokens: Positions that hold a token, counted for one direction.
        position: Where the next batch starts.
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: Optional[np.ndarray]
    num_tokens: int
    position: "BatchPosition"


class BatchPosition(NamedTuple):
    """Where a batch starts: the unread part of each row, and the stream that feeds the rows.

    Attributes:
        stream: Position of the next sentence.
        rows: For each row its current sentence (token ids with `<S>` and `</S>`) and the number
            of its inputs that have been read; then the sentences that wait for a row.
    """

    stream: StreamPosition
    rows: Tuple[Tuple[np.ndarray, int], ...]


class Corpus:
    """The sentences of some shards, as token ids.

    Args:
        patterns: Globs, files or folders of segmented text, see `bilm.text.shards.find_shards`.
        vocabulary: Maps words to ids.

    Raises:
        InputError: A pattern matches nothing.
    """

    def __init__(
        self, patterns: Union[PathLike, Iterable[PathLike]], vocabulary: Vocabulary
    ):
        self.shards: List[Path] = find_shards(patterns)
        self.vocabulary = vocabulary
        self.sizes = [shard.stat().st_size for shard in self.shards]
        self._digests: List[str] = []

    def fingerprints(self, progress: Progress = None) -> List[list]:
        """Return [file name, bytes, SHA-256 of the text] of each shard, in order.

        The whole corpus is read, unless `count` has done so.

        Args:
            progress: Called with the number of bytes after each part that was read.
        """
        if not self._digests:
            self._digests = [sha256_of_text(shard, progress) for shard in self.shards]
        names = (shard.name for shard in self.shards)
        return [list(entry) for entry in zip(names, self.sizes, self._digests)]

    def count(self, progress: Progress = None) -> CorpusCounts:
        """Return the counts of the corpus, by one fast pass over its bytes.

        Args:
            progress: Called with the number of bytes after each part that was read.

        Raises:
            InputError: It has no words, or a line is not UTF-8.
        """
        counts, digests = zip(*(count_shard(shard, progress) for shard in self.shards))
        self._digests = list(digests)
        total = CorpusCounts(*map(sum, zip(*counts)))
        if not total.words:
            raise InputError(f"{self._names()}: no words; expected one segmented sentence a line")
        return total

    def sentences(
        self,
        position: StreamPosition = StreamPosition(),
        epochs: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        block_sentences: int = BLOCK_SENTENCES,
    ) -> Iterator[Tuple[np.ndarray, StreamPosition]]:
        """Yield each sentence as token ids with `<S>` and `</S>`, and the position after it.

        Args:
            position: Where to start. If the other arguments are the same, the sentences that
                follow are those of a run from the beginning.
            epochs: Passes over the corpus, counted from the beginning of the first.
            shuffle: Whether to shuffle the shards of each epoch, and sentences within
                blocks of block_sentences.
            seed: Determines every order.
            block_sentences: Largest number of sentences in memory.

        Raises:
            InputError: A line is not UTF-8, or a shard has changed since the start.
        """
        for epoch in range(position.epoch, epochs):
            order = np.arange(len(self.shards))
            if shuffle:
                order = random_for("shards", seed, epoch).permutation(order)
            for number in range(position.shard, len(order)):
                shard = int(order[number])
                self._check_size(shard)
                for block in _blocks(
                    self.shards[shard], self.vocabulary, position, block_sentences
                ):
                    self._check_size(shard)  # the block may be cut short by a change
                    picks = np.arange(len(block.sentences))
                    if shuffle:
                        random = random_for("sentences", seed, epoch, shard, block.line)
                        picks = random.permutation(picks)
                    for done in range(position.sentence, len(picks)):
                        after = StreamPosition(epoch, number, block.offset, block.line, done + 1)
                        yield block.sentences[picks[done]], after
                    position = StreamPosition(epoch, number)
                self._check_size(shard)
                position = StreamPosition(epoch, number + 1)
            position = StreamPosition(epoch + 1)

    def _check_size(self, number):
        shard, expected = self.shards[number], self.sizes[number]
        size = shard.stat().st_size if shard.is_file() else None
        if size != expected:
            now = "is not there any more" if size is None else f"has {size} bytes now"
            raise InputError(f"{shard}: had {expected} bytes when this started, and {now}; the "
                             "text must not change during the run")

    def _names(self):
        more = f" and {len(self.shards) - 1} more" if len(self.shards) > 1 else ""
        return f"{self.shards[0]}{more}"


class _Block(NamedTuple):
    offset: int
    line: int
    sentences: List[np.ndarray]


def _blocks(shard, vocabulary, position, block_sentences):
    """Yield the blocks of a shard, from the one at `position` on."""
    offset, line = position.offset, position.line
    with open_bytes(shard) as file:
        file.seek(offset)
        while True:
            block, start = _Block(offset, line, []), offset
            while len(block.sentences) < block_sentences and offset - start < _BLOCK_BYTES:
                text = file.readline()
                if not text:
                    break
                offset, line = offset + len(text), line + 1
                token_ids = _encode(vocabulary, text, shard, line)
                if token_ids:
                    block.sentences.append(
                        np.array([vocabulary.bos_id, *token_ids, vocabulary.eos_id], np.int64)
                    )
            if offset == start:
                return
            yield block


def _encode(vocabulary, text, shard, line):
    if line == 1 and text.startswith(codecs.BOM_UTF8):
        text = text[3:]
    try:
        return vocabulary.encode_line(text)  # bytes, for speed: this runs while a model trains
    except UnicodeDecodeError as error:
        raise not_utf8(shard, line, error) from None


class WindowReader:
    """Distributes sentences over the rows of a batch and cuts the rows into windows.

    As in LARK and bilm-tf, every row is a stream of contiguous sentences: at the end of its
    sentence a row takes the next one, and each batch continues the previous one row by row. Both
    directions hold the same sentence at the same place. Iterating yields `Batch`es; at the end of
    the last epoch rows that ran out are masked, so that no sentence is lost.

    Args:
        corpus: The sentences.
        batch_size: Number of rows.
        num_steps: Steps of a window.
        directions: 2, or 1 for the forward direction alone.
        position: Where to start; None means at the beginning. It may have another number of rows:
            the sentences of surplus rows continue as soon as a row is free.
        **order: epochs, shuffle, seed and block_sentences of `Corpus.sentences`.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int,
        num_steps: int,
        directions: int = 2,
        position: Optional[BatchPosition] = None,
        **order: Any,
    ):
        position = position or BatchPosition(StreamPosition(), ())
        missing = batch_size - len(position.rows)
        rows = [*position.rows, *([(np.zeros(0, np.int64), 0)] * missing)]
        self._vocabulary = corpus.vocabulary
        self._shape = directions, batch_size, num_steps
        self._stream = position.stream
        self._rows = rows[:batch_size]
        self._waiting = deque(row for row in rows[batch_size:] if not _is_read(*row))
        self._sentences = corpus.sentences(position.stream, **order)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            inputs = np.full(self._shape, self._vocabulary.eos_id, np.int64)
            targets = inputs.copy()
            mask = np.zeros(self._shape[1:], bool)
            for row in range(self._shape[1]):
                self._fill(row, inputs[:, row], targets[:, row], mask[row])
            num_tokens = int(mask.sum())
            if not num_tokens:
                return
            position = BatchPosition(self._stream, (*self._rows, *self._waiting))
            full = num_tokens == mask.size
            yield Batch(inputs, targets, None if full else mask, num_tokens, position)

    def _fill(self, row, inputs, targets, mask):
        # inputs, targets (directions, steps) and mask (steps,) are filled from the left
        filled, num_steps = 0, len(mask)
        while filled < num_steps:
            sentence, done = self._rows[row]
            if _is_read(sentence, done) and self._waiting:
                sentence, done = self._waiting.popleft()
            elif _is_read(sentence, done):
                sentence, self._stream = next(self._sentences, (None, self._stream))
                if sentence is None:
                    return
                done = 0
            take = min(num_steps - filled, len(sentence) - 1 - done)
            place = slice(filled, filled + take)
            for direction, ids in enumerate((sentence, sentence[::-1])[: len(inputs)]):
                inputs[direction, place] = ids[done : done + take]
                targets[direction, place] = ids[done + 1 : done + 1 + take]
            mask[place] = True
            filled += take
            self._rows[row] = sentence, done + take


def _is_read(sentence, done) -> bool:
    return done >= len(sentence) - 1  # </S> is no input


def pack_position(position: BatchPosition) -> Tuple[dict, Dict[str, np.ndarray]]:
    """Return `position` as a JSON object and arrays, for a checkpoint.

    Returns:
        The position in the stream; and the arrays `row_tokens`, the concatenated sentences of the
        rows, `row_lengths` (rows,), their lengths in tokens, and `row_done` (rows,), the tokens
        that have been read.
    """
    rows = position.rows
    arrays = {
        "row_tokens": np.concatenate([sentence for sentence, _ in rows]).astype(np.int64),
        "row_lengths": np.array([len(sentence) for sentence, _ in rows], np.int64),
        "row_done": np.array([done for _, done in rows], np.int64),
    }
    return asdict(position.stream), arrays


def unpack_position(stream: dict, arrays: Dict[str, np.ndarray]) -> BatchPosition:
    """Return the position that `pack_position` packed."""
    ends = np.cumsum(arrays["row_lengths"])
    sentences = np.split(arrays["row_tokens"], ends[:-1])
    rows = tuple((ids, int(done)) for ids, done in zip(sentences, arrays["row_done"]))
    return BatchPosition(StreamPosition(**stream), rows)
