"""LARK's interface in static programs, on whichever Paddle this is."""

import os
import subprocess
import sys

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, ELMo, InputError, elmo_encoder, init_pretraining_params
from bilm.storage.formats.lark import variable_names
from tests.reference import lark, numpy_bilm, numpy_elmo
from tests.reference.elmos import pad, run, still
from tests.reference.kernel_problems import threads
from tests.reference.lark_files import TRAINED
from tests.reference.places import ROOT
from tests.reference.static_programs import (
    data,
    parameters,
    set_parameter,
    small_tagger,
    static_programs,
    words,
)

CONFIG = BiLMConfig(vocab_size=37, projection_size=8, cell_size=14)
BILM_NAMES = {name for name in variable_names(2).values() if not name.startswith("softmax")}
SHAPES = {"fixed": [4, 7], "unknown": [None, None], "larks": [None, None, 1]}


def test_mode(program, feeds, fetches):
    """Return the program that evaluates: `clone(for_test=True)` is not in Paddle 3."""
    return paddle.static.normalize_program(program, feeds, fetches)


test_mode.__test__ = False


@pytest.mark.smoke
@pytest.mark.parametrize("shape", SHAPES)
def test_larks_encoder_is_reproduced(shape):
    golden = lark.golden()
    rows, lengths = pad(golden)
    with static_programs() as (main, startup, exe):
        word_ids, counts = data(SHAPES[shape])
        out = elmo_encoder(word_ids, lengths=counts, config=CONFIG, variant="lark", dropout=0.0)
        exe.run(startup)
        init_pretraining_params(exe, str(TRAINED), main)
        set_parameter("ELMo_w", golden["elmo/w"])
        set_parameter("ELMo_gamma", golden["elmo/gamma"])
        feed = {"word": rows.reshape(rows.shape + (1,) * (shape == "larks")), "lengths": lengths}
        (found,) = exe.run(main, feed=feed, fetch_list=[out])
    inside = np.arange(rows.shape[1]) < lengths[:, None]
    np.testing.assert_allclose(found[inside], golden["elmo/out"], atol=1e-5, rtol=0)
    assert not found[~inside].any()


@pytest.mark.smoke
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("variant", ["elmo", "lark"])
def test_static_equals_dynamic(variant, layer_norm):
    random = np.random.default_rng(0)
    ids, lengths = random.integers(3, 37, (5, 6)), np.array([6, 0, 1, 3, 6])
    options = {"variant": variant, "layer_norm": layer_norm}
    elmo = still(ELMo(BiLM.from_pretrained(TRAINED), **options), [0.2, -0.5, 0.9], [0.7])
    expected, full = run(elmo, ids, lengths)[0], run(elmo, ids)[0]
    with static_programs() as (main, startup, exe):
        word_ids, counts = data()
        first = elmo_encoder(word_ids, lengths=counts, config=CONFIG, dropout=0.0, **options)
        second = elmo_encoder(word_ids, config=CONFIG, dropout=0.0, name="full", **options)
        exe.run(startup)
        init_pretraining_params(exe, TRAINED, main)
        for start in ("", "full_"):
            set_parameter(start + "ELMo_w", [0.2, -0.5, 0.9])
            set_parameter(start + "ELMo_gamma", [0.7])
        feed = {"word": ids, "lengths": lengths}
        found = exe.run(main, feed=feed, fetch_list=[first, second])
    np.testing.assert_allclose(found[0], expected, atol=5e-6)
    np.testing.assert_allclose(found[1], full, atol=5e-6)


def test_without_arguments_it_is_larks_published_model():
    with static_programs() as (main, _, _):
        out = elmo_encoder(words())
        shapes = {p.name: list(p.shape) for p in main.global_block().all_parameters()}
        assert list(out.shape)[-1] == 1024
    assert set(shapes) == {*BILM_NAMES, "ELMo_w", "ELMo_gamma"}
    assert shapes["embedding_para"] == [52445, 512]
    assert shapes["bw_layer2_gate_w"] == [512, 4 * 4096]
    assert shapes["lstmp_3.w_1"] == [4096, 512]


