"""The bidirectional language model: the one definition used by training and all after it."""

from typing import Callable, List, Optional, Sequence, Tuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.errors import InputError
from bilm.kernels import loading as kernels
from bilm.network.character_encoder import CharacterEncoder
from bilm.network.config import BiLMConfig
from bilm.network.lstm import LSTMState, ProjectedLSTM, run_side_by_side

FORWARD, BACKWARD = 0, 1


class Softmax(nn.Layer):
    """Weights (vocabulary, projection) and bias (vocabulary,) that predict words.

    It holds parameters only; `bilm.network.losses` computes with them.

    Args:
        vocab_size: Rows of the weights.
        projection_size: Their columns.
        weight_attr: `paddle.ParamAttr` of the weights; None: Paddle's default.
        bias_attr: The same for the bias.
    """

    def __init__(self, vocab_size: int, projection_size: int, weight_attr=None, bias_attr=None):
        super().__init__()
        self.weight = self.create_parameter([vocab_size, projection_size], attr=weight_attr)
        self.bias = self.create_parameter([vocab_size], attr=bias_attr, is_bias=True)


class BiLM(nn.Layer):
    """Word vectors, and a stack of projected LSTMs for each direction.

    Word vectors are looked up, or made from characters where `config.char_cnn` is set. Each
    layer from the second on adds its input to its output (skip connection); the
    state that is carried is the layer's own, without it. Dropout acts at the input of
    each LSTM layer and, through `predict_from`, on the top output; a skip connection
    adds the dropped input, as bilm-tf does.

    Source: Peters et al. 2018, "Deep contextualized word representations"; sizes and
    clips from LARK ELMo (Baidu, 2019).

    Attributes:
        sparse_gradients: Whether the embedding's gradient holds only the rows of words
            that occur (a Paddle SelectedRows), for optimisers that can use it.

    Args:
        config: Sizes and switches.
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
    def from_pretrained(cls, path) -> "BiLM":
        """Return the biLM at `path`, in evaluation mode.

        Args:
            path: A model folder, a training run's folder (its latest checkpoint), a LARK
                folder, combined file or `.npz`; see `bilm.storage.pretrained`.

        Raises:
            InputError: There is no biLM at `path`, or it is incomplete or damaged.
        """
        from bilm.storage.models import load_model

        return load_model(path)[0]

    def save_pretrained(self, path, vocabulary=None, segmentation=None) -> None:
        """Write a model folder that `from_pretrained` reads; it appears whole or not at all.

        Args:
            path: The folder; a model folder of this name is replaced.
            vocabulary: The `Vocabulary` to store beside the weights, which commands that
                read words need.
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
            token_ids: Shape (batch, steps), or (batch, steps, pieces): the mean of the vectors of a
                word's pieces, -1 being none, see `Vocabulary.pad_pieces`. Of a model with
                characters, character ids of shape (batch, steps, max_characters_per_token),
                see `bilm.text.characters`.
        """
        if self.config.char_cnn is not None:
            return self.character_encoder(token_ids)
        if len(token_ids.shape) == 3:
            inside = (token_ids >= 0).astype("float32").unsqueeze(-1)
            vectors = F.embedding(token_ids.clip(min=0), self.embedding.weight)
            return (vectors * inside).sum(axis=2) / inside.sum(axis=2).clip(min=1.0)
        return F.embedding(token_ids, self.embedding.weight, sparse=self.sparse_gradients)

    def run_direction(
        self,
        direction: int,
        token_ids: paddle.Tensor,
        state: Optional[LSTMState] = None,
        lengths: Optional[paddle.Tensor] = None,
    ) -> Tuple[List[paddle.Tensor], LSTMState]:
        """Run one direction over token ids that stand in the order in which it reads.

        Args:
            direction: FORWARD or BACKWARD; the backward direction expects reversed text.
            token_ids: As `embed` takes them.
            state: hidden (layers, batch, projection) and cell (layers, batch, cell);
                None means zeros.
            lengths: Number of tokens in each row, shape (batch,); None: all rows are full.

        Returns:
            The layers, a list of num_layers + 1 tensors (batch, steps, projection) that
            starts with the embedding, and the new state.
        """
        return self.run_stack(direction, self.embed(token_ids), state, lengths, self.training)

    def run_stack(
        self, direction, embedded, state=None, lengths=None, use_dropout=False, is_chain=True
    ) -> Tuple[List[paddle.Tensor], LSTMState]:
        """Return what `run_direction` returns, from word vectors (batch, steps, projection).

        Args:
            direction: As in `run_direction`.
            embedded: In the order in which the direction reads.
            state: As in `run_direction`.
            lengths: As in `run_direction`.
            use_dropout: As in `run_stacks`.
            is_chain: As in `run_stacks`.
        """
        if state is not None:
            state = LSTMState(*(values.unsqueeze(0) for values in state))
        layers, state = self.run_stacks(
            [direction], embedded.unsqueeze(0), state, lengths, use_dropout, is_chain
        )
        return [layer[0] for layer in layers], LSTMState(*(values[0] for values in state))

    @paddle.jit.not_to_static
    def run_stacks(
        self,
        directions: Sequence[int],
        embedded: paddle.Tensor,
        state: Optional[LSTMState] = None,
        lengths: Optional[paddle.Tensor] = None,
        use_dropout: bool = False,
        is_chain: bool = True,
        in_text_order: bool = False,
    ) -> Tuple[List[paddle.Tensor], LSTMState]:
        """Run the LSTM layers of some directions side by side.

        Args:
            directions: FORWARD, BACKWARD or both.
            embedded: Word vectors (directions, batch, steps, projection), each in the order in
                which the direction reads.
            state: hidden (directions, layers, batch, projection) and cell (..., cell); None means
                zeros.
            lengths: Number of tokens in each row, shape (batch,), of all directions.
            use_dropout: Whether config.dropout applies.
            is_chain: Whether a layer reads the one below; otherwise all read the word vectors, and
                there are no skip connections.
            in_text_order: Whether word vectors and layers have the axes (batch, steps, directions,
                projection) instead, in the order of the text.

        Returns:
            num_layers + 1 tensors (directions, batch, steps, projection) that start with the
            word vectors, and the new state in the shapes it came in.
        """
        layers, states = [embedded], []
        stacks = [self.stack_of(direction) for direction in directions]
        if state is None:
            state = [self._initial_layer_state(embedded, in_text_order)] * self.config.num_layers
        else:
            state = [LSTMState(*parts) for parts in zip(*(paddle.unstack(v, 1) for v in state))]
        for number, lstms in enumerate(zip(*stacks)):
            inputs = layers[-1] if is_chain else embedded
            inputs = self._drop(inputs, use_dropout)
            outputs, after = run_side_by_side(lstms, inputs, state[number], lengths, in_text_order)
            skip = self.config.use_skip_connections and is_chain and number > 0
            layers.append(outputs + inputs if skip else outputs)
            states.append(after)
        return layers, LSTMState(*(paddle.stack(parts, axis=1) for parts in zip(*states)))

    def stack_of(self, direction: int) -> nn.LayerList:
        """Return the LSTM layers of `direction`."""
        return self.forward_layers if direction == FORWARD else self.backward_layers

    def _drop(self, values, is_training):
        rate = self.config.dropout
        if not (is_training and rate):
            return values
        if paddle.in_dynamic_mode() and kernels.is_native():
            return kernels.dropout(values, rate)
        return F.dropout(values, rate)

    def _initial_layer_state(self, embedded, in_text_order):
        """Return zeros for one layer of each direction, of a batch known or not."""
        batch_axis, directions_axis = (0, 2) if in_text_order else (1, 0)
        batch, directions = embedded.shape[batch_axis], embedded.shape[directions_axis]
        if batch is None or batch < 0:
            batch = paddle.shape(embedded)[batch_axis]
        sizes = self.config.projection_size, self.config.cell_size
        return LSTMState(*(paddle.zeros([directions, batch, size]) for size in sizes))

    def predict_from(
        self, direction: int, token_ids: paddle.Tensor, state: Optional[LSTMState] = None
    ) -> Tuple[paddle.Tensor, LSTMState]:
        """Return what the softmax of `direction` predicts the next tokens from.

        Args:
            direction: FORWARD or BACKWARD.
            token_ids: Shape (batch, steps), in reading order.
            state: As in `run_direction`.

        Returns:
            The top layer after dropout, shape (batch, steps, projection), and the new state.
        """
        layers, state = self.run_direction(direction, token_ids, state)
        return self._drop(layers[-1], self.training), state

    def predict_both(
        self, token_ids: paddle.Tensor, state: LSTMState
    ) -> Tuple[paddle.Tensor, LSTMState]:
        """Return what `predict_from` does, for all directions of the model side by side.

        Args:
            token_ids: Shape (directions, batch, steps, ...), each in the order in which it reads.
            state: As `initial_state` gives it.

        Returns:
            Shape (directions, batch, steps, projection), and the new state.
        """
        directions, batch, steps = token_ids.shape[:3]
        embedded = self.embed(token_ids.flatten(0, 1)).reshape([directions, batch, steps, -1])
        layers, state = self.run_stacks(
            range(directions), embedded, state, use_dropout=self.training
        )
        return self._drop(layers[-1], self.training), state

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
            token_ids: As `embed` takes them, in text order.
            lengths: Tokens in each row, shape (batch,); None means that all rows are full.
            state: hidden (directions, layers, batch, projection) and cell (..., cell);
                None means zeros.

        Returns:
            Layers (num_layers + 1, batch, steps, directions * projection), forward
            features first, layer 0 being the embedding, once for each direction; and the
            state in the shapes of `initial_state`.
        """
        return self.run_embedded(self.embed(token_ids), lengths, state, self.training)

    def run_embedded(
        self,
        embedded: paddle.Tensor,
        lengths: Optional[paddle.Tensor] = None,
        state: Optional[LSTMState] = None,
        use_dropout: bool = False,
    ) -> Tuple[paddle.Tensor, LSTMState]:
        """Return what `forward` returns, from word vectors (batch, steps, projection).

        Args:
            embedded: Word vectors, such as `embed` gives, in text order.
            lengths: As in `forward`.
            state: As in `forward`.
            use_dropout: Whether config.dropout applies.
        """
        directions = range(self.config.num_directions)
        read = paddle.stack([embedded for _ in directions], axis=2)
        layers, state = self.run_stacks(
            directions, read, state, lengths, use_dropout, in_text_order=True
        )
        return paddle.stack(layers).flatten(3), state
