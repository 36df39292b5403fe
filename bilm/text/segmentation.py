"""Raw Chinese text to corpus shards: one sentence a line, words separated by single spaces.

Run as `python -m bilm.text.segmentation INPUT... --output DIR`.
"""

import json
import os
import signal
import threading
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Optional

from bilm.errors import InputError
from bilm.text.segmenters import (
    SegmentationOptions,
    load_segmenter,
    segment_sentence,
)
from bilm.text.sentences import find_inputs, read_sentences
from bilm.text.shards import SEGMENTATION_FILE, new_shards, progress_bar, write_shards
from bilm.text.vocabulary import SPECIAL_TOKENS

COUNTS = ("files", "sentences", "words", "characters", "shards", "special_tokens")

_BLOCK_CHARACTERS = 20_000  # about 64 KB of text
_BLOCKS_PER_WORKER = 4  # in flight: enough to keep a worker busy, few enough to bound memory
_HARMLESS = {token: token.translate(str.maketrans("<>", "＜＞")) for token in SPECIAL_TOKENS}


def segment_files(
    inputs,
    output,
    options: Optional[SegmentationOptions] = None,
    lines_per_shard: int = 100_000,
    workers: int = 1,
    show_progress: bool = False,
) -> dict:
    """Segment raw text into shards sentence_file_00000, ... and segmentation.json in `output`.

    The shards are the same for any number of workers. They appear in `output` when all are
    complete; when this raises, nothing is left. A word that reads like a special token
    (`<S>`, `</S>`, `<UNK>`) is written with full-width brackets (＜S＞, ...), so that it
    does not become one. One run at a time may write into a folder.

    Args:
        inputs: UTF-8 text files, those in .gz decompressed; folders, which stand for all
            files in them at any depth except hidden ones; "-" for standard input.
        output: Folder without shards; created if need be.
        options: Where sentences and words end; None means the defaults.
        lines_per_shard: Number of sentences in each shard but the last.
        workers: Number of processes; 1 means this one. More need the guard
            `if __name__ == "__main__":` in a script that calls this.
        show_progress: Whether to show a progress bar, if stderr is a terminal.

    Returns:
        The numbers of files, sentences, words, characters (of the words), shards, and
        special_tokens (words that read like one).

    Raises:
        InputError: A value is out of range, an input is missing, empty or not UTF-8, the
            output folder holds shards, or the segmenter is not installed.
    """
    options = options or SegmentationOptions()
    for name, value in (("lines_per_shard", lines_per_shard), ("workers", workers)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")
    paths = find_inputs(inputs)
    description = options.describe()
    counts = Counter(files=len(paths))
    with new_shards(output) as folder, progress_bar(paths, show_progress) as progress:
        sentences = read_sentences(
            paths,
            progress,
            split_semicolons=options.split_semicolons,
            split_newlines=options.split_newlines,
            spaced=options.segmenter == "space",
        )
        with closing(_segment_blocks(_blocks(sentences), options, workers)) as results:
            counts["shards"] = write_shards(_lines(results, counts), folder, lines_per_shard)
        if not counts["sentences"]:
            raise InputError("the input holds no words; check that it is the text you meant")
        description["counts"] = {name: counts[name] for name in COUNTS}
        text = json.dumps(description, indent=2) + "\n"
        (folder / SEGMENTATION_FILE).write_text(text, encoding="utf-8")
    return description["counts"]


def load_segmentation(folder) -> Optional[dict]:
    """Return how the shards in `folder` were segmented, or None when it is not recorded.

    Raises:
        InputError: The folder's segmentation.json is no JSON object.
    """
    path = Path(folder) / SEGMENTATION_FILE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}; segment the text again") from None
    if not isinstance(description, dict):
        raise InputError(f"{path}: expected a JSON object; segment the text again")
    return description


def segmentation_differences(first: dict, second: dict) -> list:
    """Return a line for each key, except the counts, in which two segmentations differ.

    Args:
        first: What `load_segmentation` returned.
        second: Likewise, of another corpus or model.

    Returns:
        Lines such as "options.hmm: true and false", sorted; empty when all is equal.
    """
    first, second = _flatten(first), _flatten(second)
    return [
        f"{key}: {first.get(key, 'absent')} and {second.get(key, 'absent')}"
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    ]


def _blocks(sentences):
    block, size = [], 0
    for sentence in sentences:
        block.append(sentence)
        size += len(sentence)
        if size >= _BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _segment_blocks(blocks, options, workers):
    """Yield the result of `_segment_block` for each block, in the order of the blocks."""
    if workers == 1:
        cut = load_segmenter(options)
        for block in blocks:
            yield _segment_block(block, cut, options.normalize)
        return
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_prepare_worker, initargs=(options,)
    )
    results = deque()
    try:
        for block in blocks:
            results.append(pool.submit(_segment_in_worker, block, options))
            if len(results) >= workers * _BLOCKS_PER_WORKER:
                yield results.popleft().result()
        while results:
            yield results.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_worker(options):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends the pool
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _worker_segmenter(options)


def _exit_with_parent():
    parent_process().join()  # returns also when the parent was killed
    os._exit(1)


_worker_segmenter = lru_cache(maxsize=1)(load_segmenter)


def _segment_in_worker(block, options):
    return _segment_block(block, _worker_segmenter(options), options.normalize)


def _segment_block(block, cut, normalize):
    """Return the lines of a block of sentences and a Counter of what is in them."""
    lines, counts = [], Counter()
    for sentence in block:
        words = segment_sentence(sentence, cut, normalize)
        if words:
            counts["special_tokens"] += sum(word in _HARMLESS for word in words)
            words = [_HARMLESS.get(word, word) for word in words]
            lines.append(" ".join(words) + "\n")
            counts["words"] += len(words)
            counts["characters"] += sum(map(len, words))
    counts["sentences"] = len(lines)
    return lines, counts


def _lines(results, counts):
    for lines, block_counts in results:
        counts.update(block_counts)
        yield from lines


def _flatten(description):
    values = dict(description)
    values.pop("counts", None)
    for key, value in values.pop("options", {}).items():
        values[f"options.{key}"] = value
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
