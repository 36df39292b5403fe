"""Full and sampled softmax against NumPy, and the statistics of the sample."""

import numpy as np
import paddle
import pytest

from bilm.kernels.arguments import Candidates
from bilm.kernels.with_paddle import sampled_softmax_nats
from bilm.network.log_uniform_sampler import LogUniformSampler
from bilm.network.losses import full_softmax_loss, full_softmax_nats, token_weights
from tests.reference.gradients import dense_gradient

TOKENS, VOCAB, SIZE = 50, 300, 12


@pytest.fixture
def problem():
    """hidden, targets, weight and bias as arrays, with logits of a wide range."""
    random = np.random.default_rng(1)
    return (
        random.normal(size=(TOKENS, SIZE)).astype(np.float32),
        random.integers(0, VOCAB, TOKENS),
        random.normal(size=(VOCAB, SIZE)).astype(np.float32),
        random.normal(size=VOCAB).astype(np.float32),
    )


def tensors(problem):
    hidden, targets, weight, bias = (paddle.to_tensor(values) for values in problem)
    for value in (hidden, weight, bias):
        value.stop_gradient = False
    return hidden, targets, weight, bias


def numpy_softmax(problem):
    """Return nats of each token and the gradient of their sum, in float64."""
    hidden, targets, weight, bias = (np.asarray(v, np.float64) for v in problem)
    targets = targets.astype(int)
    logits = hidden @ weight.T + bias
    top = logits.max(1, keepdims=True)
    log_total = top[:, 0] + np.log(np.exp(logits - top).sum(1))
    error = np.exp(logits - log_total[:, None])
    error[np.arange(len(targets)), targets] -= 1
    nats = log_total - logits[np.arange(len(targets)), targets]
    return nats, (error @ weight, error.T @ hidden, error.sum(0))


def gradients(loss, *parameters):
    loss.backward()
    return [parameter.grad.numpy() for parameter in parameters]


@pytest.mark.smoke
@pytest.mark.parametrize("chunk_tokens", [1, 7, TOKENS, 1000])
def test_full_softmax_equals_numpy_whatever_the_chunks(problem, chunk_tokens):
    hidden, targets, weight, bias = tensors(problem)
    expected, expected_gradients = numpy_softmax(problem)
    limit = chunk_tokens * VOCAB
    nats = full_softmax_nats(hidden, targets, weight, bias, limit)
    np.testing.assert_allclose(nats.numpy(), expected, rtol=1e-5, atol=1e-5)
    loss = full_softmax_loss(
        hidden, targets, weight, bias, token_weights(None, TOKENS, 1.0), limit
    )
    np.testing.assert_allclose(float(loss), expected.sum(), rtol=1e-6)
    for actual, wanted in zip(gradients(loss, hidden, weight, bias), expected_gradients):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.smoke
def test_very_unlikely_targets_are_told_exactly():
    """Paddle's own cross entropy stops at 64 nats."""
    hidden, weight = np.eye(3, dtype=np.float32)[:1], np.zeros((3, 3), np.float32)
    weight[:, 0] = 0, 100, 90
    problem = hidden, np.array([0]), weight, np.zeros(3, np.float32)
    hidden, targets, weight, bias = tensors(problem)
    expected = numpy_softmax(problem)[0]  # 100.00004540
    nats = full_softmax_nats(hidden, targets, weight, bias)
    np.testing.assert_allclose(nats.numpy(), expected, rtol=1e-6)
    loss = full_softmax_loss(hidden, targets, weight, bias, token_weights(None, 1, 1.0))
    np.testing.assert_allclose(loss.item(), expected[0], rtol=1e-6)
    ones = np.ones(3)
    for target, expected in ((0, 100.0), (1, 4.54e-5)):
        nats = sampled_softmax_nats(
            hidden, paddle.to_tensor([target]), weight, bias,
            Candidates(np.arange(3), ones, ones[:1], np.array([target])),
        )
        np.testing.assert_allclose(nats.numpy(), [expected], rtol=1e-5, atol=1e-5)


def test_full_softmax_gradient_equals_numerical_differentiation(problem):
    hidden, targets, weight, bias = problem
    arguments = tensors(problem)
    scale = np.linspace(0.5, 2, TOKENS).astype(np.float32)
    loss = full_softmax_loss(*arguments, paddle.to_tensor(scale))
    gradient = gradients(loss, arguments[0])[0]
    step = 1e-4
    for token, feature in ((0, 0), (3, 5), (TOKENS - 1, SIZE - 1)):
        moved = []
        for sign in (1, -1):
            changed = hidden.astype(np.float64)
            changed[token, feature] += sign * step
            moved.append((numpy_softmax((changed, targets, weight, bias))[0] * scale).sum())
        slope = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(gradient[token, feature], slope, rtol=1e-3, atol=1e-5)


def test_masked_tokens_have_neither_loss_nor_gradient(problem):
    mask = np.arange(TOKENS) % 3 > 0
    hidden, targets, weight, bias = tensors(problem)
    loss = full_softmax_loss(
        hidden, targets, weight, bias, token_weights(mask, TOKENS, 0.5)
    )
    np.testing.assert_allclose(float(loss), numpy_softmax(problem)[0][mask].sum() / 2, rtol=1e-6)
    gradient = gradients(loss, hidden)[0]
    assert not gradient[~mask].any()
    assert gradient[mask].any(axis=1).all()