def test_parameters_keep_larks_names_whatever_else_the_program_holds():
    with static_programs() as (main, _, _):
        word_ids = words()
        hidden = paddle.nn.Embedding(37, 8)(word_ids)
        paddle.nn.LSTM(8, 8)(hidden)
        elmo_encoder(word_ids, config=CONFIG)
        paddle.nn.Linear(16, 2)(elmo_encoder(word_ids, config=CONFIG, name="second"))
        names = [p.name for p in main.global_block().all_parameters()]
    assert len(names) == len(set(names))
    assert {*BILM_NAMES, "ELMo_w", "ELMo_gamma", "second_ELMo_w", "second_ELMo_gamma"} <= set(names)


@pytest.mark.smoke
def test_a_program_has_one_bilm_and_each_name_once():
    with static_programs():
        word_ids = words()
        elmo_encoder(word_ids, config=CONFIG)
        with pytest.raises(ValueError, match="name '' is taken by another elmo_encoder"):
            elmo_encoder(word_ids, config=CONFIG)
        with pytest.raises(ValueError, match="the program has a biLM already"):
            elmo_encoder(word_ids, config=CONFIG, trainable=True, name="b")
        with pytest.raises(ValueError, match="the program has a biLM already"):
            elmo_encoder(word_ids, config=BiLMConfig(vocab_size=38), name="b")


@pytest.mark.smoke
def test_in_dynamic_mode_it_points_to_elmo():
    with pytest.raises(InputError, match="bilm.ELMo"):
        elmo_encoder(paddle.to_tensor([[3]]))


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize("trainable", [False, True])
def test_a_tagger_learns_on_top(trainable):
    """50 sentences: the loss falls by half."""
    ids = np.random.default_rng(0).integers(0, 37, (50, 6))
    ids[:37, 0] = np.arange(37)  # every word occurs
    feed = {"word": ids, "lengths": np.full(50, 6), "tags": ids % 5}
    paddle.seed(0)
    with static_programs() as (main, startup, exe):
        word_ids, counts = data()
        features = elmo_encoder(
            word_ids, 0.001, lengths=counts, config=CONFIG, dropout=0.1, trainable=trainable
        )
        loss, emissions = small_tagger(features)
        evaluation = test_mode(main, [word_ids, counts], [emissions])
        paddle.optimizer.Adam(0.05).minimize(loss)
        exe.run(startup)
        init_pretraining_params(exe, TRAINED, main)
        before = parameters()
        losses = [float(exe.run(main, feed=feed, fetch_list=[loss])[0]) for _ in range(60)]
        after = parameters()
        seen = {name: feed[name] for name in ("word", "lengths")}
        twice = [exe.run(evaluation, feed=seen, fetch_list=[emissions])[0] for _ in range(2)]
    assert losses[-1] < losses[0] / 2
    np.testing.assert_array_equal(*twice)
    for name in before:
        learned = trainable or name not in BILM_NAMES
        assert np.array_equal(before[name], after[name]) == (not learned), name


def test_dropout_follows_the_programs_mode():
    feed = {"word": np.full((1, 9), 5), "lengths": np.array([9])}
    for variant in ("elmo", "lark"):
        with static_programs() as (main, startup, exe):
            word_ids, counts = data()
            out = elmo_encoder(word_ids, lengths=counts, config=CONFIG, variant=variant)
            evaluation = test_mode(main, [word_ids, counts], [out])
            exe.run(startup)
            trained = [exe.run(main, feed=feed, fetch_list=[out])[0] for _ in range(2)]
            tested = [exe.run(evaluation, feed=feed, fetch_list=[out])[0] for _ in range(2)]
        assert not np.array_equal(*trained)
        np.testing.assert_array_equal(*tested)


