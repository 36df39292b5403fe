"""The layer mix that a task learns."""

from typing import Optional

import paddle
from paddle import nn
from paddle.nn import functional as F


class ScalarMix(nn.Layer):
    """A weighted sum of the layers of a biLM.

        mix = gamma * sum_l softmax(w)_l * layer_l

    With layer_norm each layer is normalised before, over all values of a sentence:
    (layer_l - mean) / sqrt(variance + 1e-12). bilm-tf and AllenNLP normalise over all values
    of a batch, which is the same for a batch of one sentence, but lets the other sentences of
    a batch change a sentence's vectors.

    Source: Peters et al. 2018, section 3.2; the normalisation from bilm-tf.

    Args:
        num_layers: Number of layers, the token layer included.
        layer_norm: Whether to normalise the layers.
        l2_coef: Weight of the L2 regularisation of w, which optimisers apply; 0: whatever the
            optimiser does to all parameters.
        name: Start of the parameters' names, which end as LARK's do: ELMo_w and ELMo_gamma.
            None: Paddle chooses names.
    """

    def __init__(
        self,
        num_layers: int,
        layer_norm: bool = False,
        l2_coef: float = 0.0,
        name: Optional[str] = None,
    ):
        super().__init__()
        self.layer_norm = layer_norm
        regularizer = paddle.regularizer.L2Decay(l2_coef) if l2_coef else None
        names = (None, None) if name is None else (f"{name}ELMo_w", f"{name}ELMo_gamma")
        self.weights = self.create_parameter(
            [num_layers],
            attr=paddle.ParamAttr(name=names[0], regularizer=regularizer),
            default_initializer=nn.initializer.Constant(0.0),
        )
        self.gamma = self.create_parameter(
            [1],
            attr=paddle.ParamAttr(name=names[1]),
            default_initializer=nn.initializer.Constant(1.0),
        )

    def forward(
        self, layers: paddle.Tensor, mask: Optional[paddle.Tensor] = None
    ) -> paddle.Tensor:
        """Return the mix, shape (batch, steps, features).

        Args:
            layers: Shape (layers, batch, steps, features), zero where there is no token.
            mask: 1.0 where there is a token and 0.0 elsewhere, shape (batch, steps);
                None: everywhere.
        """
        if self.layer_norm:
            layers = _normalise(layers, mask)
        shares = F.softmax(self.weights) * self.gamma
        # A sum of products in a fixed order: a matrix product might round rows differently.
        mixed = layers[0] * shares[0]
        for number in range(1, self.weights.shape[0]):
            mixed = mixed + layers[number] * shares[number]
        return mixed


def _normalise(layers, mask):
    if mask is None:
        centred = layers - layers.mean(axis=[2, 3], keepdim=True)
        variance = (centred * centred).mean(axis=[2, 3], keepdim=True)
    else:
        mask = mask.unsqueeze(-1)  # (batch, steps, 1)
        count = mask.sum(axis=[1, 2], keepdim=True).clip(min=1.0) * layers.shape[-1]
        mean = (layers * mask).sum(axis=[2, 3], keepdim=True) / count
        centred = (layers - mean) * mask
        variance = (centred * centred).sum(axis=[2, 3], keepdim=True) / count
    return centred / paddle.sqrt(variance + 1e-12)
