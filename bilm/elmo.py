"""ELMo: contextual word vectors from the layers of a biLM, for the networks of other tasks."""

from contextlib import nullcontext
from pathlib import Path
from typing import List, Optional

import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.errors import InputError
from bilm.files import PathLike, write_text_atomically
from bilm.network.contextual import (
    add_boundaries,
    add_empty_rows,
    check_lengths,
    check_token_ids,
    contextual_layers,
    mask_of,
)
from bilm.network.mixes import VARIANTS, Mixes, MixWeights, mixes_to_json, shares_of
from bilm.network.model import BiLM, size_of
from bilm.network.scalar_mix import ScalarMix
from bilm.paddle_compat import constants_in_program
from bilm.storage.pretrained import read_mixes
from bilm.storage.side_files import MIXES_FILE


class ELMo(nn.Layer):
    """Contextual word vectors: mixes of the layers of a biLM, learned with a task.

    Sentences are independent: the vectors of one depend on no other, and are the same to the bit
    whatever else is in a batch of the same shape, on the processors that docs/parity.md names.
    The biLM's own dropout is off, also in training.

    Examples:
        >>> elmo = ELMo(BiLM.from_pretrained("sample"))
        >>> [vectors] = elmo(paddle.to_tensor([[5, 6, 7], [8, 9, 0]]), paddle.to_tensor([3, 2]))
        >>> tuple(vectors.shape)  # batch, steps, both directions' features
        (2, 3, 128)

    Source: Peters et al. 2018, sections 3.2 and 3.3; variant "lark": LARK ELMo (Baidu, 2019).

    Args:
        bilm: Several ELMos may share it if they agree on `trainable`.
        num_mixes: Number of mixes, each with weights of its own.
        dropout: Probability while training: on each mix; in variant "lark", on the LSTM
            layers, before they are mixed.
        layer_norm: Whether each layer is normalised before, over all values of a sentence.
        trainable: Whether the biLM is fine-tuned. If not, there is no backward pass through it.
        variant: "elmo": sentences between `<S>` and `</S>`, layers as the biLM computes them.
            "lark": as LARK's released encoder computes them: no `<S>` and `</S>`, every LSTM layer
            reads the word vectors, no skip connections, and the backward states in the order
            in which they were computed, so that those of the last word stand at the first.
        l2_coef: Weight of the L2 regularisation of the mix weights, which optimisers apply.
        name: Start of the names of the mix's parameters; goes with one mix only. None: Paddle
            chooses them.
    """

    def __init__(
        self,
        bilm: BiLM,
        num_mixes: int = 1,
        dropout: float = 0.5,
        layer_norm: bool = False,
        trainable: bool = False,
        variant: str = "elmo",
        l2_coef: float = 0.0,
        name: Optional[str] = None,
    ):
        super().__init__()
        _check_options(bilm, num_mixes, dropout, variant, name)
        self.bilm = bilm
        self.dropout = dropout
        self.variant = variant
        self.trainable = trainable
        if paddle.in_dynamic_mode():  # static parameters are made trainable or not
            bilm.set_trainable(trainable)
        self.mixes = nn.LayerList(
            ScalarMix(bilm.config.num_layers + 1, layer_norm, l2_coef, name)
            for _ in range(num_mixes)
        )

    # Traced as it is: the tracer's own reading of sizes, as tensors, would stop it.
    @paddle.jit.not_to_static
    def forward(
        self, token_ids: paddle.Tensor, lengths: Optional[paddle.Tensor] = None
    ) -> List[paddle.Tensor]:
        """Return num_mixes tensors (batch, steps, directions * projection).

        They are zero beyond a row's length.

        Args:
            token_ids: Shape (batch, steps), without `<S>` and `</S>`; or with pieces of words, or
                characters, as a third axis: see `BiLM.embed`.
            lengths: Tokens in each row, shape (batch,), from 0 on; None: all rows are full.

        Raises:
            InputError: An id is not in the vocabulary, or a length is not within the row; in
                dynamic mode only. A static program stops with an error of Paddle's.
        """
        if 0 in token_ids.shape[:2]:  # Paddle 2.6 computes with no empty tensors
            config = self.bilm.config
            features = config.num_directions * config.projection_size
            return [paddle.zeros([*token_ids.shape[:2], features]) for _ in self.mixes]
        layers, mask = self._layers(token_ids, lengths)
        return [mix[: size_of(token_ids, 0)] for mix in self._mix(layers, mask)]

    def mix(
        self, layers: paddle.Tensor, lengths: Optional[paddle.Tensor] = None
    ) -> List[paddle.Tensor]:
        """Return num_mixes tensors (batch, steps, directions * projection), like `forward`.

        A task with a frozen biLM can compute the layers of its text once and mix them often.

        Args:
            layers: From the method `layers`, zero beyond a row's length.
            lengths: Tokens in each row, shape (batch,); None: all rows are full.
        """
        return self._mix(layers, None if lengths is None else mask_of(layers[0, :, :, 0], lengths))

    def _mix(self, layers, mask):
        if self.variant == "lark":
            layers = paddle.concat([layers[:1], self._drop(layers[1:])])
            return [mix(layers, mask) for mix in self.mixes]
        return [self._drop(mix(layers, mask)) for mix in self.mixes]

    def layers(
        self, token_ids: paddle.Tensor, lengths: Optional[paddle.Tensor] = None
    ) -> paddle.Tensor:
        """Return the layers to mix: (num_layers + 1, batch, steps, directions * projection).

        They are zero beyond a row's length.

        Args:
            token_ids: Shape (batch, steps), without `<S>` and `</S>`; or with a third axis of
                pieces or characters.
            lengths: Tokens in each row, shape (batch,); None: all rows are full.
        """
        return self._layers(token_ids, lengths)[0][:, : size_of(token_ids, 0)]

    def _layers(self, token_ids, lengths):
        """Return the layers and the mask of the rows and of the empty ones added to them."""
        if not paddle.in_dynamic_mode():
            token_ids, lengths = add_empty_rows(token_ids, lengths)
            with nullcontext() if self.trainable else constants_in_program():
                layers = self._compute(token_ids, lengths)
        else:
            check_token_ids(token_ids, self.bilm.config)
            check_lengths(lengths, token_ids)
            token_ids, lengths = add_empty_rows(token_ids, lengths)
            with paddle.set_grad_enabled(self.trainable and paddle.is_grad_enabled()):
                layers = self._compute(token_ids, lengths)
        if lengths is None:
            return layers, None
        mask = mask_of(token_ids, lengths)
        return layers * mask.unsqueeze(-1), mask

    def _compute(self, token_ids, lengths):
        if self.variant == "lark":
            return contextual_layers(self.bilm, token_ids, lengths, self.variant)[0]
        token_ids, lengths = add_boundaries(token_ids, lengths, self.bilm.config)
        return contextual_layers(self.bilm, token_ids, lengths, self.variant)[0][:, :, 1:-1]

    def _drop(self, values):
        return F.dropout(values, self.dropout, training=self.training)

    def mix_weights(self) -> List[MixWeights]:
        """Return the share of each layer in each mix, as a task has learned it.

        Dynamic mode only.
        """
        return [
            MixWeights(shares_of(weights), float(gamma[0]))
            for weights, gamma in self._mix_parameters()
        ]

    def _mix_parameters(self):
        return [(mix.weights.numpy(), mix.gamma.numpy()) for mix in self.mixes]

    def save_mixes(self, folder: PathLike) -> None:
        """Write the mixes to mixes.json in `folder`, from which `bilm embed --mix_from` reads.

        Raises:
            OSError: The file cannot be written.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_text_atomically(Path(folder) / MIXES_FILE, mixes_to_json(self.to_mixes()))

    def to_mixes(self) -> Mixes:
        """Return the mixes as a value, the one that `save_mixes` writes. Dynamic mode only."""
        return Mixes(self.variant, self.mixes[0].layer_norm, self._mix_parameters())

    def load_mixes(self, folder: PathLike) -> None:
        """Set the mixes to those that `save_mixes` or LARK wrote in `folder`.

        Raises:
            InputError: There are none, or they belong to another kind of ELMo.
        """
        mixes = read_mixes(folder)
        first = self.mixes[0]
        own = self.variant, first.layer_norm, len(self.mixes), first.weights.shape[0]
        sizes = len(mixes.parameters), len(mixes.parameters[0][0])
        if own != (mixes.variant, mixes.layer_norm, *sizes):
            raise InputError(
                f"{folder}: the mixes are of another kind: variant, layer_norm, number and layers "
                f"are {(mixes.variant, mixes.layer_norm, *sizes)}, here {own}"
            )
        for mix, (weights, gamma) in zip(self.mixes, mixes.parameters):
            mix.weights.set_value(weights)
            mix.gamma.set_value(gamma)


def _check_options(bilm, num_mixes, dropout, variant, name):
    if not isinstance(bilm, BiLM):
        raise InputError(f"ELMo needs a BiLM, not {type(bilm).__name__}; see BiLM.from_pretrained")
    if variant not in VARIANTS:
        raise InputError(f"variant must be one of {', '.join(VARIANTS)}, not {variant!r}")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be in [0, 1), not {dropout}")
    if num_mixes < 1 or (name is not None and num_mixes != 1):
        raise InputError(f"num_mixes must be at least 1, and 1 with a name, not {num_mixes}")