LOAD = """
import sys
import numpy as np
import paddle
paddle.enable_static()
exe = paddle.static.Executor(paddle.CPUPlace())
program, names, fetches = paddle.static.load_inference_model(sys.argv[1], exe)
feed = dict(np.load(sys.argv[2]))
for number in (0, 1):
    rows = {name: feed[name + str(number)] for name in names}
    np.save(sys.argv[3] + str(number), exe.run(program, feed=rows, fetch_list=fetches)[0])
assert not any(name.split('.')[0] in ('bilm', 'lac') for name in sys.modules)
"""


@pytest.mark.smoke
def test_a_saved_program_runs_without_this_project(tmp_path):
    """Another process, another number of rows and steps than before."""
    random = np.random.default_rng(1)
    feeds = {"word0": random.integers(0, 37, (3, 5)), "lengths0": np.array([5, 2, 0]),
             "word1": random.integers(0, 37, (9, 12)), "lengths1": np.full(9, 12)}
    np.savez(tmp_path / "feeds.npz", **feeds)
    with threads(1), static_programs() as (main, startup, exe):
        word_ids, counts = data()
        features = elmo_encoder(word_ids, lengths=counts, config=CONFIG)
        loss, emissions = small_tagger(features)
        exe.run(startup)
        init_pretraining_params(exe, TRAINED, main)
        evaluation = test_mode(main, [word_ids, counts], [emissions])
        expected = [
            exe.run(evaluation, feed={"word": feeds[f"word{n}"], "lengths": feeds[f"lengths{n}"]},
                    fetch_list=[emissions])[0]
            for n in (0, 1)
        ]
        prefix = str(tmp_path / "tagger")
        paddle.static.save_inference_model(prefix, [word_ids, counts], [emissions], exe,
                                           program=main)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"
    subprocess.run(
        [sys.executable, "-c", LOAD, prefix, tmp_path / "feeds.npz", str(tmp_path / "out")],
        cwd=tmp_path, env=environment, check=True,
    )
    for number, values in enumerate(expected):
        np.testing.assert_array_equal(np.load(tmp_path / f"out{number}.npy"), values)


EITHER = "AssertOp|received ids"  # the executor chooses which of them runs first


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("word, length, message", [
    (37, [2], "received ids"), (-1, [2], EITHER), (5, [3], EITHER), (5, [-1], EITHER),
])
def test_a_static_program_stops_at_bad_input(word, length, message):
    with static_programs() as (main, startup, exe):
        word_ids, counts = data()
        out = elmo_encoder(word_ids, lengths=counts, config=CONFIG)
        exe.run(startup)
        evaluation = test_mode(main, [word_ids, counts], [out])
        feed = {"word": np.array([[5, word]]), "lengths": np.array(length)}
        with pytest.raises(Exception, match=message):
            exe.run(main, feed=feed, fetch_list=[out])
        # Assert is taken out of programs for inference, where Paddle's lookup stops instead
        with pytest.raises(Exception, match="received ids"):
            exe.run(evaluation, feed=feed, fetch_list=[out])


def count_operators(program, word):
    names = [op.name() if hasattr(op, "results") else op.type for op in program.global_block().ops]
    return sum(word in name for name in names)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_frozen_bilm_has_no_backward_pass(shape):
    found = {}
    for trainable in (False, True):
        with static_programs() as (main, _, _):
            word_ids, counts = data(SHAPES[shape])
            out = elmo_encoder(word_ids, lengths=counts, config=CONFIG, trainable=trainable)
            loss, _ = small_tagger(out)
            before = count_operators(main, "while"), count_operators(main, "tanh")
            paddle.optimizer.SGD(0.1).minimize(loss)
            after = count_operators(main, "while"), count_operators(main, "tanh")
        found[trainable] = after[0] - before[0], after[1] - before[1]
    assert found[False] == (0, 1)  # the tagger's own tanh
    assert sum(found[True]) > 1


def test_a_copy_of_a_program_is_told():
    with static_programs() as (main, _, _):
        word_ids = words()
        elmo_encoder(word_ids, config=CONFIG)
        copy = main.clone()
        with paddle.static.program_guard(copy), pytest.raises(InputError, match="a copy of"):
            elmo_encoder(words(), config=CONFIG, name="b")


