"""The tagger's network refuses what does not fit."""

import numpy as np
import paddle
import pytest

from bilm.network.config import BiLMConfig
from bilm.network.model import BiLM
from lac.network.config import TaggerConfig
from lac.network.model import Tagger

BILM = BiLMConfig(vocab_size=9, projection_size=4, cell_size=5, num_layers=1)
CONFIG = {"num_words": 7, "num_tags": 3, "scheme": "suffix", "word_embedding_size": 4,
          "gru_size": 4, "num_layers": 1, "num_characters": 6, "character_size": 4}


@pytest.fixture(scope="module")
def tagger():
    tagger = Tagger(TaggerConfig(**CONFIG, elmo_variant="elmo"), BiLM(BILM))
    tagger.eval()
    return tagger


def inputs(**changes):
    shapes = {"words": (2, 5), "lengths": (2,), "elmo": (2, 5), "characters": (2, 5, 8), **changes}
    return {name: paddle.ones(shape, "int64") for name, shape in shapes.items() if shape}


@pytest.mark.smoke
@pytest.mark.parametrize("changes, problem", [
    ({"words": (5,)}, r"words must have shape \(batch, steps\), not \(5,\)"),
    ({"lengths": (3,)}, r"lengths must have shape \(batch = 2\), not \(3,\)"),
    ({"lengths": (2, 1)}, r"lengths must have shape \(batch = 2\), not \(2, 1\)"),
    ({"elmo": (2, 6)}, r"elmo must have shape \(batch = 2, steps = 5\), not \(2, 6\)"),
    ({"elmo": (2, 4, 3)},
     r"elmo must have shape \(batch = 2, steps = 5, pieces\), not \(2, 4, 3\)"),
    ({"elmo": None}, "this tagger has ELMo: give `elmo` or `elmo_layers`"),
    ({"elmo_layers": (2, 2, 4, 8)},
     r"elmo_layers must have shape \(layers, batch = 2, steps = 5, features\), not \(2, 2, 4, 8\)"),
    ({"characters": None}, "this tagger has character features: give `characters`"),
    ({"characters": (2, 5)},
     r"characters must have shape \(batch = 2, steps = 5, characters\), not \(2, 5\)"),
], ids=str)
def test_what_does_not_fit_is_refused(tagger, changes, problem):
    assert tagger(**inputs()).shape == [2, 5, 3]
    with pytest.raises(ValueError, match=problem):
        tagger(**inputs(**changes))


@pytest.mark.smoke
@pytest.mark.parametrize("variant, bilm, problem", [
    ("elmo", None, "elmo_variant is 'elmo', but there is no biLM"),
    (None, BILM, "elmo_variant is None, but there is a biLM"),
])
def test_configuration_and_bilm_go_together(variant, bilm, problem):
    with pytest.raises(ValueError, match=problem):
        Tagger(TaggerConfig(**CONFIG, elmo_variant=variant), bilm and BiLM(bilm))


@pytest.mark.smoke
def test_layers_computed_before_give_the_same_emissions(tagger):
    given = inputs()
    whole = tagger(**given).numpy()
    layers = tagger.elmo.layers(given.pop("elmo"), given["lengths"])
    np.testing.assert_array_equal(tagger(**given, elmo_layers=layers).numpy(), whole)
