"""One layer of projected LSTM over a whole sequence, in one direction or in both side by side.

The gates are computed by `bilm.kernels.operators`: in C++ in kernels/core/projected_lstm_*.cc, with
Paddle's operators in kernels/with_paddle.py.
"""

from typing import Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import paddle
from paddle import nn

from bilm.kernels import operators
from bilm.kernels.arguments import LSTMWeights


class LSTMState(NamedTuple):
    """What a recurrence carries from one window of text to the next.

    Attributes:
        hidden: Projected outputs, shape (..., batch, projection).
        cell: Cells, shape (..., batch, cell).
    """

    hidden: paddle.Tensor
    cell: paddle.Tensor


class ProjectedLSTM(nn.Layer):
    """An LSTM whose output is projected, with clips on the cell and on the projection.

        c~, i, f, o = tanh, sig, sig, sig of split(x_t W_in + h_{t-1} W_rec + b)
        c_t = clip(f * c_{t-1} + i * c~, +-cell_clip)
        h_t = clip((o * tanh(c_t)) W_proj, +-projection_clip)

    No peepholes and no projection bias. No gradient flows through a clipped value.

    Source: Sak et al. 2014, "Long Short-Term Memory Recurrent Neural Network
    Architectures for Large Scale Acoustic Modeling"; order of the gate blocks (c, i, f, o),
    whole storage of the forget bias and gradients at the clips as fluid's dynamic_lstmp.

    Args:
        input_size: Features of the input.
        projection_size: Features of the output.
        cell_size: Features of the cell.
        cell_clip: 0 means no clip.
        projection_clip: 0 means no clip.
        forget_bias: Initial value of the forget gate's bias.
        attrs: `paddle.ParamAttr` for parameters that need one, by their names here.
    """

    def __init__(
        self,
        input_size: int,
        projection_size: int,
        cell_size: int,
        cell_clip: float = 0.0,
        projection_clip: float = 0.0,
        forget_bias: float = 1.0,
        attrs: Optional[Mapping[str, paddle.ParamAttr]] = None,
    ):
        super().__init__()
        self.cell_clip = cell_clip
        self.projection_clip = projection_clip
        bias = np.zeros(4 * cell_size, np.float32)  # blocks: c, i, f, o
        bias[2 * cell_size : 3 * cell_size] = forget_bias
        attrs = attrs or {}
        for name, shape in (
            ("input_weight", [input_size, 4 * cell_size]),
            ("recurrent_weight", [projection_size, 4 * cell_size]),
            ("bias", [4 * cell_size]),
            ("projection_weight", [cell_size, projection_size]),
        ):
            initializer = nn.initializer.Assign(bias) if name == "bias" else None
            parameter = self.create_parameter(
                shape,
                attr=attrs.get(name),
                is_bias=name == "bias",
                default_initializer=initializer,
            )
            setattr(self, name, parameter)

    @property
    def weights(self) -> LSTMWeights:
        """The parameters, in the order in which operators take them."""
        return LSTMWeights(*(getattr(self, name) for name in LSTMWeights._fields))

    def forward(
        self, inputs: paddle.Tensor, state: LSTMState, lengths: Optional[paddle.Tensor] = None
    ) -> Tuple[paddle.Tensor, LSTMState]:
        """Return the outputs of all steps and the state after the last one.

        Args:
            inputs: Shape (batch, steps, input).
            state: hidden (batch, projection) and cell (batch, cell) before the first step.
            lengths: Steps of each row, shape (batch,). The state stays as it was after a
                row's last step; outputs beyond it are not defined. None: all rows are full.

        Returns:
            Outputs (batch, steps, projection), and the state in the shapes it came in.
        """
        state = LSTMState(*(values.unsqueeze(0) for values in state))
        outputs, state = run_side_by_side([self], inputs.unsqueeze(0), state, lengths)
        return outputs.squeeze(0), LSTMState(*(values.squeeze(0) for values in state))


def run_side_by_side(
    layers: Sequence[ProjectedLSTM],
    inputs: paddle.Tensor,
    state: LSTMState,
    lengths: Optional[paddle.Tensor] = None,
) -> Tuple[paddle.Tensor, LSTMState]:
    """Run layers of one size, each over inputs of its own.

    Args:
        layers: One for each direction, one or two.
        inputs: Shape (directions, batch, steps, input), in the order in which each reads.
        state: hidden (directions, batch, projection) and cell (directions, batch, cell), before
            the first step.
        lengths: Steps of each row, shape (batch,), of all directions; None: all rows are full.

    Returns:
        Outputs (directions, batch, steps, projection), not defined beyond a row's length; and the
        state after each row's last step, in the shapes it came in.
    """
    return _run(operators.projected_lstm, layers, inputs, state, lengths)


def run_over_text(
    layers: Sequence[ProjectedLSTM],
    inputs: paddle.Tensor,
    state: LSTMState,
    lengths: Optional[paddle.Tensor] = None,
) -> Tuple[paddle.Tensor, LSTMState]:
    """Run layers of one size over text, the second from the end of each row to its beginning.

    Args:
        layers: One for each direction, one or two.
        inputs: Shape (batch, steps, directions, input), in the order of the text.
        state: hidden (directions, batch, projection) and cell (directions, batch, cell), before
            the first step that each direction reads.
        lengths: Steps of each row, shape (batch,); None: all rows are full.

    Returns:
        Outputs (batch, steps, directions, projection) in the order of the text, not defined
        beyond a row's length; and the state after the last step that each direction reads.
    """
    return _run(operators.projected_lstm_over_text, layers, inputs, state, lengths)


def _run(operator, layers, inputs, state, lengths):
    clips = layers[0].cell_clip, layers[0].projection_clip
    weights = [layer.weights for layer in layers]
    outputs, *state = operator(weights, inputs, *state, lengths, *clips)
    return outputs, LSTMState(*state)
