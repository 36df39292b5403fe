"""The table of LARK's LAC demo, on a checkpoint that the original wrote."""

import numpy as np
import pytest

from bilm import InputError
from bilm.storage.formats import lark, lark_lac
from bilm.storage.formats.tables import from_format, to_format
from bilm.storage.pretrained import open_model
from tests.reference import numpy_bilm
from tests.reference.places import LARK_LAC

FOLDER = LARK_LAC / "checkpoint"
SIZE, TAGS = 5, 9  # of the GRU; number of tags


def tagger():
    """Return the variables that are not the biLM's."""
    return {name: array for name, array in numpy_bilm.read_lark_folder(FOLDER).items()
            if not lark.is_bilm_parameter(name) and not name.startswith("ELMo_")}


@pytest.mark.smoke
def test_every_variable_belongs_to_the_table_and_comes_back():
    variables, table = tagger(), lark_lac.table()
    ours = from_format(table, variables, "here")  # which refuses what belongs to nothing
    assert len({name for entry in table for name in entry.ours}) == len(ours)
    back = dict(to_format(table, ours))
    assert back.keys() == variables.keys()
    for name, array in variables.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_shapes_are_those_of_the_parts():
    ours = from_format(lark_lac.table(), tagger(), "here")
    shapes = {name: array.shape for name, array in ours.items()}
    for layer, inputs in ((0, 16 + 6), (1, 2 * SIZE)):
        for direction in ("forward", "backward"):
            stem = f"gru_layers.{layer}.{direction}_direction"
            assert shapes[f"{stem}.input_weight"] == (inputs, 3 * SIZE)
            assert shapes[f"{stem}.update_reset_weight"] == (SIZE, 2 * SIZE)
            assert shapes[f"{stem}.candidate_weight"] == (SIZE, SIZE)
            assert shapes[f"{stem}.bias"] == (3 * SIZE,)
    assert shapes["emissions.weight"] == (2 * SIZE, TAGS)
    assert shapes["crf.transitions"] == (TAGS, TAGS)
    packed = tagger()["gru_0.w_0"].reshape(-1)
    found = np.asarray(ours["gru_layers.0.forward_direction.candidate_weight"])
    np.testing.assert_array_equal(found.reshape(-1), packed[2 * SIZE * SIZE :])


def test_its_bilm_and_mix_are_read_as_any_other():
    model = open_model(FOLDER)
    assert model.config.num_layers == 2
    variables = numpy_bilm.read_lark_folder(FOLDER)
    np.testing.assert_array_equal(model.mixes.parameters[0][0], variables["ELMo_w"])


@pytest.mark.parametrize("name, shape", [("gru_0.w_0", (5, 5)), ("crfw", (9, 9))])
def test_other_shapes_are_told(name, shape):
    variables = {**tagger(), name: np.zeros(shape, np.float32)}
    with pytest.raises(InputError, match=f"here: {name}: expected a"):
        from_format(lark_lac.table(), variables, "here")
