"""Raw Chinese text to corpus shards: one sentence a line, words separated by single spaces."""

import json
import logging
import os
import signal
import threading
from collections import Counter, deque
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Deque, Dict, Iterable, List, Optional, Union

from bilm.errors import InputError
from bilm.files import PathLike, read_json, write_json
from bilm.text.lines import progress_bar
from bilm.text.segmenters import SegmentationOptions, load_segmenter, segment_sentence
from bilm.text.sentences import find_inputs, read_sentences
from bilm.text.shards import SEGMENTATION_FILE, new_shards, write_shards
from bilm.text.vocabulary import SPECIAL_TOKENS

_log = logging.getLogger("bilm")

COUNTS = ("files", "sentences", "words", "characters", "shards", "special_tokens")

_BLOCK_CHARACTERS = 20_000  # about 64 KB of text
_BLOCKS_PER_WORKER = 4  # in flight: enough to keep a worker busy, few enough to bound memory
_HARMLESS = {token: token.translate(str.maketrans("<>", "＜＞")) for token in SPECIAL_TOKENS}


def segment_files(
    inputs: Union[PathLike, Iterable[PathLike]],
    output: PathLike,
    options: Optional[SegmentationOptions] = None,
    lines_per_shard: int = 100_000,
    workers: int = 1,
    show_progress: bool = False,
) -> Dict[str, int]:
    """Segment raw text into shards sentence_file_00000, ... and segmentation.json in `output`.

    The shards are the same for any number of workers. They appear in `output` when all are
    complete; when this raises, nothing is left. A word that reads like a special token
    (`<S>`, `</S>`, `<UNK>`) is written with full-width brackets (＜S＞, ...), so that it
    does not become one. Only one run at a time may write into a folder.

    Args:
        inputs: UTF-8 text files, decompressed if their names end in .gz; folders, which stand for
            all files in them at any depth except hidden ones; "-" for standard input.
        output: Folder without shards; created if necessary.
        options: Default: `SegmentationOptions()`.
        lines_per_shard: Number of sentences in each shard but the last.
        workers: Number of processes; 1 means this one. With more, a script that calls this needs
            the guard `if __name__ == "__main__":`.
        show_progress: Whether to show a progress bar, if stderr is a terminal.

    Returns:
        The numbers of files, sentences, words, characters (of the words), shards, and
        special_tokens (words that read like a special token).

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
        write_json(folder / SEGMENTATION_FILE, description)
    return description["counts"]


def load_segmentation(folder: PathLike) -> Optional[dict]:
    """Return the content of segmentation.json in `folder`, or None if there is no such file.

    Raises:
        InputError: It is not a JSON object.
    """
    try:
        return read_json(Path(folder) / SEGMENTATION_FILE)
    except FileNotFoundError:
        return None
    except InputError as error:
        raise InputError(f"{error}; segment the text again") from None


def warn_of_segmentation(trained: Optional[dict], shards: Iterable[Path]) -> None:
    """Warn of each folder whose text was segmented differently than a model's training text.

    Args:
        trained: Segmentation of the training text; None: unknown, nothing is compared.
        shards: Files beside which segmentation.json is looked for.

    Raises:
        InputError: A segmentation.json is damaged.
    """
    for folder in sorted({shard.parent for shard in shards}):
        segmentation = load_segmentation(folder)
        if trained and segmentation:
            differences = segmentation_differences(trained, segmentation)
            if differences:
                _log.warning(
                    f"{folder} was segmented differently than the model's training text: "
                    + "; ".join(differences)
                )


def segmentation_differences(first: dict, second: dict) -> List[str]:
    """Return a line for each key, except the counts, in which two segmentations differ.

    The lines, such as "options.hmm: true and false", are sorted.
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
    results: Deque[Future] = deque()
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
    parent_process().join()  # type: ignore[union-attr] # returns also when the parent was killed
    os._exit(1)


_worker_segmenter = lru_cache(maxsize=1)(load_segmenter)


def _segment_in_worker(block, options):
    return _segment_block(block, _worker_segmenter(options), options.normalize)


def _segment_block(block, cut, normalize):
    """Return the lines of a block of sentences and a Counter of what is in them."""
    lines: List[str] = []
    counts: Counter[str] = Counter()
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
