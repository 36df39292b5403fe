"""Segmented corpus to vocabulary file: count the words, keep the frequent ones."""

from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Optional, Sequence, Union

from bilm.errors import InputError
from bilm.files import PathLike, write_text_atomically
from bilm.text.lines import decode_line, open_bytes, progress_bar, read_lines
from bilm.text.shards import find_shards
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary


def count_words(shards: Sequence[PathLike], show_progress: bool = False) -> Counter[str]:
    """Return how often each word occurs in some files; special tokens are not counted.

    Words are separated by ASCII white space. The files are streamed; only the distinct words are
    kept.

    Args:
        shards: Files of segmented text; .gz is decompressed.
        show_progress: Whether to show a progress bar, if stderr is a terminal.

    Raises:
        InputError: A line is not UTF-8, or a gzip file is damaged.
    """
    counts: Counter[bytes] = Counter()  # of bytes, which are split faster than text
    with progress_bar(shards, show_progress) as progress:
        for shard in shards:
            with open_bytes(shard) as file:
                for number, line in enumerate(read_lines(file, progress), start=1):
                    decode_line(line, shard, number)
                    counts.update(line.split())
    for token in SPECIAL_TOKENS:
        counts.pop(token.encode("utf-8"), None)
    return Counter({word.decode("utf-8"): count for word, count in counts.items()})


def build_vocabulary(
    patterns: Union[PathLike, Iterable[PathLike]],
    output: PathLike,
    min_count: int = 1,
    max_size: Optional[int] = None,
    show_progress: bool = False,
) -> Dict[str, Union[int, float]]:
    """Write the vocabulary of a corpus to the file `output`, which it replaces.

    Args:
        patterns: Corpus files, folders or globs, see `find_shards`.
        output: The vocabulary file.
        min_count: Words that occur less often are left out.
        max_size: Largest size of the vocabulary, special tokens included; None: no limit.
        show_progress: Whether to show a progress bar, if stderr is a terminal.

    Returns:
        tokens (words in the corpus), types (distinct words), vocabulary_size (special tokens
        included) and coverage_percent (share of tokens whose word is in the vocabulary).

    Raises:
        InputError: A value is out of range, a pattern matches nothing, the output is one of
            the corpus files or a folder, a line is not UTF-8, or no word is left.
    """
    if min_count < 1:
        raise InputError(f"min_count must be at least 1, not {min_count}")
    if max_size is not None and max_size <= len(SPECIAL_TOKENS):
        raise InputError(
            f"max_size must be above {len(SPECIAL_TOKENS)}, the special tokens, not {max_size}"
        )
    shards, output = find_shards(patterns), Path(output)
    if output.is_dir():
        raise InputError(f"{output} is a folder; give the name of a file for the vocabulary")
    if output.resolve() in {shard.resolve() for shard in shards}:
        raise InputError(f"{output} is one of the corpus files; write the vocabulary elsewhere")
    counts = count_words(shards, show_progress)
    if not counts:
        raise InputError(f"no words in {shards[0]} and the other corpus files; check their content")
    vocabulary = Vocabulary.from_counts(counts, min_count=min_count, max_size=max_size)
    if len(vocabulary) == len(SPECIAL_TOKENS):
        raise InputError(f"no word occurs {min_count} times; lower min_count")
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(output, vocabulary.to_text())
    tokens = sum(counts.values())
    known = sum(counts[word] for word in vocabulary.words)
    return {
        "tokens": tokens,
        "types": len(counts),
        "vocabulary_size": len(vocabulary),
        "coverage_percent": 100 * known / tokens,
    }
