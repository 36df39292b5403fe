"""The tagger: the one definition of its network."""

from typing import Optional

import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.elmo import ELMo
from bilm.errors import InputError
from bilm.network.model import BiLM, size_of
from lac.network.character_encoder import CharacterFeatures
from lac.network.checks import check_shape
from lac.network.config import TaggerConfig
from lac.network.crf import LinearChainCRF
from lac.network.gru import bidirectional_gru

PLACE_SIZE = 8  # features of a piece's place in ELMo's word
_NUM_PLACES = 4


class Tagger(nn.Layer):
    """Scores of every tag at every word, and a CRF over them.

    ELMo's vectors, the word embedding and character features are joined, as far as the
    configuration has them, and run through BiGRU layers; a linear layer makes the emissions.

    Source: LARK's LAC demo (Baidu, 2019), without its errors.

    Args:
        config: Sizes and switches.
        bilm: The biLM whose layers ELMo mixes; None for a tagger without ELMo.
        finetune_elmo: Whether the biLM is trained with the tagger.

    Raises:
        InputError: The configuration and the biLM do not go together.
    """

    def __init__(
        self, config: TaggerConfig, bilm: Optional[BiLM] = None, finetune_elmo: bool = False
    ):
        super().__init__()
        if (config.elmo_variant is None) != (bilm is None):
            has = "no biLM" if bilm is None else "a biLM"
            raise InputError(f"elmo_variant is {config.elmo_variant!r}, but there is {has}")
        self.config = config
        uniform = nn.initializer.Uniform(-0.1, 0.1)
        features = config.word_embedding_size
        self.word_embedding = nn.Embedding(
            config.num_words, features, weight_attr=paddle.ParamAttr(initializer=uniform)
        )
        self.elmo = None
        if bilm is not None and config.elmo_variant is not None:
            self.elmo = ELMo(
                bilm, dropout=config.elmo_dropout, trainable=finetune_elmo,
                variant=config.elmo_variant,
            )
            features += self.elmo_size
        self.character_features = None
        if config.num_characters:
            self.character_features = CharacterFeatures(
                config.num_characters, config.character_size
            )
            features += config.character_size
        self.place_embedding = None
        if self.elmo is not None and config.elmo_reads == "words":
            self.place_embedding = nn.Embedding(_NUM_PLACES, PLACE_SIZE)
            features += PLACE_SIZE
        sizes = [features] + [2 * config.gru_size] * (config.num_layers - 1)
        self.gru_layers = nn.LayerList(
            bidirectional_gru(size, config.gru_size, config.reset_before) for size in sizes
        )
        self.emissions = nn.Linear(
            2 * config.gru_size, config.num_tags, weight_attr=paddle.ParamAttr(initializer=uniform)
        )
        self.crf = LinearChainCRF(config.num_tags)

    @property
    def elmo_size(self) -> int:
        """Number of features of ELMo's vectors; 0 without ELMo."""
        if self.elmo is None:
            return 0
        config = self.elmo.bilm.config
        return config.num_directions * config.projection_size

    def forward(
        self,
        words: paddle.Tensor,
        lengths: Optional[paddle.Tensor] = None,
        elmo: Optional[paddle.Tensor] = None,
        characters: Optional[paddle.Tensor] = None,
        elmo_lengths: Optional[paddle.Tensor] = None,
        elmo_places: Optional[paddle.Tensor] = None,
        elmo_layers: Optional[paddle.Tensor] = None,
    ) -> paddle.Tensor:
        """Return the emissions, shape (batch, steps, tags).

        Args:
            words: int64, shape (batch, steps).
            lengths: int64, shape (batch,); None: all rows are full.
            elmo: Ids for ELMo, as `bilm.ELMo` takes them; for a tagger with ELMo. Their steps are
                those of `words` unless ELMo reads words of its own.
            characters: int64, shape (batch, steps, characters); for a tagger with character
                features.
            elmo_lengths: int64, shape (batch,), lengths of the rows of `elmo`; where
                `elmo_reads` is "words".
            elmo_places: int64, shape (batch, steps, 2), see `lac.lookup.TokenIds`; where
                `elmo_reads` is "words".
            elmo_layers: Layers (layers, batch, steps, features) from `self.elmo.layers`, instead
                of `elmo`; the biLM is not run then.

        Raises:
            InputError: A tensor is missing, or its shape does not fit that of `words`.
        """
        self._check(words, lengths, elmo, characters, elmo_lengths, elmo_places, elmo_layers)
        features = [self.word_embedding(words)]
        if self.elmo is not None:
            own_lengths = lengths if self.place_embedding is None else elmo_lengths
            if elmo_layers is None:
                (mixed,) = self.elmo(elmo, own_lengths)
            else:
                (mixed,) = self.elmo.mix(elmo_layers, own_lengths)
            if self.place_embedding is not None and elmo_places is not None:
                mixed = rows_at(mixed, elmo_places[:, :, 0])
            features.insert(0, mixed)
        if self.character_features is not None:
            features.append(self.character_features(characters))
        if self.place_embedding is not None and elmo_places is not None:
            features.append(self.place_embedding(elmo_places[:, :, 1]))
        values = paddle.concat(features, axis=-1) if len(features) > 1 else features[0]
        for gru in self.gru_layers:
            values, _ = gru(self._drop(values), None, lengths)
        return self.emissions(self._drop(values))

    @paddle.jit.not_to_static
    def _check(
        self,
        words: paddle.Tensor,
        lengths: Optional[paddle.Tensor],
        elmo: Optional[paddle.Tensor],
        characters: Optional[paddle.Tensor],
        elmo_lengths: Optional[paddle.Tensor],
        elmo_places: Optional[paddle.Tensor],
        elmo_layers: Optional[paddle.Tensor],
    ) -> None:
        check_shape("words", words, batch=-1, steps=-1)
        batch, steps = words.shape
        if lengths is not None:
            check_shape("lengths", lengths, batch=batch)
        if self.place_embedding is not None:
            if elmo_lengths is None or elmo_places is None:
                raise InputError(
                    "ELMo reads words of its own: give `elmo_lengths` and `elmo_places`"
                )
            check_shape("elmo_lengths", elmo_lengths, batch=batch)
            check_shape("elmo_places", elmo_places, batch=batch, steps=steps, two=2)
            steps = -1
        if self.elmo is None:
            pass
        elif elmo_layers is not None:
            check_shape(
                "elmo_layers", elmo_layers, layers=-1, batch=batch, steps=steps, features=-1)
        elif elmo is not None:
            pieces = {"pieces": -1} if len(elmo.shape) > 2 else {}
            check_shape("elmo", elmo, batch=batch, steps=steps, **pieces)
        else:
            raise InputError("this tagger has ELMo: give `elmo` or `elmo_layers`")
        if self.character_features is not None:
            if characters is None:
                raise InputError("this tagger has character features: give `characters`")
            check_shape("characters", characters, batch=batch, steps=words.shape[1], characters=-1)

    def _drop(self, values: paddle.Tensor) -> paddle.Tensor:
        # no call of Paddle's where nothing is dropped: tagging single sentences would be slower
        if not self.training or not self.config.dropout:
            return values
        return F.dropout(values, self.config.dropout)


@paddle.jit.not_to_static
def rows_at(values: paddle.Tensor, places: paddle.Tensor) -> paddle.Tensor:
    """Return for each row the vectors at some of its places.

    Args:
        values: Shape (batch, words, features).
        places: Numbers of words, int64, shape (batch, steps).

    Returns:
        Shape (batch, steps, features).
    """
    rows = paddle.arange(size_of(values, 0), dtype="int64").unsqueeze(-1)
    return paddle.gather_nd(values, paddle.stack([rows + paddle.zeros_like(places), places], -1))