def test_a_wrong_option_leaves_the_program_as_it_was():
    with static_programs():
        with pytest.raises(InputError, match="variant must be one of"):
            elmo_encoder(words(), config=CONFIG, variant="bert")
        elmo_encoder(words(), config=CONFIG)


def test_the_l2_coefficient_reaches_the_mix_weights():
    found = []
    for coefficient in (0.0, 0.5):
        with static_programs() as (main, startup, exe):
            out = elmo_encoder(words(), coefficient, config=CONFIG, dropout=0.0)
            paddle.optimizer.SGD(1.0).minimize(out.sum())
            exe.run(startup)
            init_pretraining_params(exe, TRAINED, main)
            set_parameter("ELMo_w", [1.0, 2.0, -1.0])
            exe.run(main, feed={"word": np.array([[5, 6]])})
            found.append(parameters()["ELMo_w"])
    expected = found[0] - 0.5 * np.array([1.0, 2.0, -1.0])
    np.testing.assert_allclose(found[1], expected, atol=1e-5)


def difference_among_neighbours(rows):
    """Return how far a static program's values are from those of the same rows in another order."""
    random = np.random.default_rng(rows)
    ids, lengths = random.integers(3, 37, (rows, 6)), random.integers(0, 7, rows)
    order = random.permutation(rows)
    with static_programs() as (main, startup, exe):
        word_ids, counts = data()
        out = elmo_encoder(word_ids, lengths=counts, config=CONFIG, layer_norm=True, dropout=0.0)
        exe.run(startup)
        init_pretraining_params(exe, TRAINED, main)
        first, second = (
            exe.run(main, feed={"word": ids[rows], "lengths": lengths[rows]}, fetch_list=[out])[0]
            for rows in (slice(None), order)
        )
    return float(np.abs(second - first[order]).max())


NEIGHBOURS = [1, 3, 8, 11, 32]


@pytest.mark.parametrize("rows", NEIGHBOURS)
def test_neighbours_and_their_order_change_nothing_but_rounding(rows):
    assert difference_among_neighbours(rows) <= 1e-6


def test_neighbours_and_their_order_change_no_bit_in_mkls_strict_mode():
    """In a process of its own: MKL reads the variable once."""
    program = ("from tests.test_static_graph import NEIGHBOURS, difference_among_neighbours; "
               "print([difference_among_neighbours(rows) for rows in NEIGHBOURS])")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MKL_CBWR": "AVX2,STRICT"},
    )
    assert done.stdout.splitlines()[-1] == str([0.0] * len(NEIGHBOURS))


def test_other_borders_than_larks_are_used():
    config = BiLMConfig(**{**CONFIG.__dict__, "bos_id": 7, "eos_id": 9})
    with static_programs() as (main, startup, exe):
        out = elmo_encoder(words(), config=config, dropout=0.0)
        exe.run(startup)
        init_pretraining_params(exe, TRAINED, main)
        (found,) = exe.run(main, feed={"word": np.array([[5, 6]])}, fetch_list=[out])
    params = numpy_bilm.read_lark_folder(TRAINED)
    layers = numpy_elmo.sentence_layers(params, [5, 6], bos=7, eos=9)
    np.testing.assert_allclose(found[0], layers.mean(axis=0), atol=1e-5)


def test_two_programs_of_one_process_do_not_meet():
    """A train and a test program with shared names share their values through the scope."""
    with static_programs() as (main, startup, exe):
        word_ids = words()
        first = elmo_encoder(word_ids, config=CONFIG, dropout=0.0)
        other = paddle.static.Program()
        with paddle.static.program_guard(other, startup):
            again = elmo_encoder(words(), config=CONFIG, dropout=0.0)
        exe.run(startup)
        init_pretraining_params(exe, TRAINED, main)
        feed = {"word": np.array([[5, 6, 7]])}
        results = [exe.run(program, feed=feed, fetch_list=[out])[0]
                   for program, out in ((main, first), (other, again))]
    np.testing.assert_array_equal(*results)
