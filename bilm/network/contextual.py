"""From rows of token ids to the layers that ELMo mixes."""

from typing import List, Optional, Tuple

import numpy as np
import paddle

from bilm.errors import InputError
from bilm.kernels.rows import reverse_rows
from bilm.network.config import BiLMConfig
from bilm.network.lstm import LSTMState, run_side_by_side
from bilm.network.model import BiLM, join_states, size_of
from bilm.network.row_blocks import full_blocks
from bilm.paddle_compat import as_tensor
from bilm.text.characters import NUM_CHARACTERS, character_ids
from bilm.text.vocabulary import BOS, EOS


def contextual_layers(
    bilm: BiLM,
    token_ids: paddle.Tensor,
    lengths: Optional[paddle.Tensor] = None,
    variant: str = "elmo",
    state: Optional[LSTMState] = None,
) -> Tuple[paddle.Tensor, LSTMState]:
    """Return the layers that ELMo mixes, and the new state. No dropout acts in either mode.

    Values beyond a row's length are not defined.

    Args:
        bilm: In either mode.
        token_ids: Shape (batch, steps), or with a third axis of pieces or characters; with `<S>`
            and `</S>` if wanted.
        lengths: Shape (batch,); None: all rows are full.
        variant: "elmo": the layers of `BiLM.forward`; "lark": those of `lark_layers` over the
            text and over the reversed text.
        state: hidden (directions, layers, batch, projection) and cell (directions, layers,
            batch, cell); None means zeros.

    Returns:
        Layers (num_layers + 1, batch, steps, directions * projection), layer 0 being the word
        vectors, once for each direction; and the state.
    """
    if variant == "elmo":
        return bilm.run(token_ids, lengths, state)
    embedded = bilm.embed(token_ids)
    read = [embedded, reverse_rows(embedded, lengths)] if bilm.config.bidirectional else [embedded]
    layers, state = lark_layers(bilm, paddle.stack(read), lengths, state)
    halves = zip(*(paddle.unstack(layer) for layer in layers))
    return paddle.concat([paddle.stack([embedded, *half]) for half in halves], axis=-1), state


def lark_layers(
    bilm: BiLM,
    embedded: paddle.Tensor,
    lengths: Optional[paddle.Tensor] = None,
    state: Optional[LSTMState] = None,
) -> Tuple[List[paddle.Tensor], LSTMState]:
    """Return the LSTM layers as LARK's encoder computes them: each reads the word vectors.

    There are no skip connections. Step t of the backward direction is the state after t + 1 words,
    which are the last ones of the text.

    Args:
        bilm: In either mode.
        embedded: Word vectors (directions, batch, steps, projection), in the order in which each
            direction reads.
        lengths: Shape (batch,); None: all rows are full.
        state: hidden (directions, layers, batch, projection) and cell (directions, layers,
            batch, cell); None means zeros.

    Returns:
        num_layers tensors (directions, batch, steps, projection), and the new state.
    """
    directions = range(bilm.config.num_directions)
    before = bilm.states_of_layers(state, len(directions), size_of(embedded, 1))
    results = [
        run_side_by_side(lstms, embedded, own, lengths)
        for lstms, own in zip(bilm.layers_of(directions), before)
    ]
    layers, states = zip(*results)
    return list(layers), join_states(states)


def add_boundaries(
    token_ids: paddle.Tensor, lengths: Optional[paddle.Tensor], config: BiLMConfig
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
        characters = character_ids([BOS, EOS], token_ids.shape[-1])[:, None]  # (2, 1, characters)
        borders = [as_tensor(border).astype(token_ids.dtype) for border in characters]
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


def check_token_ids(token_ids: paddle.Tensor, config: BiLMConfig) -> None:
    """Raise an InputError that names an id outside the vocabulary and its place.

    Args:
        token_ids: Shape (batch, steps), or with a third axis of pieces or characters.
        config: The model's.

    Raises:
        InputError: An id is outside the vocabulary, or the tensor has another type or shape.
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
        InputError: A length is not between 0 and the number of steps, or the tensor has another
            type or shape.
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
