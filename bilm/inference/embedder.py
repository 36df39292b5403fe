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
from bilm.network.contextual import contextual_layers, reads_layer_below
from bilm.network.lstm import LSTMState, reverse_rows
from bilm.network.mixes import VARIANTS, LayerNorms, mix_layers
from bilm.network.model import BACKWARD, FORWARD
from bilm.network.row_blocks import full_blocks
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
    embedded with it (to the bit in batches of the same shape, on the processors that
    docs/parity.md names, and otherwise within 1e-6 of the larger of 1 and the value). Sentences of more than BATCH_TOKENS words run in windows with
    carried state, so that memory is bounded; the backward direction then runs twice, first from
    the end to the start to obtain the state before each window, then window by window.

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
        self.mix = self._read_mix(mix_from) if layers == "mix" else None
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
        words = self.vocabulary.to_text() if self.vocabulary else ""
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
            self.state = LSTMState(*(paddle.to_tensor(arrays[name]) for name in LSTMState._fields))

    @property
    def _needs_norms(self):
        return self.mix is not None and self.mix.layer_norm

    def _reduce(self, layers, norms):
        """Return the layer or layers asked for, of an array (layers, words, features)."""
        if self._layers == "top":
            return layers[-1]
        if self._layers == "average":
            return layers.mean(axis=0)
        if self._layers == "mix":
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
        counts = paddle.to_tensor(np.array(lengths + [0] * (rows - len(batch)), np.int64))
        layers, state = contextual_layers(
            self._model, self._embed(words), counts, self._variant, self.state
        )
        self.state = state if self.stateful else None
        inside = slice(1, -1) if self._variant == "elmo" else slice(None)
        return layers.numpy()[:, :, inside]

    def _with_borders(self, words):
        return [BOS, *words, EOS] if self._variant == "elmo" else words

    def _embed(self, rows):
        """Return the word vectors (batch, steps, projection) of rows of words."""
        config = self._model.config
        if config.char_cnn is not None:
            ids = np.stack([character_ids(words, config.max_characters) for words in rows])
            return self._model.embed(paddle.to_tensor(ids))
        if self._unknown == "unk":
            ids = np.array([self.vocabulary.encode(words) for words in rows], np.int64)
        else:
            ids, _ = self.vocabulary.pad_pieces(rows)
        return self._model.embed(paddle.to_tensor(ids))

    def is_composed(self, word: str) -> bool:
        """Return whether an unknown word gets its vector from its known characters."""
        is_unknown = word not in self.vocabulary and self._unknown == "characters"
        return is_unknown and self.vocabulary.pieces(word) != [self.vocabulary.unk_id]

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
        borders = self._variant == "elmo"
        starts = range(0, len(words), BATCH_TOKENS)
        states = [
            None if state is None else LSTMState(*(part[direction] for part in state))
            for direction in range(self._model.config.num_directions)
        ]
        before_window = {}
        if borders and len(states) == 2:
            before = states[BACKWARD]
            for start in reversed(starts):
                before_window[start] = before
                _, before = self._run(words, start, BACKWARD, before)
            ends = before
        for start in starts:
            halves, states[FORWARD] = self._run(words, start, FORWARD, states[FORWARD])
            halves = [halves]
            if len(states) == 2:
                before = before_window[start] if borders else states[BACKWARD]
                half, after = self._run(words, start, BACKWARD, before)
                states[BACKWARD] = ends if borders else after
                halves.append(half)
            layers = paddle.concat(halves, axis=-1).numpy()[:, 0]
            first, last = start, start + layers.shape[1]
            if borders:  # without <S> and </S>
                layers = layers[:, 1 if start == 0 else 0 :]
                layers = layers[:, : -1 if last == len(words) else None]
                first = max(0, start - 1)
            if layers.shape[1]:
                yield first, layers
        if self.stateful:
            self.state = LSTMState(*(paddle.stack(parts) for parts in zip(*states)))

    def _run(self, words, start, direction, state):
        """Return a direction's layers over a window, in the order of the output, and the state."""
        stop = min(start + BATCH_TOKENS, len(words))
        window = words[start:stop]
        embedded = self._embed([window])
        inputs = embedded
        if direction == BACKWARD and self._variant == "elmo":
            inputs = reverse_rows(embedded)
        elif direction == BACKWARD:  # the same steps of the reversed sentence
            inputs = self._embed([words[len(words) - stop : len(words) - start][::-1]])
        is_chain = reads_layer_below(self._variant)
        layers, state = self._model.run_stack(direction, inputs, state, is_chain=is_chain)
        if direction == BACKWARD and self._variant == "elmo":
            layers = [reverse_rows(layer) for layer in layers]
        return paddle.stack([embedded, *layers[1:]]), state


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
