"""Margins and probabilities against the enumeration of all tag paths."""

import numpy as np
import pytest

from lac.analysis import CONVENTIONS, Reading, Token, analysis_of
from lac.network.posteriors import WordPlace, marginals, word_probabilities
from lac.network.viterbi import TransitionScores, best_paths, margins
from lac.tag_schemes import TagScheme
from tests.reference.chains import all_scores, path_score, random_case

pytestmark = pytest.mark.smoke

TAGS = ["nr-B", "nr-I", "v-B", "O"]
MORE_TAGS = ["nr-B", "nr-I", "v-B", "v-I"]


def probabilities(emissions, scores):
    """Return {path: probability} of every path of one sentence."""
    exact = TransitionScores(*(part.astype(np.float64) for part in scores))
    every = all_scores(emissions, exact)
    total = np.logaddexp.reduce(list(every.values()))
    return {path: np.exp(score - total) for path, score in every.items()}


def reading(tags=TAGS, convention="spans"):
    return Reading.of(tags, TagScheme.of(tags), convention)


def every_word(length, types):
    """Return all words that may stand in a sentence."""
    return [
        WordPlace(start, end, kind)
        for start in range(length) for end in range(start + 1, length + 1) for kind in types
    ]


def words_by_enumeration(emissions, scores, tags, convention, tokens=None):
    """Return {word: probability} of one sentence, from the words of every path of tags."""
    tokens = tokens or [Token(character) for character in "一二三四五六"[: len(emissions)]]
    of_words = {}
    for path, probability in probabilities(emissions, scores).items():
        names = [tags[tag] for tag in path]
        analysis = analysis_of(tokens, names, TagScheme.of(tags), convention)
        end = 0
        for size, kind in zip(analysis.sizes, analysis.tags):
            word = WordPlace(end, end + size, kind)
            of_words[word] = of_words.get(word, 0) + probability
            end += size
    return of_words


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tags", [2, 4])
def test_a_margin_is_that_of_the_two_best_of_all_paths(seed, tags):
    emissions, lengths, scores = random_case(seed, batch=6, steps=5, tags=tags)
    for row, margin in enumerate(margins(emissions, lengths, scores)):
        every = sorted(all_scores(emissions[row, : lengths[row]], scores).values())
        assert margin == pytest.approx(every[-1] - every[-2], abs=1e-5)


def test_two_equal_paths_have_no_margin():
    zeros = TransitionScores(*(np.zeros(shape, np.float32) for shape in (2, 2, (2, 2))))
    assert margins(np.zeros((1, 3, 2), np.float32), None, zeros).tolist() == [0.0]


def test_a_single_path_has_an_infinite_margin():
    emissions, _, scores = random_case(1, batch=3, steps=4, tags=1)
    assert margins(emissions, np.array([4, 1, 0]), scores).tolist() == [np.inf] * 3
    assert margins(emissions[:, :0], None, scores).tolist() == [np.inf] * 3
    assert margins(emissions[:0], None, scores).shape == (0,)


def test_a_forbidden_path_is_no_second_one():
    emissions, _, scores = random_case(2, batch=1, steps=1, tags=2)
    bound = scores.constrained(TagScheme("suffix"), ["nr-B", "nr-I"])
    assert margins(emissions, None, bound).tolist() == [np.inf]
    assert margins(emissions, None, scores)[0] < 100
    longer = margins(random_case(2, batch=1, steps=2, tags=2)[0], None, bound)
    assert np.isfinite(longer).all()  # B B and B I


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("constrained", [False, True])
def test_marginals_are_those_of_all_paths(seed, constrained):
    emissions, lengths, scores = random_case(seed, steps=5, tags=4)
    if constrained:
        scores = scores.constrained(TagScheme("suffix"), TAGS)
    posteriors = marginals(emissions, lengths, scores)
    for row, length in enumerate(lengths):
        expected = np.zeros(emissions.shape[1:])
        for path, probability in probabilities(emissions[row, :length], scores).items():
            expected[np.arange(length), list(path)] += probability
        np.testing.assert_allclose(posteriors[row], expected, atol=1e-9)


def test_only_forbidden_paths_still_have_marginals():
    emissions, _, scores = random_case(4, batch=2, steps=2, tags=2)
    bound = scores.constrained(TagScheme("suffix-bioes"), ["nr-I", "nr-B"])
    for length in (1, 2):
        posteriors = marginals(emissions[:, :length], None, bound)
        for row in range(2):
            expected = np.zeros((length, 2))
            for path, probability in probabilities(emissions[row, :length], bound).items():
                expected[np.arange(length), list(path)] += probability
            np.testing.assert_allclose(posteriors[row], expected, atol=1e-9)


