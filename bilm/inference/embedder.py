"""Contextual word vectors for lists of sentences, in memory or piece by piece."""

import hashlib
from itertools import chain
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import paddle

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.inference.batching import BATCH_TOKENS, plan_blocks
from bilm.inference.options import LAYERS
from bilm.network.contextual import contextual_layers, lark_layers
from bilm.network.lstm import LSTMState
from bilm.network.mixes import VARIANTS, LayerNorms, Mixes, mix_layers
from bilm.network.model import BACKWARD
from bilm.network.row_blocks import full_blocks
from bilm.paddle_compat import as_tensor
from bilm.storage.models import load_model
from bilm.storage.pretrained import NAME_VOCABULARY, read_mixes
from bilm.storage.tensors import weights_of
from bilm.text.characters import character_ids
from bilm.text.vocabulary import BOS, EOS, UNKNOWN, check_sentences


class Piece(NamedTuple):
    """Vectors of consecutive words of a sentence.

    Attributes:
        row: The number of the sentence in its batch.
        start: The number of the first word.
        vectors: Shape (layers, words, features), or (words, features) of one or mixed layers.
    """

    row: int
    start: int
    vectors: np.ndarray


class Embedder:
    """Computes the contextual vectors of the words of sentences.

    Sentences are independent unless `stateful`: a sentence has the same vectors whatever else is
    embedded with it (to the bit in batches of the same shape, on the processors that docs/parity.md
    lists, and otherwise within 1e-6 of the larger of 1 and the value). Sentences of more than
    BATCH_TOKENS words run in windows with carried state, so that memory is bounded; the backward
    direction then runs twice, first from the end to the start to obtain the state before each
    window, then window by window.

    Examples:
        >>> embedder = Embedder("sample")
        >>> [vectors] = embedder.embed([["明天", "会", "下雨", "。"]])
        >>> vectors.shape == (embedder.num_layers, 4, embedder.features)
        True

    Attributes:
        vocabulary: The model's; None for a model with a character encoder, which needs none.
        segmentation: How the training text was segmented; None if not known.
        num_layers: The first axis of `layers="all"`: the token layer and the LSTM layers.
        features: The last axis: directions * projection.

    Args:
        path: A biLM in any form that `bilm.storage.pretrained` lists.
        stateful: Carry the state from each sentence to the next, across all calls, in both
            directions, as bilm-tf and AllenNLP do: vectors then depend on earlier sentences.
        layers: "all"; "top", the last one; "average"; or "mix", with the weights in `mix_from`.
        mix_from: Folder in which `ELMo.save_mixes` or LARK saved the weights of a mix.
        variant: "elmo" or "lark"; see `ELMo`.
        unknown: The vector of a word outside the vocabulary: "unk", that of `<UNK>`; or
            "characters", the mean of the vectors of its pieces, see `Vocabulary.pieces`.
        batch_size: Largest number of sentences computed together.
        vocab_path: A vocabulary file, for a model that comes without one.

    Raises:
        InputError: There is no biLM at `path`, it needs a vocabulary and has none, or an option
            is not allowed.
    """

    def __init__(
        self,
        path: PathLike,
        stateful: bool = False,
        *,
        layers: str = "all",
        mix_from: Optional[PathLike] = None,
        variant: str = "elmo",
        unknown: str = "unk",
        batch_size: int = 32,
        vocab_path: Optional[PathLike] = None,
    ):
        _check_options(layers, mix_from, variant, unknown, batch_size)
        self._model, stored = load_model(path, vocab_path)
        config, self.vocabulary = self._model.config, stored.vocabulary
        self.segmentation = stored.segmentation
        if config.char_cnn is not None:
            self.vocabulary = None
            if unknown != "unk":
                raise InputError("a model with a character encoder needs no other `unknown`")
        elif self.vocabulary is None:
            raise InputError(f"{path}: has no vocab.txt; {NAME_VOCABULARY}")
        self._variant, self._unknown, self._layers = variant, unknown, layers
        self.batch_size, self.stateful = batch_size, stateful
        self.num_layers = config.num_layers + 1
        self.features = config.num_directions * config.projection_size
        self.mix: Optional[Mixes] = None if mix_from is None else self._read_mix(mix_from)
        self.state: Optional[LSTMState] = None  # after the last sentence, if stateful

    def _read_mix(self, mix_from):
        mixes = read_mixes(mix_from)
        if mixes.variant != self._variant:
            raise InputError(
                f"{mix_from}: the mix was learned with variant {mixes.variant}, not "
                f"{self._variant}; pass --variant {mixes.variant}"
            )
        if len(mixes.parameters) != 1 or len(mixes.parameters[0][0]) != self.num_layers:
            shapes = ", ".join(str(len(weights)) for weights, _ in mixes.parameters)
            raise InputError(
                f"{mix_from}: expected one mix of {self.num_layers} layers, found those of {shapes}"
            )
        return mixes

    def fingerprint(self) -> str:
        """Return a SHA-256 of everything that determines vectors: weights and options."""
        digest = hashlib.sha256()
        for name, array in sorted(weights_of(self._model).items()):
            digest.update(name.encode() + array.tobytes())
        words = "" if self.vocabulary is None else self.vocabulary.to_text()
        options = (
            self._model.config, words, self._layers, self._variant, self._unknown, self.mix,
            self.batch_size, self.stateful,
        )
        digest.update(repr(options).encode())
        return digest.hexdigest()

    def shape(self, num_words: int) -> Tuple[int, ...]:
        """Return the shape of the vectors of a sentence of `num_words` words."""
        whole = (self.num_layers, num_words, self.features)
        return whole if self._layers == "all" else whole[1:]

    def embed(self, sentences: Sequence[Sequence[str]]) -> List[np.ndarray]:
        """Return the vectors of each sentence, float32.

        Args:
            sentences: Lists of words, segmented as the model's training text was; an empty
                list gives an array without words.

        Returns:
            Arrays (num_layers, words, features) with layers="all", else (words, features).

        Raises:
            InputError: A sentence is not a list of strings.
        """
        sentences = check_sentences(sentences)
        embedded = [np.empty(self.shape(len(sentence)), np.float32) for sentence in sentences]
        blocks = plan_blocks(map(len, sentences), self.batch_size, self.stateful)
        for batch in chain.from_iterable(blocks):
            for row, start, vectors in self.pieces([sentences[number] for number in batch]):
                embedded[batch[row]][..., start : start + vectors.shape[-2], :] = vectors
        return embedded

    def pieces(self, batch: List[List[str]]) -> Iterator[Piece]:
        """Yield the vectors of the sentences of one batch of `plan_blocks`."""
        with paddle.no_grad():
            if len(batch) == 1 and len(batch[0]) + 2 > BATCH_TOKENS:
                yield from self._long_pieces(batch[0])
                return
            layers = self._batch_layers(batch)
        for row, words in enumerate(batch):
            own = layers[:, row, : len(words)]
            norms = LayerNorms([own]) if self._needs_norms else None
            yield Piece(row, 0, self._reduce(own, norms))

    def get_state(self) -> Dict[str, np.ndarray]:
        """Return the state after the last sentence as arrays by name; empty unless stateful."""
        if self.state is None:
            return {}
        return {name: part.numpy() for name, part in self.state._asdict().items()}

    def set_state(self, arrays: Dict[str, np.ndarray]) -> None:
        """Continue from a state that `get_state` returned."""
        self.state = None
        if arrays:
            self.state = LSTMState(*(as_tensor(arrays[name]) for name in LSTMState._fields))

    @property
    def _needs_norms(self):
        return self.mix is not None and self.mix.layer_norm

    def _reduce(self, layers, norms):
        """Return the layer or layers asked for, of an array (layers, words, features)."""
        if self._layers == "top":
            return layers[-1]
        if self._layers == "average":
            return layers.mean(axis=0)
        if self.mix is not None:
            return mix_layers(layers, *self.mix.parameters[0], norms)
        return layers

    def _batch_layers(self, batch):
        """Return the layers (layers, rows, words, features) of a batch without borders."""
        batch = [self._with_borders(words) for words in batch]
        lengths = [len(words) for words in batch]
        # full blocks: then a sentence's row changes no bit of it; a carried state has one row
        rows = len(batch) if self.stateful else full_blocks(len(batch))
        padding = [EOS] * max(lengths)
        words = [(words + padding)[: max(lengths)] for words in batch]
        words += [padding] * (rows - len(batch))
        counts = as_tensor(np.array(lengths + [0] * (rows - len(batch)), np.int64))
        layers, state = contextual_layers(
            self._model, self._ids(words), counts, self._variant, self.state
        )
        self.state = state if self.stateful else None
        inside = slice(1, -1) if self._variant == "elmo" else slice(None)
        return layers.numpy()[:, :, inside]

    def _with_borders(self, words):
        return [BOS, *words, EOS] if self._variant == "elmo" else words

    def _ids(self, rows):
        """Return the ids of rows of words: a tensor that `BiLM.embed` accepts."""
        if self.vocabulary is None:  # the model reads characters
            size = self._model.config.max_characters
            ids = np.stack([character_ids(words, size) for words in rows])
        elif self._unknown == "unk":
            ids = np.array([self.vocabulary.encode(words) for words in rows], np.int64)
        else:
            ids, _ = self.vocabulary.pad_pieces(rows)
        return as_tensor(ids)

    def is_composed(self, word: str) -> bool:
        """Return whether an unknown word gets its vector from its known characters."""
        if self.vocabulary is None or self._unknown == "unk" or word in self.vocabulary:
            return False
        return self.vocabulary.pieces(word) != [self.vocabulary.unk_id]

    def _long_pieces(self, words):
        """Yield the vectors of a long sentence, window by window."""
        words = self._with_borders(words)
        norms = None
        before = self.state
        if self._needs_norms:
            norms = LayerNorms(layers for _, layers in self._windows(words, before))
        for start, layers in self._windows(words, before):
            yield Piece(0, start, self._reduce(layers, norms))

    def _windows(self, words, state):
        """Yield the first word and the layers of each window of a sentence."""
        starts = range(0, len(words), BATCH_TOKENS)
        if self._variant == "lark":
            yield from self._lark_windows(words, starts, state)
            return
        windows = [words[start : start + BATCH_TOKENS] for start in starts]
        state = state or self._model.initial_state(1)
        forward, backward = (LSTMState(*(part[half] for part in state))
                             for half in (slice(0, 1), slice(1, 2)))
        states_before = []  # of the backward direction, last window first
        for window in reversed(windows if self._model.config.bidirectional else []):
            states_before.append(backward)
            ids = self._ids([window[::-1]]).unsqueeze(0)
            _, backward = self._model.read([BACKWARD], ids, backward)
        for start, window in zip(starts, windows):
            before = [forward, *states_before[-1:]]
            ids = self._ids([window])
            layers, after = contextual_layers(self._model, ids, None, "elmo", _joined(before))
            forward = LSTMState(*(part[:1] for part in after))
            states_before = states_before[:-1]
            # without <S> and </S>
            first, last = int(start == 0), len(window) - int(window is windows[-1])
            if last > first:
                yield max(0, start - 1), layers.numpy()[:, 0, first:last]
        if self.stateful:
            bothways = [forward, backward] if self._model.config.bidirectional else [forward]
            self.state = _joined(bothways)

    def _lark_windows(self, words, starts, state):
        """Yield the first word and the layers of each window, in variant "lark"."""
        for start in starts:
            stop = min(start + BATCH_TOKENS, len(words))
            read = [words[start:stop], words[len(words) - stop : len(words) - start][::-1]]
            read = read[: self._model.config.num_directions]
            embedded = self._model.embed(self._ids(read)).unsqueeze(1)
            layers, state = lark_layers(self._model, embedded, None, state)
            words_twice = paddle.concat([embedded[:1]] * len(read))  # also backward: in text order
            layers = paddle.stack([words_twice, *layers]).numpy()[:, :, 0]
            yield start, np.concatenate([*layers.swapaxes(0, 1)], axis=-1)
        if self.stateful:
            self.state = state


def _joined(states):
    """Return the state of both directions, the first axis, from that of each."""
    return LSTMState(*(paddle.concat(parts) for parts in zip(*states)))


def _check_options(layers, mix_from, variant, unknown, batch_size):
    for name, value, allowed in (
        ("layers", layers, LAYERS), ("variant", variant, VARIANTS), ("unknown", unknown, UNKNOWN)
    ):
        if value not in allowed:
            raise InputError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    if (layers == "mix") != (mix_from is not None):
        raise InputError("layers 'mix' and mix_from, a folder with the mix's weights, go together")
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}")
