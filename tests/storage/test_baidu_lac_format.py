"""The tables of the models of Baidu's LAC, on tiny folders of their layout."""

import numpy as np
import pytest

from bilm import InputError
from bilm.storage.formats.baidu_lac import (
    ranker_table,
    read_ranker,
    read_tagger,
    tagger_table,
)
from bilm.storage.formats.tables import from_format, to_format
from tests.reference import baidu_lac
from tests.reference.lark_files import combined, tensor_bytes

READ = {"lac": lambda path: read_tagger(path).weights, "rank": read_ranker}


@pytest.fixture
def package(tmp_path):
    return baidu_lac.write_package(tmp_path)


@pytest.mark.smoke
@pytest.mark.parametrize("mode, table", [("lac", tagger_table()), ("rank", ranker_table())])
def test_every_variable_belongs_to_the_table_and_comes_back(mode, table):
    variables = baidu_lac.variables(mode)
    ours = from_format(table, variables, "here")  # which refuses what belongs to nothing
    assert len({name for entry in table for name in entry.ours}) == len(ours)
    back = dict(to_format(table, ours))
    assert back.keys() == variables.keys()
    for name, array in variables.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


@pytest.mark.parametrize("mode", baidu_lac.MODES)
def test_a_folder_is_read_and_its_program_left_alone(package, mode):
    weights = READ.get(mode, READ["lac"])(package / f"{mode}_model/model")
    arrays = baidu_lac.variables(mode)
    assert all(array.dtype == np.float32 for array in weights.values())
    assert sum(array.size for array in weights.values()) == sum(
        array.size for array in arrays.values())
    np.testing.assert_array_equal(weights["word_embedding.weight"], arrays["word_emb"])


def test_layers_are_counted(package):
    assert read_tagger(package / "lac_model/model").num_layers == baidu_lac.LAYERS


def test_the_ranker_has_peepholes_behind_its_bias(package):
    weights, size = read_ranker(package / "rank_model/model"), baidu_lac.CELL
    for number, direction in enumerate(("forward", "backward")):
        packed = baidu_lac.variables("rank")[f"lstm_{number}.b_0"][0]
        stem = f"lstm.{direction}_direction"
        np.testing.assert_array_equal(weights[f"{stem}.bias"], packed[: 4 * size])
        np.testing.assert_array_equal(weights[f"{stem}.peepholes"].ravel(), packed[4 * size :])


@pytest.mark.parametrize("mode", ["lac", "rank"])
@pytest.mark.parametrize("in_folder", [False, True])
def test_a_combined_file_is_the_same_model(tmp_path, mode, in_folder):
    variables = baidu_lac.variables(mode)
    path = combined(tmp_path, variables)
    if in_folder:
        path = path.rename(tmp_path / "__params__").parent
    folder = baidu_lac.write_folder(tmp_path / "folder", mode)
    weights, expected = READ[mode](path), READ[mode](folder / "model")
    assert weights.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)


@pytest.mark.parametrize("mode, lost, told", [
    ("lac", ["crfw", "gru_3.b_0"], "no complete tagger of Baidu's LAC 2: missing crfw, gru_3.b_0"),
    ("rank", ["lstm_1.w_0"], "no complete ranker of Baidu's LAC 2: missing lstm_1.w_0"),
])
def test_missing_variables_are_listed(package, mode, lost, told):
    for name in lost:
        (package / f"{mode}_model/model" / name).unlink()
    with pytest.raises(InputError, match=told):
        READ[mode](package / f"{mode}_model/model")


def test_the_one_kind_is_not_the_other(package):
    with pytest.raises(InputError, match="no complete tagger.*missing crfw.*gru_0.w_0"):
        read_tagger(package / "rank_model/model")
    with pytest.raises(InputError, match="no complete ranker.*missing embedding_1.w_0.*lstm_0"):
        read_ranker(package / "lac_model/model")


def test_other_paths_are_told(tmp_path):
    other = tmp_path / "model_state.pdparams"
    other.write_bytes(b"something that is no tensor")
    with pytest.raises(InputError, match="expected a folder of one file a variable"):
        read_tagger(other)
    with pytest.raises(InputError, match="no such folder; check the spelling"):
        read_tagger(tmp_path / "nowhere")
    with pytest.raises(InputError, match="missing crfw, fc_0.b_0"):
        read_tagger(tmp_path)
    variables = baidu_lac.variables("lac")
    del variables["crfw"]
    with pytest.raises(InputError, match="its 19 tensors are not those of this model.*12, 20"):
        read_tagger(combined(tmp_path, variables))


@pytest.mark.parametrize("mode, name, shape, told", [
    ("lac", "gru_0.w_0", (5, 5), r"gru_0.w_0: expected a GRU's weights \(H, 3H\)"),
    ("lac", "word_emb", (22,), r"expected matrices, found word_emb \(22,\)"),
    ("rank", "lstm_0.b_0", (1, 16), r"lstm_0.b_0: expected the bias of an LSTM with peepholes"),
])
def test_other_shapes_are_told(package, mode, name, shape, told):
    file = package / f"{mode}_model/model" / name
    file.write_bytes(tensor_bytes(np.zeros(shape, np.float32)))
    with pytest.raises(InputError, match=told):
        READ[mode](file.parent)
