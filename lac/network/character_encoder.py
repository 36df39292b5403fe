"""A word's features from its characters."""

import paddle
from paddle import nn

from lac.lookup import PAD_CHARACTER


class CharacterFeatures(nn.Layer):
    """Character embeddings, a convolution over three of them, and the maximum over the word.

        feature_j = max over i of tanh(W_j [c_(i-1); c_i; c_(i+1)] + b_j)

    Source: Ma and Hovy 2016, section 2.1, with Chinese characters for letters.

    Args:
        num_characters: Rows of the embedding, padding and unknown included.
        size: Number of features, of a word and of a character.
    """

    def __init__(self, num_characters: int, size: int):
        super().__init__()
        self.embedding = nn.Embedding(num_characters, size, padding_idx=PAD_CHARACTER)
        self.convolution = nn.Linear(3 * size, size)

    def forward(self, characters: paddle.Tensor) -> paddle.Tensor:
        """Return the features (batch, steps, size) of character ids (batch, steps, characters)."""
        vectors = self.embedding(characters)  # (batch, steps, characters, size)
        border = paddle.zeros_like(vectors[:, :, :1])
        windows = paddle.concat(
            [
                paddle.concat([border, vectors[:, :, :-1]], axis=2),
                vectors,
                paddle.concat([vectors[:, :, 1:], border], axis=2),
            ],
            axis=-1,
        )
        values = paddle.tanh(self.convolution(windows))
        inside = (characters != PAD_CHARACTER).astype(values.dtype).unsqueeze(-1)
        return (values * inside - (1.0 - inside)).max(axis=2)  # tanh is above -1
