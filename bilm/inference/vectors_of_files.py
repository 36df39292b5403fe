"""Vectors of every line of a text, in an HDF5 file; an interrupted run can be resumed."""

import hashlib
import logging
import os
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from bilm.errors import InputError
from bilm.inference.embedder import Embedder, plan_blocks
from bilm.inference.vector_file import VectorFile, is_complete, remove_leftovers, sentence_index_of
from bilm.text.segmenters import SegmentationOptions, load_segmenter, segment_sentence
from bilm.text.shards import not_utf8, open_shard, read_lines
from bilm.text.vocabulary import split_words

_log = logging.getLogger("bilm")


class Lines:
    """The lines of a text as lists of words; they can be read again and again, until closed.

    Args:
        path: UTF-8 text, words separated by ASCII white space, as LARK separates them;
            `.gz` is decompressed; "-" is standard input.
        cut: Function from a raw line to its words; None: the lines are segmented.

    Raises:
        InputError: There is no such file, or a line is not UTF-8.
    """

    def __init__(self, path, cut: Optional[Callable[[str], List[str]]] = None):
        self._path, self._copy = str(path), None
        if self._path != "-" and not os.path.exists(self._path):
            raise InputError(f"{self._path}: No such file")
        if cut is not None or not os.path.isfile(self._path):  # such as "-", or a pipe
            self._copy = tempfile.TemporaryFile()
            for line in self._read():
                if cut is not None:
                    line = " ".join(cut(line.decode("utf-8"))).encode("utf-8")
                self._copy.write(line.rstrip(b"\r\n") + b"\n")

    def close(self) -> None:
        """Forget the copy that was made where the input cannot be read twice as it is."""
        if self._copy is not None:
            self._copy.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self):
        with nullcontext(sys.stdin.buffer) if self._path == "-" else open_shard(self._path) as file:
            for number, line in enumerate(read_lines(file), start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise not_utf8(self._path, number, error) from None
                yield line

    def __iter__(self):
        """Yield the words of each line; an empty line is an empty list.

        Raises:
            InputError: The text is not UTF-8, or a damaged gzip file.
        """
        if self._copy is not None:
            self._copy.seek(0)
        for line in self._read() if self._copy is None else self._copy:
            yield split_words(line.decode("utf-8"))


class Survey(NamedTuple):
    """What is in a text, as a model sees it.

    Attributes:
        lengths: Words in each line.
        sentences: The lines, words separated by spaces.
        unknown: Words that the model does not know.
        composed: Those of them that get a vector from their known characters.
        digest: SHA-256 of the words.
    """

    lengths: List[int]
    sentences: List[str]
    unknown: int
    composed: int
    digest: str


def survey(lines: Lines, embedder: Embedder) -> Survey:
    """Return what is in a text."""
    lengths, sentences, unknown, composed = [], [], 0, 0
    vocabulary, digest = embedder.vocabulary, hashlib.sha256()
    for words in _digested(lines, digest):
        lengths.append(len(words))
        sentences.append(" ".join(words))
        for word in words if vocabulary else ():
            if word not in vocabulary:
                unknown += 1
                composed += embedder.is_composed(word)
    return Survey(lengths, sentences, unknown, composed, digest.hexdigest())


def embed_lines(
    embedder: Embedder,
    lines: Lines,
    output,
    dtype: str = "float32",
    resume: bool = False,
    show_progress: bool = False,
) -> dict:
    """Write the vectors of each line to an HDF5 file, which appears when it is complete.

    See `bilm.inference.vector_file` for the layout, and for what an interrupted call leaves.

    Args:
        embedder: Its `layers` decide the shape of the datasets; its state must be fresh.
        lines: The text.
        output: The file to write.
        dtype: "float32" or "float16".
        resume: Go on with what an interrupted call left; nothing is done if it is complete.
        show_progress: Whether to show a progress bar, if stderr is a terminal.

    Returns:
        The numbers of lines, words, unknown words and composed words (see `Survey`).

    Raises:
        InputError: The output cannot be written, or is there already.
    """
    found = survey(lines, embedder)
    report = {
        "lines": len(found.lengths), "words": sum(found.lengths),
        "unknown": found.unknown, "composed": found.composed,
    }
    digest = hashlib.sha256((embedder.fingerprint() + dtype + found.digest).encode())
    if _is_finished(output, digest.hexdigest(), resume):
        _log.warning(f"{output} is complete already; there is nothing to do")
        return report
    file = VectorFile(
        output,
        [embedder.shape(length) for length in found.lengths],
        np.dtype(dtype),
        sentence_index_of(found.sentences),
        digest.hexdigest(),
        resume,
    )
    bar = tqdm(total=report["words"], unit="word", disable=None if show_progress else True)
    try:
        with bar, _keeping_what_is_done(file, output, bar):
            _fill(file, embedder, lines, found, bar)
            file.complete()
    finally:
        file.close()
    return report


def check_output(output, resume: bool = False) -> None:
    """Raise an InputError if a file of vectors cannot be written to `output`.

    Args:
        output: The file.
        resume: Whether it may be there already, if it turns out to be the same.

    Raises:
        InputError: Its folder is not there, it is a folder itself, or is there already.
    """
    output = Path(output)
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: there is no folder {output.absolute().parent}; make it first")
    if output.is_dir():
        raise InputError(f"{output} is a folder; give the name of a file")
    if output.exists() and not resume:
        raise InputError(f"{output} is there already; remove it or choose another name")


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
    """Note what is done when the block is left early, and tell how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        file.note()
        _log.warning(f"interrupted after {bar.n} of {bar.total} words: the same command with --resume "
             "goes on")
        raise
    except OSError as error:
        raise InputError(
            f"{output}: cannot be written: {error.strerror}; what is done is kept: mend that and "
            "go on with --resume"
        ) from None


def _fill(file, embedder, lines, found, bar):
    lengths, done, number = found.lengths, file.batches_done, 0
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
    if digest.hexdigest() != found.digest:
        raise InputError("the text was changed while it was read; start again without --resume")
    if file.batches_done != number:
        raise InputError(
            f"{file.batches_done} batches are said to be done, there are {number}; remove the "
            ".partial files and start again"
        )


def _digested(lines, digest):
    """Yield the lines; `digest` gets their words."""
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


def segmenter_for(embedder: Embedder, user_dict: Optional[str]) -> Callable[[str], List[str]]:
    """Return what cuts raw lines as the model's training text was cut, as far as that is known.

    It warns of what is not known, and of what is known and different here.

    Args:
        embedder: Knows how the training text was segmented, or not.
        user_dict: File of a user dictionary of jieba; None: none.

    Returns:
        A function from a line to its words.

    Raises:
        InputError: The segmenter is not known or not installed, or the user dictionary cannot be
            read.
    """
    known = embedder.segmentation
    if known is None or known.get("segmenter") == "space":
        _log.warning("it is not known what segmented the model's training text; jieba segments this one")
        known = {}
    options = known.get("options")
    options = options if isinstance(options, dict) else {}
    chosen = SegmentationOptions(
        segmenter=known.get("segmenter", "jieba"),
        user_dict=user_dict,
        hmm=options.get("hmm", True),
        normalize=options.get("normalize", "none"),
    )
    description = chosen.describe()
    for name in ("version", "dictionary_sha256", "user_dictionary_sha256"):
        if known and known.get(name) != description[name]:
            _log.warning(f"the model's training text was segmented with another {name}: "
                 f"{known.get(name)}, here {description[name]}")
    cut = load_segmenter(chosen)
    return lambda line: segment_sentence(line, cut, chosen.normalize)