def test_scores_far_apart_give_the_marginals_of_logarithms():
    emissions = np.zeros((1, 3, 2), np.float32)
    emissions[0, :, 0] = [900.0, 0.0, -900.0]
    scores = TransitionScores(*(np.zeros(shape, np.float32) for shape in (2, 2, (2, 2))))
    scores.transitions[0] = -900.0
    scores.transitions[1, 1] = 1.0
    expected = np.zeros((3, 2))
    for path, probability in probabilities(emissions[0], scores).items():
        expected[np.arange(3), list(path)] += probability
    np.testing.assert_allclose(marginals(emissions, None, scores)[0], expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("tags", [TAGS, MORE_TAGS, ["nr-B", "nr-I", "nr-E", "nr-S"], ["n", "v"]])
@pytest.mark.parametrize("constrained", [False, True])
def test_a_words_probability_is_that_of_all_paths_with_it(seed, convention, tags, constrained):
    emissions, lengths, scores = random_case(seed, steps=4, tags=len(tags))
    if constrained:
        scores = scores.constrained(TagScheme.of(tags), tags)
    read = reading(tags, convention)
    words = [every_word(length, set(read.types)) for length in lengths]
    for row, values in enumerate(word_probabilities(emissions, lengths, scores, words, read)):
        true = words_by_enumeration(emissions[row, : lengths[row]], scores, tags, convention)
        assert true.keys() <= set(words[row])
        expected = [true.get(word, 0) for word in words[row]]
        np.testing.assert_allclose(values, expected, atol=1e-9)
        first = sum(value for word, value in zip(words[row], values) if word.start == 0)
        assert first == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_borders_that_are_given_are_in_every_path(convention):
    tokens = [
        Token("一"), Token("二", continues=True), Token("三", is_entry=convention == "spans"),
        Token("四"), Token("五", continues=True),
    ]
    borders = np.array([[1, -1, int(convention == "spans"), int(convention == "spans"), -1]])
    emissions, _, scores = random_case(3, batch=1, steps=5, tags=4)
    true = words_by_enumeration(emissions[0], scores, MORE_TAGS, convention, tokens)
    read = reading(MORE_TAGS, convention)
    words = every_word(5, ["nr", "v"])
    (values,) = word_probabilities(emissions, None, scores, [words], read, borders)
    np.testing.assert_allclose(values, [true.get(word, 0) for word in words], atol=1e-9)
    assert (values == 0).any()


def test_a_long_word_of_rare_tags_has_a_probability():
    """Scores so far apart that sums of exponentials underflow."""
    emissions = np.zeros((1, 30, 4), np.float32)
    emissions[..., 1] = 300.0  # nr-I
    scores = TransitionScores(*(np.zeros(shape, np.float32) for shape in (4, 4, (4, 4))))
    words = [WordPlace(0, 30, "nr"), WordPlace(0, 30, "v"), WordPlace(3, 5, "v")]
    (values,) = word_probabilities(emissions, None, scores, [words], reading(MORE_TAGS))
    np.testing.assert_allclose(values, [1, 0, 0], atol=1e-9)


def test_a_batch_is_its_sentences_one_by_one():
    emissions, lengths, scores = random_case(11, batch=7, steps=9, tags=4)
    lengths[3] = 0
    emissions[np.arange(9) >= lengths[:, None]] = 1e30  # beyond a row's length
    words = [every_word(length, ["nr", "v", "O"]) for length in lengths]
    one_by_one = marginals(emissions, lengths, scores)
    of_words = word_probabilities(emissions, lengths, scores, words, reading())
    of_rows = margins(emissions, lengths, scores)
    assert [len(values) for values in of_words] == [len(of_row) for of_row in words]
    for row, length in enumerate(lengths):
        alone = emissions[row : row + 1, :length]
        np.testing.assert_allclose(
            one_by_one[row, :length], marginals(alone, None, scores)[0], rtol=1e-12
        )
        assert not one_by_one[row, length:].any()
        (values,) = word_probabilities(alone, None, scores, [words[row]], reading())
        np.testing.assert_allclose(of_words[row], values, rtol=1e-9)
        assert of_rows[row] == margins(alone, None, scores)[0]
    nothing = word_probabilities(emissions, lengths, scores, [[]] * 7, reading())
    assert [len(values) for values in nothing] == [0] * 7


def test_the_margin_tells_the_odds_of_the_best_path():
    emissions, _, scores = random_case(5, batch=1, steps=4, tags=3)
    (path,) = best_paths(emissions, None, scores)
    best = path_score(emissions[0].astype(np.float64), tuple(path), scores)
    others = [score for score in all_scores(emissions[0], scores).values() if score < best - 1e-9]
    assert margins(emissions, None, scores)[0] == pytest.approx(best - max(others), abs=1e-5)
