"""Which checkpoints set which parameters of a static program, and what is refused."""

import logging

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, ELMo, InputError, elmo_encoder, init_pretraining_params
from tests.reference.elmos import run, still
from tests.reference.lark_files import TRAINED, combined, trained_variables
from tests.reference.static_programs import parameters, small_tagger, static_programs, words

CONFIG = BiLMConfig(vocab_size=37, projection_size=8, cell_size=14)
SOURCES = ["folder", "combined", "npz", "ours", "run"]


@pytest.mark.parametrize("kind", SOURCES)
def test_every_form_of_checkpoint_sets_the_same_parameters(tmp_path, kind, caplog):
    variables = trained_variables()
    model = BiLM.from_pretrained(TRAINED)
    if kind == "combined":
        path = combined(tmp_path, variables)
    elif kind == "npz":
        path = tmp_path / "all.npz"
        np.savez(path, **variables)
    elif kind == "ours":
        path = tmp_path / "model"
        model.save_pretrained(path)
    elif kind == "run":
        path = tmp_path
        model.save_pretrained(path / "step_00000007")
        (path / "latest").write_text("step_00000007\n")
    else:
        path = TRAINED
    caplog.set_level(logging.INFO, logger="bilm")
    with static_programs() as (main, startup, exe):
        small_tagger(elmo_encoder(words(), config=CONFIG))
        exe.run(startup)
        before = parameters()
        init_pretraining_params(exe, str(path), main)
        after = parameters()
    for name, array in after.items():
        if name in variables:
            np.testing.assert_array_equal(array, variables[name].reshape(array.shape))
        else:
            np.testing.assert_array_equal(array, before[name], err_msg=name)
    (record,) = [r for r in caplog.records if r.name == "bilm"]
    assert record.getMessage() == (
        f"{path}: 17 parameters of the biLM and 0 of its mix set; 6 of the task left as they are"
    )


def test_a_mix_in_the_checkpoint_is_taken_and_a_parameter_of_the_task_is_not(tmp_path):
    variables = trained_variables()
    names = {"fc_w": "fc_w", **{name: name for name in variables}}
    arrays = {**variables, "ELMo_w": np.array([1, 2, 3], np.float32),
              "ELMo_gamma": np.array([4], np.float32), "fc_w": np.zeros((16, 5), np.float32)}
    np.savez(tmp_path / "task.npz", **arrays)
    with static_programs() as (main, startup, exe):
        features = elmo_encoder(words(), config=CONFIG)
        paddle.nn.Linear(16, 5, weight_attr=paddle.ParamAttr(name=names["fc_w"]))(features)
        exe.run(startup)
        init_pretraining_params(exe, tmp_path / "task.npz", main)
        after = parameters()
    assert after["ELMo_w"].tolist() == [1, 2, 3]
    assert after["ELMo_gamma"].tolist() == [4]
    assert after["fc_w"].any()


def test_leftovers_of_lark_reach_nothing():
    """LARK's folders hold activations such as concat_1.tmp_0, whose names programs use, too."""
    leftovers = [path.name for path in TRAINED.iterdir() if ".tmp_" in path.name]
    assert leftovers
    with static_programs() as (main, startup, exe):
        word_ids = words()
        out = elmo_encoder(word_ids, config=CONFIG, dropout=0.0)
        exe.run(startup)
        init_pretraining_params(exe, TRAINED, main)
        scope = paddle.static.global_scope()
        assert not any(scope.find_var(name) for name in leftovers)
        (found,) = exe.run(main, feed={"word": np.array([[5, 6]])}, fetch_list=[out])
    (expected,) = run(still(ELMo(BiLM.from_pretrained(TRAINED))), [[5, 6]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def write_npz(path, **changes):
    variables = {**trained_variables(), **changes}
    np.savez(path, **{name: array for name, array in variables.items() if array is not None})
    return path


@pytest.mark.smoke
def test_all_that_does_not_fit_is_listed(tmp_path):
    def tell(**changes):
        with pytest.raises(InputError) as error:
            init_pretraining_params(exe, write_npz(tmp_path / "x.npz", **changes), main)
        return str(error.value)

    with static_programs() as (main, startup, exe):
        elmo_encoder(words(), config=CONFIG)
        exe.run(startup)
        before = parameters()
        missing = {"lstmp_3.b_0": None, "embedding_para": None}
        assert tell(**missing).endswith("missing embedding_para 37x8; missing lstmp_3.b_0 56")
        rows = np.zeros((38, 8), np.float32)
        assert "embedding_para has shape 38x8, expected 37x8" in tell(embedding_para=rows)
        double = trained_variables()["embedding_para"].astype(np.float64)
        assert "embedding_para is float64" in tell(embedding_para=double)
        for name, array in parameters().items():
            np.testing.assert_array_equal(array, before[name])


def test_other_clips_than_the_programs_are_told(tmp_path):
    paddle.seed(0)
    BiLM(BiLMConfig(**{**CONFIG.__dict__, "cell_clip": 0.0})).save_pretrained(tmp_path / "m")
    with static_programs() as (main, startup, exe):
        elmo_encoder(words(), config=CONFIG)
        exe.run(startup)
        with pytest.raises(InputError, match="cell_clip is 0.0, in the program 3.0; call elmo_enc"):
            init_pretraining_params(exe, tmp_path / "m", main)


@pytest.mark.smoke
def test_the_order_of_the_steps_is_told():
    with static_programs() as (main, startup, exe):
        with pytest.raises(InputError, match="the program has no biLM; call elmo_encoder before"):
            init_pretraining_params(exe, TRAINED, main)
        elmo_encoder(words(), config=CONFIG)
        with pytest.raises(InputError, match="run the startup program first"):
            init_pretraining_params(exe, TRAINED, main)


def test_what_is_no_model_is_told(tmp_path):
    with static_programs() as (main, startup, exe):
        elmo_encoder(words(), config=CONFIG)
        exe.run(startup)
        with pytest.raises(InputError, match="no biLM there"):
            init_pretraining_params(exe, tmp_path, main)


def test_parameters_of_the_task_may_have_larks_other_names():
    with static_programs() as (main, startup, exe):
        features = elmo_encoder(words(), config=CONFIG)
        paddle.nn.Linear(16, 5, weight_attr=paddle.ParamAttr(name="softmax_weight"),
                         bias_attr=paddle.ParamAttr(name="softmax_bias"))(features)
        exe.run(startup)
        before = parameters()
        init_pretraining_params(exe, TRAINED, main)
        for name in ("softmax_weight", "softmax_bias"):
            np.testing.assert_array_equal(parameters()[name], before[name])
