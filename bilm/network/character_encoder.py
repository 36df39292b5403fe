"""The character encoder: word vectors from convolutions over a word's characters."""

from typing import Callable

import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.text.characters import MAX_CHARACTERS, NUM_CHARACTERS

# Words that are convolved at once where no gradient is needed; bounds memory.
_WORDS_AT_ONCE = 512


class CharacterEncoder(nn.Layer):
    """Word vectors from character ids.

        u = concat over filters k of act(max over places of (characters * W_k + b_k))
        each highway layer: s = sig(u W_c + b_c),  u <- s * relu(u W_t + b_t) + (1 - s) * u
        vector = u W_p + b_p

    There is no last projection if there are as many filters as features of a word vector.
    Character 0, the mask, has the vector zero, which is not trained.

    Source: Kim et al. 2016, "Character-Aware Neural Language Models"; Peters et al. 2018;
    options, order of the steps and shapes of the weights from bilm-tf.

    Args:
        options: `BiLMConfig.char_cnn`.
        projection_size: Features of a word vector.
        attr_of: Gives the `paddle.ParamAttr` of a parameter from its name here.
    """

    def __init__(
        self,
        options: dict,
        projection_size: int,
        attr_of: Callable[[str], paddle.ParamAttr] = lambda name: None,
    ):
        super().__init__()
        self.max_characters = options.get("max_characters_per_token", MAX_CHARACTERS)
        self._filters = [tuple(pair) for pair in options["filters"]]
        self._activation = F.tanh if options.get("activation") == "tanh" else F.relu
        self._num_highway = options.get("n_highway") or 0
        character_size = options["embedding"]["dim"]
        num_filters = sum(number for _, number in self._filters)
        self._has_projection = num_filters != projection_size

        self.embedding = nn.Embedding(
            NUM_CHARACTERS, character_size, padding_idx=0, weight_attr=attr_of("embedding.weight")
        )

        def add(name, *shape):
            is_bias = name.endswith("bias")
            setattr(self, name, self.create_parameter(list(shape), attr_of(name), is_bias=is_bias))

        for k, (width, number) in enumerate(self._filters):
            # also seen as (width, characters, number): one row for each character and place
            add(f"filter_{k}_weight", width * character_size, number)
            add(f"filter_{k}_bias", number)
        for k in range(self._num_highway):
            add(f"highway_{k}_transform_weight", num_filters, num_filters)
            add(f"highway_{k}_transform_bias", num_filters)
            add(f"highway_{k}_carry_weight", num_filters, num_filters)
            add(f"highway_{k}_carry_bias", num_filters)
        if self._has_projection:
            add("projection_weight", num_filters, projection_size)
            add("projection_bias", projection_size)

    def forward(self, character_ids: paddle.Tensor) -> paddle.Tensor:
        """Return word vectors (batch, steps, projection).

        Args:
            character_ids: Shape (batch, steps, max_characters), see `bilm.text.characters`.
        """
        words = character_ids.reshape([-1, self.max_characters])
        if paddle.in_dynamic_mode() and not paddle.is_grad_enabled():
            parts = [
                self._encode(words[start : start + _WORDS_AT_ONCE])
                for start in range(0, words.shape[0], _WORDS_AT_ONCE)
            ]
            vectors = paddle.concat(parts) if len(parts) > 1 else parts[0]
        else:
            vectors = self._encode(words)
        batch, steps = paddle.shape(character_ids)[0], paddle.shape(character_ids)[1]
        return vectors.reshape([batch, steps, vectors.shape[-1]])

    def _encode(self, words):
        characters = self.embedding(words)  # (words, places, size)
        parts = []  # (words, number) for each filter
        for k, (width, _) in enumerate(self._filters):
            places = self.max_characters - width + 1
            windows = paddle.concat(
                [characters[:, first : first + places] for first in range(width)], axis=-1
            )  # (words, places, width * size)
            matches = paddle.matmul(windows, getattr(self, f"filter_{k}_weight"))
            best = matches.max(axis=1) + getattr(self, f"filter_{k}_bias")
            parts.append(self._activation(best))
        vectors = paddle.concat(parts, axis=-1)  # (words, filters)
        for k in range(self._num_highway):
            transform, carry = (
                paddle.matmul(vectors, getattr(self, f"highway_{k}_{part}_weight"))
                + getattr(self, f"highway_{k}_{part}_bias")
                for part in ("transform", "carry")
            )
            share = F.sigmoid(carry)
            vectors = share * F.relu(transform) + (1 - share) * vectors
        if self._has_projection:
            vectors = paddle.matmul(vectors, self.projection_weight) + self.projection_bias
        return vectors
