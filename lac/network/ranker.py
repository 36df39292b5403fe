"""LAC's ranker: how important each piece of a text is, from 0 to 3."""

from typing import Any, Mapping, NamedTuple, Optional, Tuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.errors import InputError
from lac.network.bidirectional import Bidirectional
from lac.network.checks import check_shape


class RankerSizes(NamedTuple):
    """Sizes of a ranker. The defaults are those of LAC 2.1.2, but for the number of words.

    Attributes:
        num_words: Rows of the word embedding.
        num_tags: Rows of the tag embedding; LAC's has more than there are tags.
        word_embedding_size: Size of the word embedding.
        tag_embedding_size: Size of the tag embedding.
        cell_size: Size of the LSTM's state, for each direction.
        hidden_size: Size of the layer below the scores.
        num_ranks: Number of degrees of importance.
    """

    num_words: int
    num_tags: int = 58
    word_embedding_size: int = 128
    tag_embedding_size: int = 24
    cell_size: int = 128
    hidden_size: int = 100
    num_ranks: int = 4

    @classmethod
    def of(cls, weights: Mapping[str, Any], source: str) -> "RankerSizes":
        """Return the sizes of a ranker with these parameters; `set_weights` checks the rest.

        Args:
            weights: Arrays by parameter name.
            source: Where they come from, for messages.

        Raises:
            InputError: Parameters that tell a size are missing, or are no matrices.
        """
        cell = "lstm.forward_direction.recurrent_weight"
        names = ("word_embedding.weight", "tag_embedding.weight", cell, "ranks.weight")
        wrong = [name for name in names if name not in weights or len(weights[name].shape) != 2]
        if wrong:
            raise InputError(f"{source}: no ranker: expected matrices {', '.join(wrong)}")
        words, tags, recurrent, ranks = (weights[name].shape for name in names)
        return cls(words[0], tags[0], words[1], tags[1], recurrent[0], *ranks)


class PeepholeCell(nn.RNNCellBase):
    """One step of an LSTM whose gates see its cell.

        z = (x W + a) + h U + b                                 (blocks z_c, z_i, z_f, z_o)
        i = sigmoid(z_i + p_i * c),  f = sigmoid(z_f + p_f * c)
        c' = f * c + i * tanh(z_c)
        o = sigmoid(z_o + p_o * c')
        h' = o * tanh(c')

    W is `input_weight`, a `input_bias`, U `recurrent_weight`, b `bias`, and p_i, p_f, p_o are the
    rows of `peepholes`.

    Source: Gers, Schraudolph and Schmidhuber 2002; fluid's dynamic_lstm with use_peepholes=True,
    whose inputs went through a fully connected layer first, which `project` is.

    Args:
        input_size: Number of features of the inputs.
        cell_size: Number of features of the state.
    """

    def __init__(self, input_size: int, cell_size: int):
        super().__init__()
        self._size = cell_size
        shapes = {
            "input_weight": [input_size, 4 * cell_size],  # gates c, i, f, o
            "recurrent_weight": [cell_size, 4 * cell_size],
            "peepholes": [3, cell_size],  # gates i, f, o
        }
        uniform = nn.initializer.Uniform(-0.1, 0.1)
        for name, shape in shapes.items():
            setattr(self, name, self.create_parameter(shape, default_initializer=uniform))
        for name in ("input_bias", "bias"):
            setattr(self, name, self.create_parameter([4 * cell_size], is_bias=True))

    @property
    def state_shape(self) -> Tuple[Tuple[int], Tuple[int]]:
        """Shapes of h and c without the batch, from which `nn.RNN` makes the initial state."""
        return (self._size,), (self._size,)

    def project(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """Return the input part of the gates (batch, steps, 4 * cell_size)."""
        return F.linear(inputs, self.input_weight, self.input_bias + self.bias)

    def forward(
        self, inputs: paddle.Tensor, states: Tuple[paddle.Tensor, paddle.Tensor]
    ) -> Tuple[paddle.Tensor, Tuple[paddle.Tensor, paddle.Tensor]]:
        """Return h' (batch, cell_size), and the new state: h' and c'.

        Args:
            inputs: One step of the result of `project`, shape (batch, 4 * cell_size).
            states: h and c, each of shape (batch, cell_size).
        """
        hidden, cell = states
        gates = inputs + paddle.matmul(hidden, self.recurrent_weight)
        candidate, enter, keep, show = paddle.split(gates, 4, axis=-1)
        enter = F.sigmoid(enter + self.peepholes[0] * cell)
        keep = F.sigmoid(keep + self.peepholes[1] * cell)
        cell = keep * cell + enter * paddle.tanh(candidate)
        show = F.sigmoid(show + self.peepholes[2] * cell)
        hidden = show * paddle.tanh(cell)
        return hidden, (hidden, cell)


class Ranker(nn.Layer):
    """Scores of every degree of importance at every piece.

        v_t = [word embedding of piece t, tag embedding of its tag]
        s_t = [LSTM from the left over v, LSTM from each row's end over v]
        scores_t = max(0, s_t A + a) B + b,  p(rank | piece t) = softmax(scores_t)

    The LSTMs are those of `PeepholeCell`; A and a are `hidden`, B and b `ranks`. The tags are those
    that the tagger decoded, before a user dictionary changes them.

    Source: the program of LAC 2.1.2's rank_model (Baidu). Its dropout, which acts in training
    only, is left out.

    Args:
        sizes: Sizes of its parts.
    """

    def __init__(self, sizes: RankerSizes):
        super().__init__()
        self.sizes = sizes
        self.word_embedding = nn.Embedding(sizes.num_words, sizes.word_embedding_size)
        self.tag_embedding = nn.Embedding(sizes.num_tags, sizes.tag_embedding_size)
        features = sizes.word_embedding_size + sizes.tag_embedding_size
        self.lstm = Bidirectional(lambda: PeepholeCell(features, sizes.cell_size))
        self.hidden = nn.Linear(2 * sizes.cell_size, sizes.hidden_size)
        self.ranks = nn.Linear(sizes.hidden_size, sizes.num_ranks)

    def forward(
        self, words: paddle.Tensor, tags: paddle.Tensor, lengths: Optional[paddle.Tensor] = None
    ) -> paddle.Tensor:
        """Return the scores, shape (batch, steps, ranks); a piece's rank is the highest one.

        Args:
            words: int64, shape (batch, steps).
            tags: int64, shape (batch, steps).
            lengths: int64, shape (batch,); None: all rows are full.

        Raises:
            InputError: The shape of a tensor does not fit that of `words`.
        """
        check_shape("words", words, batch=-1, steps=-1)
        batch, steps = words.shape
        check_shape("tags", tags, batch=batch, steps=steps)
        if lengths is not None:
            check_shape("lengths", lengths, batch=batch)
        values = paddle.concat([self.word_embedding(words), self.tag_embedding(tags)], axis=-1)
        states, _ = self.lstm(values, None, lengths)
        return self.ranks(F.relu(self.hidden(states)))
