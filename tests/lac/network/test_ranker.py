"""LAC's ranker and taggers against NumPy that reads the variables by LAC's names."""

import numpy as np
import paddle
import pytest

from bilm import InputError
from bilm.storage.formats.baidu_lac import read_ranker, read_tagger
from bilm.storage.tensors import set_weights
from lac.network.config import TaggerConfig
from lac.network.model import Tagger
from lac.network.ranker import Ranker, RankerSizes
from tests.reference import baidu_lac

pytestmark = pytest.mark.smoke
LENGTHS = [6, 1, 4]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return baidu_lac.write_package(tmp_path_factory.mktemp("LAC"))


@pytest.fixture(scope="module")
def ranker(package):
    weights = read_ranker(package / "rank_model/model")
    layer = Ranker(RankerSizes.of(weights, "here"))
    set_weights(layer, weights, "here")
    return layer


def random_ids(highest, seed=0):
    return np.random.default_rng(seed).integers(0, highest, (len(LENGTHS), max(LENGTHS)))


def test_scores_are_those_of_the_equations_whatever_the_padding(ranker):
    words = random_ids(len(baidu_lac.WORDS))
    tags = random_ids(baidu_lac.TAG_ROWS, seed=1)
    with paddle.no_grad():
        scores = ranker(*map(paddle.to_tensor, (words, tags, LENGTHS))).numpy()
    arrays = baidu_lac.variables("rank")
    for row, length in enumerate(LENGTHS):
        wanted = baidu_lac.rank_scores_of(arrays, words[row, :length], tags[row, :length])
        np.testing.assert_allclose(scores[row, :length], wanted, atol=2e-5)
        with paddle.no_grad():
            alone = ranker(paddle.to_tensor(words[row : row + 1, :length]),
                           paddle.to_tensor(tags[row : row + 1, :length])).numpy()
        np.testing.assert_allclose(alone[0], scores[row, :length], atol=1e-5)


def test_sizes_follow_from_the_weights(ranker):
    assert ranker.sizes == RankerSizes(
        len(baidu_lac.WORDS), baidu_lac.TAG_ROWS, baidu_lac.EMBEDDING, baidu_lac.TAG_EMBEDDING,
        baidu_lac.CELL, baidu_lac.HIDDEN, baidu_lac.RANKS)


def test_weights_that_tell_no_sizes_are_refused(package):
    weights = read_tagger(package / "lac_model/model").weights
    with pytest.raises(InputError, match="here: no ranker: expected matrices tag_embedding.weight"):
        RankerSizes.of(weights, "here")


@pytest.mark.parametrize("tags, lengths, told", [
    ([[1]], None, "tags must have shape"),
    ([[1, 2]], [2, 2], "lengths must have shape"),
])
def test_shapes_that_do_not_fit_are_told(ranker, tags, lengths, told):
    more = [] if lengths is None else [paddle.to_tensor(lengths)]
    with pytest.raises(InputError, match=told):
        ranker(paddle.to_tensor([[1, 2]]), paddle.to_tensor(tags), *more)


def test_it_can_be_trained(ranker):
    loss = ranker(paddle.to_tensor([[1, 2]]), paddle.to_tensor([[0, 1]])).square().sum()
    loss.backward()
    for name, parameter in ranker.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    ranker.clear_gradients()


@pytest.mark.parametrize("mode", ["lac", "seg"])
def test_emissions_of_the_taggers(package, mode):
    weights, num_layers = read_tagger(package / f"{mode}_model/model")
    num_words, num_tags = len(baidu_lac.words_of(mode)), len(baidu_lac.tags_of(mode))
    tagger = Tagger(TaggerConfig(
        num_words, num_tags, scheme="suffix", word_embedding_size=baidu_lac.EMBEDDING,
        gru_size=baidu_lac.SIZE, num_layers=num_layers, reset_before=True))
    set_weights(tagger, weights, "here")
    words = random_ids(num_words)
    with paddle.no_grad():
        emissions = tagger(paddle.to_tensor(words), paddle.to_tensor(LENGTHS)).numpy()
    arrays = baidu_lac.variables(mode)
    for row, length in enumerate(LENGTHS):
        wanted = baidu_lac.emissions_of(arrays, words[row, :length])
        np.testing.assert_allclose(emissions[row, :length], wanted, atol=2e-5)
    crf = tagger.crf.scores()
    np.testing.assert_array_equal(
        np.concatenate([[crf.start], [crf.stop], crf.transitions]), arrays["crfw"])
