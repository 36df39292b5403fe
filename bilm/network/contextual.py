"""From rows of token ids to the layers that ELMo mixes."""

from typing import Optional, Tuple

import numpy as np
import paddle

from bilm.errors import InputError
from bilm.network.lstm import LSTMState, reverse_rows
from bilm.network.model import BACKWARD, BiLM
from bilm.network.row_blocks import full_blocks
from bilm.text.characters import NUM_CHARACTERS, character_ids
from bilm.text.vocabulary import BOS, EOS


def contextual_layers(
    bilm: BiLM,
    embedded: paddle.Tensor,
    lengths: Optional[paddle.Tensor] = None,
    variant: str = "elmo",
    state: Optional[LSTMState] = None,
) -> Tuple[paddle.Tensor, LSTMState]:
    """Return the layers that ELMo mixes, and the new state.

    Values beyond a row's length are not defined.

    Args:
        bilm: The biLM.
        embedded: Word vectors (batch, steps, projection), with `<S>` and `</S>` if wanted.
        lengths: Shape (batch,); None: all rows are full.
        variant: See `ELMo`. In variant "lark" step t of the backward half is the state after
            the last t + 1 words.
        state: As in `BiLM.forward`.

    Returns:
        Layers (num_layers + 1, batch, steps, directions * projection), and the state.
    """
    if variant == "elmo":
        return bilm.run_embedded(embedded, lengths, state)
    directions = range(bilm.config.num_directions)
    read = [embedded, reverse_rows(embedded, lengths)] if BACKWARD in directions else [embedded]
    layers, state = bilm.run_stacks(
        directions, paddle.stack(read), state, lengths, is_chain=reads_layer_below(variant)
    )
    halves = zip(*(paddle.unstack(layer) for layer in layers[1:]))
    return paddle.concat([paddle.stack([embedded, *half]) for half in halves], axis=-1), state


def reads_layer_below(variant: str) -> bool:
    """Return whether an LSTM layer reads the one below, in this variant of `ELMo`."""
    return variant == "elmo"


def add_boundaries(
    token_ids: paddle.Tensor, lengths: Optional[paddle.Tensor], config
) -> Tuple[paddle.Tensor, Optional[paddle.Tensor]]:
    """Return rows with `<S>` before and `</S>` after their tokens, and their lengths.

    Args:
        token_ids: Shape (batch, steps), or (batch, steps, characters or pieces).
        lengths: Shape (batch,); None: all rows are full.
        config: The biLM's configuration.

    Returns:
        Ids (batch, steps + 2, ...), `</S>` being repeated to the end of short rows; and the
        lengths plus 2, or None.
    """
    if config.char_cnn is not None:
        borders = character_ids([BOS, EOS], token_ids.shape[-1])[:, None]  # (2, 1, characters)
        borders = [paddle.to_tensor(border, dtype=token_ids.dtype) for border in borders]
    elif len(token_ids.shape) == 3:
        is_first = paddle.arange(size_of(token_ids, 2), dtype=token_ids.dtype) == 0  # (pieces,)
        is_first = is_first.astype(token_ids.dtype)
        borders = [is_first * (i + 1) - 1 for i in (config.bos_id, config.eos_id)]
    else:
        borders = [
            paddle.full([1], i, dtype=token_ids.dtype) for i in (config.bos_id, config.eos_id)
        ]
    tail = [size_of(token_ids, 2)] if len(token_ids.shape) == 3 else []
    zeros = paddle.zeros([size_of(token_ids, 0), 1, *tail], dtype=token_ids.dtype)
    before, after = (zeros + border for border in borders)
    joined = paddle.concat([before, token_ids, after], axis=1)
    if lengths is None:
        return joined, None
    steps = paddle.arange(size_of(joined, 1), dtype="int64").unsqueeze(0)
    inside = (steps <= lengths.astype("int64").unsqueeze(1)).astype(token_ids.dtype)
    if len(token_ids.shape) == 3:
        inside = inside.unsqueeze(-1)
    return joined * inside + after * (1 - inside), lengths + 2


