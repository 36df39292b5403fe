"""Models whose parts contradict each other, lack something or hold too much."""

import json

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bilm import InputError
from bilm.storage.formats import bilm_tf
from bilm.storage.pretrained import open_model
from tests.reference.models import random_model, write


@pytest.mark.parametrize("options, message", [
    ({}, "expected an object 'lstm'"),
    ({"lstm": {"dim": 3}}, "missing in 'lstm': projection_dim, n_layers"),
    ({"lstm": {"dim": 0, "projection_dim": 4, "n_layers": 2}}, "cell_size must be at least 1"),
    ({"lstm": {"dim": "x", "projection_dim": 4, "n_layers": 2}}, "cell_size must be of type int"),
])
def test_bad_options_are_told(options, message):
    with pytest.raises(InputError, match=f"o.json: .*{message}"):
        bilm_tf.config_from(options, "o.json")


def test_sizes_that_do_not_fit_are_all_listed(tmp_path):
    model = random_model()
    tensors = {**model.tensors, "softmax.bias": np.zeros(5, np.float32)}
    del tensors["forward_layers.0.bias"]
    folder = write(tmp_path / "m", model._replace(tensors=tensors), "bilm")
    with pytest.raises(InputError) as error:
        open_model(folder)
    assert "missing forward_layers.0.bias 24" in str(error.value)
    assert "softmax.bias has shape 5, expected 11" in str(error.value)


def stray(folder, name):
    """Add a tensor that belongs to nothing to a folder of a format."""
    if name == "hdf5":
        with h5py.File(folder / "weights.hdf5", "a") as file:
            file["RNN_0/RNN/MultiRNNCell/Cell2/LSTMCell/B"] = np.zeros(24, np.float32)
    elif name == "lark":
        content = (folder / "lstmp_0.w_0").read_bytes()
        (folder / "lstmp_4.w_0").write_bytes(content)
    else:
        found = load_file(folder / "model.safetensors")
        save_file({**found, "stray": np.zeros(2, np.float32)}, folder / "model.safetensors")


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["hdf5", "lark", "torch", "torch-lstm", "bilm"])
def test_a_tensor_too_many_is_told(tmp_path, name):
    folder = write(tmp_path / "m", random_model(), name)
    stray(folder, name)
    with pytest.raises(InputError, match="unexpected .*(stray|Cell2|lstmp_4)"):
        open_model(folder)


def test_one_tensor_too_few_is_told(tmp_path):
    folder = write(tmp_path / "m", random_model(), "lark")
    (folder / "embedding_para").unlink()
    with pytest.raises(InputError, match="an incomplete LARK model: missing embedding_para"):
        open_model(folder)


def edit_options(folder, **changes):
    path = folder / "options.json"
    options = json.loads(path.read_text())
    for name, value in changes.items():
        place = options["lstm"] if name in options["lstm"] else options
        if value is None:
            del place[name]
        else:
            place[name] = value
    path.write_text(json.dumps(options))


def test_options_that_contradict_the_weights_are_told(tmp_path):
    folder = write(tmp_path / "m", random_model(), "hdf5")
    edit_options(folder, n_tokens_vocab=13)
    with pytest.raises(InputError, match="n_tokens_vocab is 13, the weights have 11 words"):
        open_model(folder)


def test_clips_that_options_do_not_mention_are_none_or_given(tmp_path):
    folder = write(tmp_path / "m", random_model(), "hdf5")
    edit_options(folder, cell_clip=None)
    assert open_model(folder).config.cell_clip == 0.0
    assert open_model(folder, cell_clip=2.0).config.cell_clip == 2.0
    with pytest.raises(InputError, match="projection_clip is 3.0 there"):
        open_model(folder, projection_clip=2.0)


def test_of_several_hdf5_files_none_is_guessed(tmp_path):
    folder = write(tmp_path / "m", random_model(), "hdf5")
    content = (folder / "weights.hdf5").read_bytes()
    (folder / "vocab_embedding.hdf5").write_bytes(content)
    open_model(folder)  # weights.hdf5 has the name
    (folder / "weights.hdf5").rename(folder / "elmo_weights.hdf5")
    with pytest.raises(InputError, match="which is it: elmo_weights.hdf5, vocab_embedding.hdf5"):
        open_model(folder)
    open_model(folder / "elmo_weights.hdf5")


def test_words_that_come_with_a_model_are_not_replaced(tmp_path):
    folder = write(tmp_path / "m", random_model(vocabulary=True), "bilm")
    words = (folder / "vocab.txt").read_text(encoding="utf-8")
    (tmp_path / "same.txt").write_text(words, encoding="utf-8")
    (tmp_path / "other.txt").write_text(words.replace("词7", "别的"), encoding="utf-8")
    open_model(folder, vocab_path=tmp_path / "same.txt")
    with pytest.raises(InputError, match="differs from the model's own vocabulary"):
        open_model(folder, vocab_path=tmp_path / "other.txt")


def test_the_weights_of_a_folder_stand_for_it(tmp_path):
    folder = write(tmp_path / "m", random_model(cell_clip=1.0), "bilm")
    assert open_model(folder / "model.safetensors").config.cell_clip == 1.0
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="model.safetensors: needs config.json beside it"):
        open_model(folder)


@pytest.mark.parametrize("content, message", [
    ({"model": {"a": 1}}, "expected named tensors; save the state_dict"),
    ("double", "has tensors of torch.float64; save them as float32"),
])
def test_other_pytorch_files_are_told(tmp_path, content, message):
    torch = pytest.importorskip("torch")
    if content == "double":
        content = {"embedding.weight": torch.zeros(3, dtype=torch.float64)}
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=message):
        open_model(tmp_path / "x.pt")