@pytest.mark.smoke
@pytest.mark.parametrize("sparse", [False, True])
def test_sampled_softmax_with_every_class_is_the_full_softmax(problem, sparse):
    hidden, targets, weight, bias = tensors(problem)
    ones = np.ones(VOCAB)
    everything = Candidates(np.arange(VOCAB), ones, ones[: TOKENS], problem[1])
    nats = sampled_softmax_nats(hidden, targets, weight, bias, everything, sparse)
    expected, expected_gradients = numpy_softmax(problem)
    np.testing.assert_allclose(nats.numpy(), expected, rtol=1e-6, atol=1e-6)
    nats.sum().backward()
    for parameter, wanted in ((hidden, expected_gradients[0]), (bias, expected_gradients[2])):
        error = np.abs(parameter.grad.numpy() - wanted).max() / np.abs(wanted).max()
        assert error < 1e-6
    wanted = expected_gradients[1]
    assert np.abs(dense_gradient(weight) - wanted).max() / np.abs(wanted).max() < 1e-6


def test_sampled_softmax_counts_an_accidental_hit_once(problem):
    """With and without the target among the candidates the sum holds it once."""
    hidden, targets, weight, bias = problem
    target = int(targets[0])
    others = [k for k in (3, 8, 20, 77) if k != target]
    values = []
    for ids in (others, sorted([*others, target])):
        counts = np.full(len(ids), 0.3)
        candidates = Candidates(
            np.array(ids), counts, np.array([0.3]),
            np.array([ids.index(target) if target in ids else -1]),
        )
        arguments = tensors((hidden[:1], targets[:1], weight, bias))
        values.append(sampled_softmax_nats(*arguments, candidates).item())
    logits = hidden[0] @ weight.T + bias
    chosen = logits[[*others, target]]  # all expected counts are alike, so they cancel
    expected = np.log(np.exp(chosen - chosen.max()).sum()) + chosen.max() - logits[target]
    np.testing.assert_allclose(values, [expected, expected], rtol=1e-5)


def test_only_touched_rows_have_a_gradient(problem):
    hidden, targets, weight, bias = tensors(problem)
    drawn = LogUniformSampler(VOCAB, 20).draw(problem[1], np.random.default_rng(0))
    sampled_softmax_nats(hidden, targets, weight, bias, drawn).sum().backward()
    touched = np.unique(np.concatenate([drawn.ids, problem[1]]))
    assert np.flatnonzero(weight.grad.numpy().any(axis=1)).tolist() == touched.tolist()


@pytest.mark.parametrize("num_candidates", [1, 16, 150, VOCAB])
def test_draws_are_distinct_and_as_many_as_asked(num_candidates):
    sampler = LogUniformSampler(VOCAB, num_candidates)
    np.testing.assert_allclose(sampler.expected_counts.sum(), num_candidates)
    assert (np.diff(sampler.expected_counts) <= 0).all()
    random = np.random.default_rng(0)
    for _ in range(200):
        drawn = sampler.draw(np.array([0, 5, VOCAB - 1]), random)
        assert len(np.unique(drawn.ids)) == len(drawn.ids) == num_candidates
        for target, place in zip([0, 5, VOCAB - 1], drawn.target_places):
            assert drawn.ids[place] == target if place >= 0 else target not in drawn.ids


def test_inclusion_probabilities_are_what_the_draws_show():
    sampler, random, draws = LogUniformSampler(40, 8), np.random.default_rng(2), 20_000
    hits = np.zeros(40)
    for _ in range(draws):
        hits[sampler.draw(np.zeros(1, int), random).ids] += 1
    expected = sampler.expected_counts
    standard_errors = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(hits / draws - expected) < 4.5 * standard_errors + 1e-12).all()


def test_partition_function_estimate_is_unbiased():
    random, draws = np.random.default_rng(3), 10_000
    logits = random.normal(size=VOCAB, scale=2)
    sampler = LogUniformSampler(VOCAB, 32)
    estimates = np.empty(draws)
    for number in range(draws):
        drawn = sampler.draw(np.zeros(1, int), random)
        estimates[number] = (np.exp(logits[drawn.ids]) / drawn.expected_counts).sum()
    standard_error = estimates.std(ddof=1) / np.sqrt(draws)
    assert abs(estimates.mean() - np.exp(logits).sum()) < 4 * standard_error


def test_gradient_bias_falls_with_the_number_of_candidates(problem):
    hidden, targets, weight, bias = problem
    exact = numpy_softmax(problem)[1][0]
    errors = []
    for num_candidates in (16, 64, 256):
        sampler, random = LogUniformSampler(VOCAB, num_candidates), np.random.default_rng(4)
        mean, draws = np.zeros_like(exact), 400
        for _ in range(draws):
            arguments = tensors(problem)
            nats = sampled_softmax_nats(*arguments, sampler.draw(targets, random))
            mean += gradients(nats.sum(), arguments[0])[0] / draws
        errors.append(np.linalg.norm(mean - exact) / np.linalg.norm(exact))
    assert errors[0] > errors[1] > errors[2], errors
    assert errors[2] < errors[0] / 4, errors


@pytest.mark.parametrize("num_candidates", [0, VOCAB + 1])
def test_impossible_number_of_candidates_is_an_error(num_candidates):
    with pytest.raises(ValueError, match=f"between 1 and {VOCAB}, not {num_candidates}"):
        LogUniformSampler(VOCAB, num_candidates)