def add_empty_rows(
    token_ids: paddle.Tensor, lengths: Optional[paddle.Tensor]
) -> Tuple[paddle.Tensor, Optional[paddle.Tensor]]:
    """Return the rows and their lengths, with empty rows added up to `full_blocks`.

    So a row's place among the others changes no bit of its values.

    Args:
        token_ids: Shape (batch, steps), or (batch, steps, characters or pieces).
        lengths: Shape (batch,); None: all rows are full.
    """
    rows, steps = size_of(token_ids, 0), size_of(token_ids, 1)
    extra = full_blocks(rows) - rows
    if isinstance(extra, int) and not extra:
        return token_ids, lengths
    tail = [size_of(token_ids, 2)] if len(token_ids.shape) == 3 else []
    more = paddle.zeros([extra, steps, *tail], dtype=token_ids.dtype)
    if lengths is not None:
        lengths = paddle.concat([lengths, paddle.zeros([extra], dtype=lengths.dtype)])
    return paddle.concat([token_ids, more]), lengths


def mask_of(token_ids: paddle.Tensor, lengths: paddle.Tensor) -> paddle.Tensor:
    """Return 1.0 where there is a token and 0.0 elsewhere, shape (batch, steps).

    Args:
        token_ids: Anything with the axes (batch, steps, ...).
        lengths: Tokens in each row, shape (batch,).
    """
    steps = paddle.arange(size_of(token_ids, 1), dtype="int64").unsqueeze(0)
    return (steps < lengths.astype("int64").unsqueeze(1)).astype("float32")


def size_of(tensor: paddle.Tensor, axis: int):
    """Return the size of an axis: a number, or a tensor where a static program does not know it."""
    size = tensor.shape[axis]
    return paddle.shape(tensor)[axis] if size is None or size < 0 else size


def check_token_ids(token_ids: paddle.Tensor, config) -> None:
    """Raise an InputError that names an id outside the vocabulary and its place.

    Args:
        token_ids: As `BiLM.embed` takes them; of another type or shape is an error, too.
        config: The model's `BiLMConfig`.

    Raises:
        InputError: As above.
    """
    is_word = config.char_cnn is None
    if not isinstance(token_ids, paddle.Tensor):
        raise InputError(f"token ids must be a paddle.Tensor, not {type(token_ids).__name__}")
    if token_ids.dtype not in (paddle.int64, paddle.int32):
        raise InputError(f"token ids must be of type int64, not {token_ids.dtype}")
    if len(token_ids.shape) not in ((2, 3) if is_word else (3,)):
        axes = "(batch, steps)" if is_word else "(batch, steps, characters)"
        raise InputError(f"token ids must have axes {axes}, not the shape {list(token_ids.shape)}")
    if not is_word and token_ids.shape[2] != config.max_characters:
        raise InputError(
            f"a word must have {config.max_characters} character ids, not {token_ids.shape[2]}"
        )
    ids = token_ids.numpy()
    size = config.vocab_size if is_word else NUM_CHARACTERS
    lowest = -1 if is_word and ids.ndim == 3 else 0  # -1: a word has no more pieces
    wrong = np.argwhere((ids < lowest) | (ids >= size))
    if len(wrong):
        row, step = wrong[0][:2]
        what = f"the vocabulary of {size} words" if is_word else f"the {size} characters"
        raise InputError(
            f"id {ids[tuple(wrong[0])]} in row {row}, step {step} is not in {what}"
        )


def check_lengths(lengths: Optional[paddle.Tensor], token_ids: paddle.Tensor) -> None:
    """Raise an InputError that names a length which is not within its row.

    Args:
        lengths: Shape (batch,), int64 or int32; None is always right.
        token_ids: Axes (batch, steps, ...).

    Raises:
        InputError: As above.
    """
    if lengths is None:
        return
    if not isinstance(lengths, paddle.Tensor):
        raise InputError(f"lengths must be a paddle.Tensor, not {type(lengths).__name__}")
    if lengths.dtype not in (paddle.int64, paddle.int32):
        raise InputError(f"lengths must be of type int64, not {lengths.dtype}")
    rows, steps = token_ids.shape[:2]
    if list(lengths.shape) != [rows]:
        raise InputError(f"lengths must have the shape [{rows}], not {list(lengths.shape)}")
    counts = lengths.numpy()
    wrong = np.flatnonzero((counts < 0) | (counts > steps))
    if len(wrong):
        raise InputError(
            f"length {counts[wrong[0]]} of row {wrong[0]} is not between 0 and {steps}, the "
            "number of steps"
        )
