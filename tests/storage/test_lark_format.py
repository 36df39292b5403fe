"""Reading LARK's checkpoints: tensors, folders, combined files, archives, and damaged ones."""

import struct

import numpy as np
import pytest

from bilm.errors import InputError
from bilm.storage.formats import lark as lark_format
from bilm.storage.formats.lod_tensor import read_tensor
from bilm.storage.pretrained import open_model, read_config
from tests.reference import lark, numpy_bilm
from tests.reference.lark_files import (
    DTYPES,
    TRAINED,
    combined,
    tensor_bytes,
    trained_variables,
    varint,
)


def write(tmp_path, content):
    path = tmp_path / "tensor"
    path.write_bytes(content)
    return path


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_tensor_is_read_as_it_was_written(tmp_path, dtype, packed):
    array = np.arange(300 * 2, dtype=dtype).reshape(300, 2)
    found = read_tensor(write(tmp_path, tensor_bytes(array, packed)))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(np.asarray(found), array)


def test_every_variable_of_a_real_folder_is_what_another_reader_finds():
    expected = numpy_bilm.read_lark_folder(TRAINED, include_leftovers=True)
    for name, array in expected.items():
        np.testing.assert_array_equal(np.asarray(read_tensor(TRAINED / name)), array)


def test_a_tensor_cut_anywhere_is_refused(tmp_path):
    whole = tensor_bytes(np.ones((2, 3), np.float32))
    for size in range(len(whole)):
        with pytest.raises(InputError, match="tensor"):
            read_tensor(write(tmp_path, whole[:size]))


ONES = np.ones(3, np.float32)


@pytest.mark.parametrize("content, message", [
    (tensor_bytes(ONES) + b"\0", "1 bytes follow the tensor"),
    (b"\1" + tensor_bytes(ONES)[1:], "version 1, expected 0"),
    (struct.pack("<IQQ", 0, 1, 8) + bytes(8) + tensor_bytes(ONES)[12:], "1 levels of detail"),
    (struct.pack("<IQIi", 0, 0, 0, 2**31 - 1), "description has 2147483647 bytes"),
    (struct.pack("<IQIi", 0, 0, 0, -1), "description has -1 bytes"),
    (tensor_bytes(ONES, description=b"\x08\x05\x10" + varint(2**64 - 3)), "dimensions"),
    (tensor_bytes(ONES, description=b"\x08\x05" + (b"\x10" + varint(2**20)) * 2), "array .* needs"),
    (tensor_bytes(ONES, description=b"\x08\x05" + (b"\x10" + varint(2**39)) * 3), "dimensions"),
    (tensor_bytes(ONES, description=b"\x08\x05\x10\x00" + (b"\x10" + varint(2**39)) * 3),
     "dimensions"),
    (tensor_bytes(ONES, description=b"\x08\x05\x10\x04"), "needs 16 bytes, 12 are left"),
    (tensor_bytes(ONES, description=b"\x08\x63\x10\x03"), "unknown type 99"),
    (tensor_bytes(ONES, description=b"\x10\x03"), "unknown type None"),
    (tensor_bytes(ONES, description=b"\x08\x05\x12\x7f\x03"), "damaged description"),
    (tensor_bytes(ONES, description=b"\x08\x05\x1a\x01\x00"), "unknown field 26"),
    (b"", "the file is empty"),
    (b"PK\x03\x04 and so on, but no tensor", "version"),
])
def test_a_file_that_lies_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_tensor(write(tmp_path, content))


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("mix", [False, True])
def test_a_combined_file_gets_its_names_from_its_shapes(tmp_path, moments, softmax, mix):
    variables = {name: array for name, array in trained_variables(moments).items()
                 if softmax or "softmax" not in name}
    if mix:
        variables.update(ELMo_w=np.ones(3, np.float32), ELMo_gamma=np.ones(1, np.float32))
    found = lark_format.read_variables(
        lark_format.find(combined(tmp_path, variables)), list(variables)
    )
    assert found.keys() == variables.keys()
    for name, array in variables.items():
        np.testing.assert_array_equal(np.asarray(found[name]), array)


def test_an_archive_is_read_by_name_and_never_unpickled(tmp_path):
    variables = trained_variables()
    np.savez(tmp_path / "all.npz", **variables)
    found = lark_format.read_variables(lark_format.find(tmp_path / "all.npz"))
    assert found.keys() == variables.keys()
    np.savez(tmp_path / "bad.npz", embedding_para=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"bad.npz: not a readable .npz"):
        lark_format.read_variables(lark_format.find(tmp_path / "bad.npz"))


def test_other_records_are_refused_with_both_lists(tmp_path):
    variables = trained_variables()
    del variables["lstmp_1.w_0"]
    with pytest.raises(InputError, match=r"18 records \(8x56, .*embedding_para VxP"):
        open_model(combined(tmp_path, variables))


@pytest.mark.smoke
def test_sizes_are_told_by_the_shapes():
    config = read_config(TRAINED)
    assert (config.vocab_size, config.projection_size, config.cell_size) == (37, 8, 14)
    assert (config.num_layers, config.bidirectional, config.cell_clip) == (2, True, 3.0)


def test_weights_get_our_names_and_leftovers_stay_where_they_are():
    found, expected = open_model(TRAINED), lark.weights("checkpoint_trained")
    assert found.tensors.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found.tensors[name], array)
    assert found.vocabulary is None


def test_a_model_without_softmax_is_one(tmp_path):
    variables = {name: array for name, array in trained_variables().items()
                 if "softmax" not in name}
    found = open_model(combined(tmp_path, variables))
    assert "softmax.weight" not in found.tensors


def test_all_that_is_missing_is_listed(tmp_path):
    for name in ("embedding_para", "fw_layer1_gate_w", "lstmp_0.w_0", "lstmp_0.w_1"):
        (tmp_path / name).write_bytes((TRAINED / name).read_bytes())
    with pytest.raises(InputError, match=r"missing lstmp_0.b_0$"):
        read_config(tmp_path)
    (tmp_path / "lstmp_0.w_0").unlink()
    (tmp_path / "bw_layer1_gate_w").write_bytes(b"")
    with pytest.raises(InputError, match="bw_layer1_gate_w: the file is empty"):
        read_config(tmp_path)


@pytest.mark.parametrize("make, message", [
    (lambda path: None, "found nothing"),
    (lambda path: path.mkdir(), "found an empty folder"),
    (lambda path: path.write_text("weights"), "found a file of another kind"),
    (lambda path: [path.mkdir(), (path / "tagger.onnx").touch()], "found tagger.onnx"),
])
def test_what_is_no_model_is_told_with_what_was_found(tmp_path, make, message):
    make(tmp_path / "model")
    with pytest.raises(InputError, match=f"model: no biLM there: .*{message}"):
        open_model(tmp_path / "model")


def test_a_vocabulary_must_have_the_models_size(tmp_path):
    path = tmp_path / "vocab.txt"
    words = ["<UNK>", "<S>", "</S>", *(f"w{number}" for number in range(34))]
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    checkpoint = open_model(TRAINED, vocab_path=path)
    assert checkpoint.vocabulary.words == tuple(words)
    ids = checkpoint.config.bos_id, checkpoint.config.eos_id, checkpoint.config.unk_id
    assert ids == (1, 2, 0)
    path.write_text("\n".join(words[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="has 36 words, but the model has 37"):
        open_model(TRAINED, vocab_path=path)
