"""Vectors of every line of a text, in an HDF5 file; an interrupted run can be resumed."""

import hashlib
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.inference.batching import plan_blocks
from bilm.inference.embedder import Embedder
from bilm.inference.vector_file import (
    VectorFile,
    check_output,
    is_complete,
    remove_leftovers,
    sentence_index_of,
)
from bilm.text.lines import Lines
from bilm.text.segmenters import (
    as_recorded,
    load_segmenter,
    segment_sentence,
    warn_of_segmenter,
)

_log = logging.getLogger("bilm")


class Survey(NamedTuple):
    """The content of a text, and how much of it a model knows.

    Attributes:
        lengths: Words in each line.
        sentences: The lines, words separated by spaces.
        unknown: Number of words outside the model's vocabulary.
        composed: Number of these that get a vector from their known characters.
        digest: SHA-256 of the words.
    """

    lengths: List[int]
    sentences: List[str]
    unknown: int
    composed: int
    digest: str


def survey(lines: Lines, embedder: Embedder) -> Survey:
    """Return the `Survey` of a text, which is read once."""
    lengths, sentences, unknown, composed = [], [], 0, 0
    vocabulary, digest = embedder.vocabulary, hashlib.sha256()
    for words in _digested(lines, digest):
        lengths.append(len(words))
        sentences.append(" ".join(words))
        if vocabulary is not None:
            others = [word for word in words if word not in vocabulary]
            unknown += len(others)
            composed += sum(map(embedder.is_composed, others))
    return Survey(lengths, sentences, unknown, composed, digest.hexdigest())


def embed_lines(
    embedder: Embedder,
    lines: Lines,
    output: PathLike,
    dtype: str = "float32",
    resume: bool = False,
    show_progress: bool = False,
) -> Dict[str, int]:
    """Write the vectors of each line to an HDF5 file, which appears when it is complete.

    See `bilm.inference.vector_file` for the layout, and for the files of an interrupted call.

    Args:
        embedder: Its `layers` determines the shape of the datasets. It must not have
            embedded anything yet.
        lines: The text.
        output: The file to write.
        dtype: "float32" or "float16".
        resume: Continue an interrupted call; nothing is done if the file is complete.
        show_progress: Whether to show a progress bar, if stderr is a terminal.

    Returns:
        The numbers of lines, words, unknown words and composed words (see `Survey`).

    Raises:
        InputError: The output cannot be written, or already exists.
    """
    text = survey(lines, embedder)
    report = {
        "lines": len(text.lengths), "words": sum(text.lengths),
        "unknown": text.unknown, "composed": text.composed,
    }
    digest = hashlib.sha256((embedder.fingerprint() + dtype + text.digest).encode())
    if _is_finished(output, digest.hexdigest(), resume):
        _log.warning(f"{output} is complete already; there is nothing to do")
        return report
    file = VectorFile(
        output,
        [embedder.shape(length) for length in text.lengths],
        np.dtype(dtype),
        sentence_index_of(text.sentences),
        digest.hexdigest(),
        resume,
    )
    bar = tqdm(total=report["words"], unit="word", disable=None if show_progress else True)
    try:
        with bar, _keeping_what_is_done(file, output, bar):
            _fill(file, embedder, lines, text, bar)
            file.complete()
    finally:
        file.close()
    return report


def _is_finished(output, fingerprint, resume):
    check_output(output, resume)
    if not Path(output).exists():
        return False
    if not is_complete(output, fingerprint):
        raise InputError(
            f"{output} is there already, of another text, model or option; remove it or choose "
            "another name"
        )
    remove_leftovers(output)
    return True


@contextmanager
def _keeping_what_is_done(file, output, bar):
    """Save the progress when the block is interrupted, and say how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        file.note()
        _log.warning(
            f"interrupted after {bar.n} of {bar.total} words: the same command with --resume "
            "goes on"
        )
        raise
    except OSError as error:
        raise InputError(
            f"{output}: cannot be written: {error.strerror}; finished work is kept; fix the "
            "problem and rerun with --resume"
        ) from None


def _fill(file, embedder, lines, text, bar):
    lengths, done, number = text.lengths, file.batches_done, 0
    embedder.set_state(file.state)
    digest = hashlib.sha256()
    numbered = enumerate(_digested(lines, digest))
    for block in plan_blocks(lengths, embedder.batch_size, embedder.stateful):
        words_of = _read_block(numbered, max(map(max, block)))
        for batch in block:
            if number >= done:
                for row, start, vectors in embedder.pieces([words_of[line] for line in batch]):
                    file.write(batch[row], start, vectors)
                file.finish_batch(embedder.get_state())
            number += 1
            bar.update(sum(lengths[line] for line in batch))
    for _ in numbered:
        pass  # empty lines at the end
    if digest.hexdigest() != text.digest:
        raise InputError("the text was changed while it was read; start again without --resume")
    if file.batches_done != number:
        raise InputError(
            f"the progress file counts {file.batches_done} batches, but the text has {number}; "
            "remove the .partial files and start again"
        )


def _digested(lines, digest):
    """Yield the lines, and add their words to `digest`."""
    for words in lines:
        digest.update(" ".join(words).encode("utf-8") + b"\n")
        yield words


def _read_block(numbered, last):
    words_of = {}
    for line, words in numbered:
        words_of[line] = words
        if line == last:
            break
    return words_of


def segmenter_for(
    embedder: Embedder, user_dict: Optional[str], dictionary: Optional[str] = None
) -> Callable[[str], List[str]]:
    """Return a function that splits a line into words as the model's training text was.

    Args:
        embedder: Its `segmentation` is followed; a warning says so where that cannot be.
        user_dict: File of a user dictionary of jieba; None: none.
        dictionary: File of the dictionary of the segmenter "dictionary".

    Raises:
        InputError: The segmenter is not known or not installed, or a dictionary cannot be read.
    """
    chosen = as_recorded(embedder.segmentation, user_dict, dictionary)
    warn_of_segmenter(embedder.segmentation, chosen)
    cut = load_segmenter(chosen)
    return lambda line: segment_sentence(line, cut, chosen.normalize)
