"""Words as rows of character ids, the input of a model with a character encoder.

A word is the UTF-8 bytes of its text between two marks: 258, the bytes, 259, then 260 up to
the row's length; a sentence's borders `<S>` and `</S>` have 256 and 257 in place of the bytes.
Every id is then raised by one, so that 0 is left for places without a word.

Source: bilm-tf, for the numbers.
"""

from typing import Iterable, Iterator, Tuple

import numpy as np

from bilm.text.vocabulary import BOS, EOS, check_sentences

NUM_CHARACTERS = 262  # with the 0 of places without a word
MAX_CHARACTERS = 50

_BORDER_BYTES = {BOS: [256], EOS: [257]}
_WORD_START, _WORD_END, _FILL = 258, 259, 260


def character_ids(tokens: Iterable[str], max_characters: int = MAX_CHARACTERS) -> np.ndarray:
    """Return the character ids of `tokens`, int64, shape (tokens, max_characters).

    Bytes beyond max_characters - 2 are left out, as in bilm-tf. The tokens `<S>` and `</S>`
    stand for the borders of a sentence.
    """
    tokens = list(tokens)
    ids = np.full((len(tokens), max_characters), _FILL, np.int64)
    for row, token in zip(ids, tokens):
        content = _BORDER_BYTES.get(token) or list(token.encode("utf-8")[: max_characters - 2])
        row[: len(content) + 2] = [_WORD_START, *content, _WORD_END]
    return ids + 1


def pad_characters(
    sentences: Iterable[Iterable[str]], max_characters: int = MAX_CHARACTERS
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the character ids of sentences as rows of equal length, and the lengths.

    Args:
        sentences: Lists of words. No `<S>` or `</S>` is added.
        max_characters: Ids of a word, its marks included.

    Returns:
        int64 arrays (batch, steps, max_characters), 0 where there is no word, and (batch,).

    Raises:
        InputError: A sentence is not a list of strings.
    """
    sentences = check_sentences(sentences)
    lengths = np.array([len(tokens) for tokens in sentences], np.int64)
    rows = np.zeros((len(sentences), max([*lengths, 0]), max_characters), np.int64)
    for row, tokens in zip(rows, sentences):
        row[: len(tokens)] = character_ids(tokens, max_characters)
    return rows, lengths


def character_option_problems(options: object) -> Iterator[str]:
    """Yield a line for each problem with a value of `BiLMConfig.char_cnn`."""
    if not isinstance(options, dict):
        yield f"char_cnn must be an object, not {options!r}"
        return
    options = dict(options)
    embedding = options.pop("embedding", None)
    dim = embedding.get("dim") if isinstance(embedding, dict) and len(embedding) == 1 else None
    if not _is_count(dim):
        yield f"char_cnn.embedding must be {{'dim': a positive number}}, not {embedding!r}"
    characters = options.pop("max_characters_per_token", MAX_CHARACTERS)
    if not _is_count(characters) or characters < 3:
        yield f"char_cnn.max_characters_per_token must be at least 3, not {characters!r}"
        return
    filters = options.pop("filters", None)
    shapes = isinstance(filters, (list, tuple)) and len(filters) and all(
        isinstance(item, (list, tuple)) and len(item) == 2 and all(map(_is_count, item))
        for item in filters
    )
    if not shapes or max(width for width, _ in filters) > characters:
        yield (
            "char_cnn.filters must be pairs of a width, at most max_characters_per_token, "
            f"and a number of filters, not {filters!r}"
        )
    activation = options.pop("activation", "relu")
    if activation not in ("relu", "tanh"):
        yield f"char_cnn.activation must be 'relu' or 'tanh', not {activation!r}"
    num_characters = options.pop("n_characters", NUM_CHARACTERS)
    allowed = (NUM_CHARACTERS - 1, NUM_CHARACTERS)  # without and with the 0
    if num_characters not in allowed:
        yield f"char_cnn.n_characters must be {allowed[0]} or {allowed[1]}, not {num_characters!r}"
    num_highway = options.pop("n_highway", 0)
    if num_highway is not None and (type(num_highway) is not int or num_highway < 0):
        yield f"char_cnn.n_highway must be a number of layers, not {num_highway!r}"
    if options:
        yield f"char_cnn has unknown keys: {', '.join(sorted(map(str, options)))}"


def _is_count(value):
    return type(value) is int and value > 0
