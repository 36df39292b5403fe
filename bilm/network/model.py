"""The bidirectional language model: the one definition used by training and all after it."""

from typing import Callable, List, Optional, Sequence, Tuple, Union

import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.kernels import operators
from bilm.network.character_encoder import CharacterEncoder
from bilm.network.config import BiLMConfig
from bilm.network.lstm import LSTMState, ProjectedLSTM, run_over_text, run_side_by_side
from bilm.text.vocabulary import Vocabulary

FORWARD, BACKWARD = 0, 1


class Softmax(nn.Layer):
    """Weights (vocabulary, projection) and bias (vocabulary,) that predict words.

    It holds parameters only; `bilm.network.losses` computes with them.

    Args:
        vocab_size: Number of words.
        projection_size: Features from which they are predicted.
        weight_attr: `paddle.ParamAttr` of the weights; None: Paddle's default.
        bias_attr: `paddle.ParamAttr` of the bias; None: Paddle's default.
    """

    def __init__(
        self,
        vocab_size: int,
        projection_size: int,
        weight_attr: Optional[paddle.ParamAttr] = None,
        bias_attr: Optional[paddle.ParamAttr] = None,
    ):
        super().__init__()
        self.weight = self.create_parameter([vocab_size, projection_size], attr=weight_attr)
        self.bias = self.create_parameter([vocab_size], attr=bias_attr, is_bias=True)


