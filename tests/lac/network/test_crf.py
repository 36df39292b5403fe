"""The CRF against the enumeration of all tag paths."""

import numpy as np
import paddle
import pytest

from lac.network.crf import LinearChainCRF
from lac.network.viterbi import TransitionScores, best_paths
from lac.tag_schemes import TagScheme
from tests.reference.chains import all_scores, path_score, random_case

pytestmark = pytest.mark.smoke


def crf_of(scores):
    crf = LinearChainCRF(len(scores.start))
    for name, values in scores._asdict().items():
        getattr(crf, name).set_value(values)
    return crf


@pytest.mark.parametrize("seed", range(5))
def test_log_partition_and_likelihood_are_those_of_all_paths(seed):
    emissions, lengths, scores = random_case(seed)
    crf = crf_of(scores)
    tags = np.random.default_rng(seed).integers(0, 3, emissions.shape[:2])
    found = crf.log_partition(paddle.to_tensor(emissions), paddle.to_tensor(lengths)).numpy()
    nats = crf(*map(paddle.to_tensor, (emissions, tags, lengths))).numpy()
    for row, length in enumerate(lengths):
        every = np.array(list(all_scores(emissions[row, :length], scores).values()))
        expected = np.log(np.exp(every).sum())
        own = path_score(emissions[row, :length], tuple(tags[row, :length]), scores)
        assert found[row] == pytest.approx(expected, abs=1e-4)
        assert nats[row] == pytest.approx(expected - own, abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_best_path_is_the_best_of_all(seed):
    emissions, lengths, scores = random_case(seed, batch=6, steps=5, tags=4)
    for row, path in enumerate(best_paths(emissions, lengths, scores)):
        every = all_scores(emissions[row, : lengths[row]], scores)
        assert tuple(path) == max(every, key=every.get)


@pytest.mark.parametrize("seed", range(3))
def test_paddles_operator_which_exports_use_finds_the_same_paths(seed):
    emissions, lengths, scores = random_case(seed, batch=5, steps=6, tags=4)
    from lac.static_model import decode

    found = decode(paddle.to_tensor(emissions), paddle.to_tensor(lengths),
                   *map(paddle.to_tensor, scores)).numpy()
    for row, path in enumerate(best_paths(emissions, lengths, scores)):
        assert found[row, : lengths[row]].tolist() == path.tolist()


def test_a_batch_is_its_sentences_one_by_one():
    emissions, lengths, scores = random_case(11, batch=7, steps=9, tags=5)
    lengths[3] = 0
    crf, paths = crf_of(scores), best_paths(emissions, lengths, scores)
    for row, length in enumerate(lengths):
        alone = emissions[row : row + 1, :length]
        assert best_paths(alone, None, scores)[0].tolist() == paths[row].tolist()
    keep = lengths > 0
    together = crf.log_partition(
        paddle.to_tensor(emissions[keep]), paddle.to_tensor(lengths[keep])
    ).numpy()
    alone = [
        crf.log_partition(paddle.to_tensor(emissions[row : row + 1, :length]), None).item()
        for row, length in enumerate(lengths) if length
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_gradients_are_those_of_differences():
    emissions, lengths, scores = random_case(3, steps=4)
    crf = crf_of(scores)
    tags = np.array([[0, 1, 2, 1]] * 4)
    tensor = paddle.to_tensor(emissions, stop_gradient=False)
    crf(tensor, paddle.to_tensor(tags), paddle.to_tensor(lengths)).sum().backward()
    gradients = {"transitions": crf.transitions.grad.numpy(), "start": crf.start.grad.numpy(),
                 "stop": crf.stop.grad.numpy()}

    def loss(changed):
        total = 0.0
        for row, length in enumerate(lengths):
            every = np.array(list(all_scores(emissions[row, :length], changed).values()))
            own = path_score(
                emissions[row, :length].astype(np.float64), tuple(tags[row, :length]), changed
            )
            total += np.log(np.exp(every).sum()) - own
        return total

    exact = TransitionScores(*(part.astype(np.float64) for part in scores))
    for name, gradient in gradients.items():
        for place in np.ndindex(gradient.shape):
            ends = []
            for step in (1e-5, -1e-5):
                part = getattr(exact, name).copy()
                part[place] += step
                ends.append(loss(exact._replace(**{name: part})))
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-3)


def test_scores_far_apart_give_finite_losses_and_gradients():
    emissions = np.zeros((1, 3, 2), np.float32)
    emissions[0, :, 0] = 500.0
    scores = TransitionScores(*(np.zeros(s, np.float32) for s in (2, 2, (2, 2))))
    scores.transitions[0] = -400.0
    crf = crf_of(scores)
    loss = crf(paddle.to_tensor(emissions), paddle.to_tensor([[1, 1, 1]]), paddle.to_tensor([3]))
    loss.sum().backward()
    assert np.isfinite(loss.item()) and loss.item() > 500
    assert np.isfinite(crf.transitions.grad.numpy()).all()


def test_constrained_decoding_lets_no_continuation_follow_a_wrong_tag():
    tags = ["nr-B", "nr-I", "ns-B", "ns-I", "v-B"]
    scheme = TagScheme.of(tags)
    emissions, lengths, scores = random_case(5, batch=40, steps=8, tags=5, scale=4.0)
    free = best_paths(emissions, lengths, scores)
    bound = best_paths(emissions, lengths, scores.constrained(scheme, tags))

    def broken(paths):
        return sum(
            not scheme.may_follow(before, after)
            for path in paths
            for before, after in zip(["O", *(tags[i] for i in path)], [tags[i] for i in path])
        )

    assert broken(free) > 0
    assert broken(bound) == 0
    for row, path in enumerate(bound):  # and it is the best of the allowed ones
        if lengths[row] > 4:
            continue
        every = all_scores(emissions[row, : lengths[row]], scores)
        allowed = {
            p: score for p, score in every.items()
            if all(scheme.may_follow(a, b) for a, b in
                   zip(["O", *(tags[i] for i in p)], [tags[i] for i in p]))
        }
        assert tuple(path) == max(allowed, key=allowed.get)


def test_tags_beyond_a_rows_length_do_not_count():
    emissions, lengths, scores = random_case(7)
    crf = crf_of(scores)
    tags = np.random.default_rng(7).integers(0, 3, emissions.shape[:2])
    padded = np.where(np.arange(5) < lengths[:, None], tags, -100)
    one, other = (crf(*map(paddle.to_tensor, (emissions, values, lengths))).numpy()
                  for values in (tags, padded))
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize("changes, problem", [
    ({"emissions": np.zeros((5, 3), np.float32)},
     r"emissions must have shape \(batch, steps, tags = 3\), not \(5, 3\)"),
    ({"emissions": np.zeros((4, 5, 2), np.float32)},
     r"emissions must have shape \(batch, steps, tags = 3\), not \(4, 5, 2\)"),
    ({"emissions": np.zeros((4, 0, 3), np.float32)}, "emissions must have at least one step"),
    ({"lengths": np.array([5, 1])}, r"lengths must have shape \(batch = 4\), not \(2,\)"),
    ({"lengths": np.array([[5, 5, 5, 5]])}, r"lengths must have shape \(batch = 4\), not \(1, 4\)"),
    ({"lengths": np.array([5, 0, 1, 1])}, "lengths must be from 1 to 5, not 0"),
    ({"lengths": np.array([5, 6, 1, 1])}, "lengths must be from 1 to 5, not 6"),
    ({"tags": np.zeros((4, 4), np.int64)},
     r"tags must have shape \(batch = 4, steps = 5\), not \(4, 4\)"),
    ({"tags": np.full((4, 5), 3)}, "tags must be from 0 to 2, not 3"),
    ({"tags": np.full((4, 5), -1)}, "tags must be from 0 to 2, not -1"),
], ids=str)
def test_what_does_not_fit_is_refused(changes, problem):
    emissions, lengths, scores = random_case(1)
    crf, given = crf_of(scores), {
        "emissions": emissions, "tags": np.zeros((4, 5), np.int64), "lengths": lengths, **changes,
    }
    given = {name: paddle.to_tensor(value) for name, value in given.items()}
    for method in (crf, crf.path_score):
        with pytest.raises(ValueError, match=problem):
            method(**given)
    del given["tags"]
    if "tags" in changes:
        assert crf.log_partition(**given).shape == [4]
    else:
        with pytest.raises(ValueError, match=problem):
            crf.log_partition(**given)


def test_a_chain_has_tags():
    with pytest.raises(ValueError, match="num_tags must be at least 1, not 0"):
        LinearChainCRF(0)


def test_unknown_sizes_of_a_static_program_are_not_checked():
    paddle.enable_static()
    try:
        with paddle.static.program_guard(paddle.static.Program(), paddle.static.Program()):
            crf = LinearChainCRF(3)
            emissions = paddle.static.data("emissions", [-1, 4, 3])
            tags = paddle.static.data("tags", [-1, 4], "int64")
            lengths = paddle.static.data("lengths", [-1], "int64")
            loss = crf(emissions, tags, lengths)
            with pytest.raises(ValueError, match=r"tags must have shape \(batch, steps = 4\)"):
                crf(emissions, tags[:, 1:], lengths)
            run = paddle.static.Executor()
            run.run(paddle.static.default_startup_program())
            given = {"emissions": np.zeros((2, 4, 3), np.float32), "lengths": np.array([4, 1]),
                     "tags": np.zeros((2, 4), np.int64)}
            (nats,) = run.run(paddle.static.default_main_program(), given, [loss])
    finally:
        paddle.disable_static()
    assert nats.shape == (2,) and (nats > 0).all()