class BiLM(nn.Layer):
    """Word vectors, and a stack of projected LSTMs for each direction.

    Word vectors are looked up, or made from characters where `config.char_cnn` is set. Each
    layer from the second on adds its input to its output (skip connection); the
    state that is carried is the layer's own, without it. Dropout acts at the input of
    each LSTM layer and, in `read`, on the top output; a skip connection adds the dropped
    input, as bilm-tf does.

    Examples:
        >>> model = BiLM(BiLMConfig(vocab_size=10, projection_size=4, cell_size=8, num_layers=2))
        >>> layers, state = model(paddle.to_tensor([[5, 3, 7]]))
        >>> list(layers.shape)  # word vectors and LSTM layers, batch, steps, both directions
        [3, 1, 3, 8]
        >>> list(state.cell.shape)  # directions, layers, batch, cell
        [2, 2, 1, 8]

    Source: Peters et al. 2018, "Deep contextualized word representations"; sizes and
    clips from LARK ELMo (Baidu, 2019).

    Attributes:
        sparse_gradients: Whether the embedding's gradient holds only the rows of words
            that occur (a Paddle SelectedRows), for optimisers that can use it.

    Args:
        config: Sizes, clips and switches.
        lark_init: Initialise as LARK does, with Paddle's defaults everywhere (the forget
            bias at 0). Otherwise the forget bias starts at 1 and embedding and softmax
            rows at a scale that does not depend on the vocabulary's size.
        has_softmax: Whether there is a softmax; word vectors need none.
        attr_of: Gives the `paddle.ParamAttr` of each parameter from its structured name, such
            as "forward_layers.0.bias"; the initializer is set here. None: Paddle's defaults.
    """

    def __init__(
        self,
        config: BiLMConfig,
        lark_init: bool = False,
        has_softmax: bool = True,
        attr_of: Optional[Callable[[str], paddle.ParamAttr]] = None,
    ):
        super().__init__()
        self.config = config
        self._attr_of = attr_of or (lambda name: paddle.ParamAttr())
        size = config.projection_size
        rows = None if lark_init else nn.initializer.Normal(0.0, size**-0.5)
        self.sparse_gradients = False
        self._trainable: Optional[bool] = None  # not decided yet
        if config.char_cnn is None:
            attr = self._attr("embedding.weight", rows)
            self.embedding = nn.Embedding(config.vocab_size, size, weight_attr=attr)
        else:
            self.character_encoder = CharacterEncoder(
                config.char_cnn, size, lambda name: self._attr(f"character_encoder.{name}")
            )
        self.forward_layers = self._make_stack("forward_layers", 0.0 if lark_init else 1.0)
        if config.bidirectional:
            self.backward_layers = self._make_stack("backward_layers", 0.0 if lark_init else 1.0)
        if has_softmax:
            self.softmax = self._make_softmax("softmax", rows)
            if config.bidirectional and not config.share_softmax:
                self.backward_softmax = self._make_softmax("backward_softmax", rows)

    def _attr(self, name, initializer=None):
        attr = self._attr_of(name)
        attr.initializer = initializer
        return attr

    def _make_softmax(self, name, rows):
        attrs = self._attr(f"{name}.weight", rows), self._attr(f"{name}.bias")
        return Softmax(self.config.vocab_size, self.config.projection_size, *attrs)

    def _make_stack(self, stem, forget_bias):
        config = self.config
        names = ("input_weight", "recurrent_weight", "bias", "projection_weight")
        return nn.LayerList(
            ProjectedLSTM(
                config.projection_size,
                config.projection_size,
                config.cell_size,
                config.cell_clip,
                config.projection_clip,
                forget_bias,
                {name: self._attr(f"{stem}.{number}.{name}") for name in names},
            )
            for number in range(config.num_layers)
        )

    @classmethod
    def from_pretrained(cls, path: PathLike) -> "BiLM":
        """Return the biLM at `path`, in evaluation mode.

        Args:
            path: A model folder, a training run's folder (its latest checkpoint), a LARK
                folder, combined file or `.npz`; see `bilm.storage.pretrained`.

        Raises:
            InputError: There is no biLM at `path`, or it is incomplete or damaged.
        """
        from bilm.storage.models import load_model

        return load_model(path)[0]

    def save_pretrained(
        self,
        path: PathLike,
        vocabulary: Optional[Vocabulary] = None,
        segmentation: Optional[dict] = None,
    ) -> None:
        """Write a model folder that `from_pretrained` reads; it appears whole or not at all.

        Args:
            path: The folder; a model folder of this name is replaced.
            vocabulary: Stored beside the weights; commands that read words need it.
            segmentation: How its training text was segmented, where known.

        Raises:
            InputError: The folder cannot be written, or holds something else than a model.
        """
        from bilm.storage.models import save_model

        save_model(path, self, vocabulary, segmentation)

    @property
    def has_softmax(self) -> bool:
        """Whether there is a softmax, so that the model can predict words."""
        return hasattr(self, "softmax")

    def set_trainable(self, trainable: bool) -> None:
        """Make all parameters trainable, or none.

        The choice is final, because models may share them.

        Raises:
            InputError: It was set differently before.
        """
        if self._trainable not in (None, trainable):
            raise InputError(
                f"the biLM is in an ELMo with trainable={self._trainable} already: give both the "
                "same, or each a BiLM of its own"
            )
        self._trainable = trainable
        for parameter in self.parameters():
            parameter.trainable = trainable

    def softmax_of(self, direction: int) -> Softmax:
        """Return the softmax with which `direction` predicts.

        Raises:
            InputError: The model has none.
        """
        if not self.has_softmax:
            raise InputError(
                "the model has no softmax, so it gives word vectors but predicts no words"
            )
        separate = direction == BACKWARD and not self.config.share_softmax
        return self.backward_softmax if separate else self.softmax

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zeros: hidden (directions, layers, batch, projection), cell (..., cell)."""
        config = self.config
        shape = [config.num_directions, config.num_layers, batch_size]
        return LSTMState(
            paddle.zeros([*shape, config.projection_size]), paddle.zeros([*shape, config.cell_size])
        )

    def embed(self, token_ids: paddle.Tensor) -> paddle.Tensor:
        """Return the word vectors (batch, steps, projection).

        Args:
            token_ids: Shape (batch, steps); or (batch, steps, pieces), for the mean of the vectors
                of a word's pieces, -1 being none: see `Vocabulary.pad_pieces`. A model with a
                character encoder takes character ids (batch, steps, max_characters_per_token)
                instead: see `bilm.text.characters`.
        """
        if self.config.char_cnn is not None:
            return self.character_encoder(token_ids)
        if len(token_ids.shape) == 3:
            inside = (token_ids >= 0).astype("float32").unsqueeze(-1)
            vectors = F.embedding(token_ids.clip(min=0), self.embedding.weight)
            return (vectors * inside).sum(axis=2) / inside.sum(axis=2).clip(min=1.0)
        return F.embedding(token_ids, self.embedding.weight, sparse=self.sparse_gradients)

    def read(
        self,
        directions: Sequence[int],
        token_ids: paddle.Tensor,
        state: Optional[LSTMState] = None,
    ) -> Tuple[paddle.Tensor, LSTMState]:
        """Read windows of text from which the next tokens are predicted; dynamic mode only.

        Args:
            directions: FORWARD, BACKWARD or both.
            token_ids: Shape (directions, batch, steps), or with a fourth axis of pieces or
                characters as `embed` takes them; in the order in which each direction reads.
            state: After the window before: hidden (directions, layers, batch, projection) and
                cell (directions, layers, batch, cell); None means zeros.

        Returns:
            The top layer after dropout, shape (directions, batch, steps, projection): from step t
            `softmax_of(direction)` predicts token t + 1. And the new state.
        """
        batch_size, steps = token_ids.shape[1:3]
        embedded = self.embed(token_ids.flatten(0, 1))
        embedded = embedded.reshape([len(directions), batch_size, steps, -1])
        layers, state = self._run_layers(
            run_side_by_side, directions, embedded, state, batch_size, None, self._dropout
        )
        return _drop(layers[-1], self._dropout), state

    @paddle.jit.not_to_static
    def forward(
        self,
        token_ids: paddle.Tensor,
        lengths: Optional[paddle.Tensor] = None,
        state: Optional[LSTMState] = None,
    ) -> Tuple[paddle.Tensor, LSTMState]:
        """Return all layers of both directions, in text order, and the new state.

        No `<S>` and `</S>` are added, and values beyond a row's length are not defined.

        Args:
            token_ids: Shape (batch, steps), or with a third axis of pieces or characters as
                `embed` takes them; in text order.
            lengths: Tokens in each row, shape (batch,); None means that all rows are full.
            state: Before the first token that each direction reads: hidden (directions, layers,
                batch, projection) and cell (directions, layers, batch, cell); None means zeros.

        Returns:
            Layers (num_layers + 1, batch, steps, directions * projection), forward
            features first, layer 0 being the word vectors, once for each direction; and the
            state after the last token that each direction reads, in the shapes above.
        """
        return self.run(token_ids, lengths, state, self._dropout)

    @paddle.jit.not_to_static
    def run(
        self,
        token_ids: paddle.Tensor,
        lengths: Optional[paddle.Tensor] = None,
        state: Optional[LSTMState] = None,
        dropout: float = 0.0,
    ) -> Tuple[paddle.Tensor, LSTMState]:
        """Return the layers and the state of `forward`, with this dropout in either mode.

        Args:
            token_ids: Shape (batch, steps), or with a third axis of pieces or characters.
            lengths: Tokens in each row, shape (batch,); None means that all rows are full.
            state: hidden (directions, layers, batch, projection) and cell (directions, layers,
                batch, cell); None means zeros.
            dropout: Probability at the input of each LSTM layer.
        """
        embedded = self.embed(token_ids)
        directions = range(self.config.num_directions)
        layers, state = self._run_layers(
            run_over_text,
            directions,
            paddle.stack([embedded for _ in directions], axis=2),
            state,
            size_of(embedded, 0),
            lengths,
            dropout,
        )
        return paddle.stack(layers).flatten(3), state

    def _run_layers(self, run_layer, directions, embedded, state, batch_size, lengths, dropout):
        """Return num_layers + 1 layers, the first being the word vectors, and the new state.

        `run_layer`, one of the two functions of `bilm.network.lstm`, decides the axes and the
        order of the word vectors and of the layers.
        """
        layers, states = [embedded], []
        before = self.states_of_layers(state, len(directions), batch_size)
        for number, lstms in enumerate(self.layers_of(directions)):
            inputs = _drop(layers[-1], dropout)
            outputs, after = run_layer(lstms, inputs, before[number], lengths)
            skip = self.config.use_skip_connections and number > 0
            layers.append(outputs + inputs if skip else outputs)
            states.append(after)
        return layers, join_states(states)

    def layers_of(self, directions: Sequence[int]) -> List[Tuple[ProjectedLSTM, ...]]:
        """Return for each layer the LSTMs of some directions, lowest layer first."""
        stacks = {FORWARD: self.forward_layers}
        if self.config.bidirectional:
            stacks[BACKWARD] = self.backward_layers
        return [*zip(*(stacks[direction] for direction in directions))]

    def states_of_layers(
        self,
        state: Optional[LSTMState],
        num_directions: int,
        batch_size: Union[int, paddle.Tensor],
    ) -> List[LSTMState]:
        """Return the state of each layer: hidden (directions, batch, projection), cell (..., cell).

        Args:
            state: Of all layers, the second axis; None means zeros.
            num_directions: Those of the zeros.
            batch_size: Rows of the zeros; a tensor where a static program does not know them.
        """
        if state is not None:
            parts = zip(*(paddle.unstack(values, axis=1) for values in state))
            return [LSTMState(*layer) for layer in parts]
        sizes = self.config.projection_size, self.config.cell_size
        zeros = (paddle.zeros([num_directions, batch_size, size]) for size in sizes)
        return [LSTMState(*zeros)] * self.config.num_layers

    @property
    def _dropout(self) -> float:
        return self.config.dropout if self.training else 0.0


def _drop(values, rate):
    return operators.dropout(values, rate) if rate else values


def join_states(states: Sequence[LSTMState]) -> LSTMState:
    """Return the state of all layers, the second axis, from that of each."""
    return LSTMState(*(paddle.stack(parts, axis=1) for parts in zip(*states)))


def size_of(tensor: paddle.Tensor, axis: int) -> Union[int, paddle.Tensor]:
    """Return the size of an axis: a number, or a tensor where a static program does not know it."""
    size = tensor.shape[axis]
    return paddle.shape(tensor)[axis] if size is None or size < 0 else size
