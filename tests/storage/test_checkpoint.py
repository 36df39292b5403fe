"""Model folders: whole or not there at all, read strictly, damage told by file."""

import errno
import json
import os
import resource
from contextlib import contextmanager

import pytest

from bilm.errors import InputError
from bilm.files import sha256_of
from bilm.storage import checkpoint
from bilm.storage.checkpoint import load_checkpoint, save_checkpoint
from bilm.storage.pretrained import open_model
from bilm.storage.run_folder import RunFolder, checkpoint_path
from bilm.storage.stored_model import StoredModel
from bilm.storage.tensors import check_tensors
from tests.reference.checkpoints import assert_equal_arrays, build
from tests.reference.folders import content

FILES = [
    "config.json", "vocab.txt", "segmentation.json", "model.safetensors", "training/state.json",
    "training/optimizer.safetensors", "training/lstm.safetensors", "training/rows.safetensors",
]


def problem_of(path):
    with pytest.raises(InputError) as error:
        load_checkpoint(path)
    return str(error.value)


@pytest.mark.smoke
def test_a_checkpoint_gives_back_every_bit(saved, vocabulary):
    expected = build(vocabulary)
    loaded = load_checkpoint(saved)
    for name in ("config", "vocabulary", "segmentation", "mixes"):
        assert getattr(loaded, name) == getattr(expected, name)
    assert_equal_arrays(loaded.tensors, expected.tensors)
    assert loaded.training.keys() == expected.training.keys()
    for name, part in expected.training.items():
        if name.endswith(".json"):
            assert loaded.training[name] == part
        else:
            assert_equal_arrays(loaded.training[name], part)
    assert open_model(saved).training == {}


def test_a_model_without_vocabulary_and_training_is_complete(tmp_path, vocabulary):
    model = StoredModel(*build(vocabulary)[:2])
    save_checkpoint(tmp_path / "model", model)
    loaded = open_model(tmp_path / "model")
    assert (loaded.config, loaded.vocabulary, loaded.segmentation) == (model.config, None, None)
    assert_equal_arrays(loaded.tensors, model.tensors)
    assert content(tmp_path / "model").keys() == {
        "config.json", "model.safetensors", "checksums.json",
    }
    assert "no training state; use --load_pretraining_params" in problem_of(tmp_path / "model")


def test_no_file_is_a_pickle(saved):
    found = {name: data for name, data in content(saved).items() if data is not None}
    assert found.keys() == {*FILES, "checksums.json"}
    for name, data in found.items():
        if name.endswith(".safetensors"):  # u64 size of the header, header (JSON), arrays
            header = data[8 : 8 + int.from_bytes(data[:8], "little")]
            assert isinstance(json.loads(header), dict)
        else:
            assert name.endswith((".json", ".txt"))
            data.decode("utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(saved, name):
    path = saved / name
    data = path.read_bytes()
    for size in (0, 1, 7, 8, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert f"{path}: the file is truncated or has changed" in problem_of(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_noticed(saved, name):
    path = saved / name
    data = bytearray(path.read_bytes())
    for place in (0, len(data) // 2, len(data) - 1):
        data[place] ^= 1
        path.write_bytes(data)
        assert f"{path}: the file is truncated or has changed" in problem_of(saved)
        data[place] ^= 1


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    problem = problem_of(saved)
    assert name in problem
    assert str(saved) in problem


def test_a_damaged_list_of_checksums_is_named(saved):
    path = saved / "checksums.json"
    data = path.read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 2):
        path.write_bytes(data[:size])
        assert f"{path}: not JSON" in problem_of(saved)


def test_a_truncated_file_is_named_without_checksums_too(saved):
    (saved / "checksums.json").unlink()
    for name in ("model.safetensors", "training/optimizer.safetensors"):
        data = (saved / name).read_bytes()
        for size in (0, 7, 8, 20, len(data) // 2, len(data) - 1):
            (saved / name).write_bytes(data[:size])
            problem = problem_of(saved)
            assert f"{saved / name}: not a readable safetensors file" in problem
        (saved / name).write_bytes(data)
    (saved / "training/state.json").write_text("{")
    assert "training/state.json: not JSON" in problem_of(saved)


def test_training_state_that_is_not_wanted_is_not_checked(saved):
    (saved / "training/state.json").write_text("{")
    assert open_model(saved, moments=False).config.cell_size == 6
    with pytest.raises(InputError, match="state.json: the file is truncated or has changed"):
        open_model(saved)


@pytest.mark.parametrize("names, missing", [
    ((), "config.json"), (("config.json",), "model.safetensors"), (None, "config.json"),
])
def test_another_folder_is_no_model_folder(tmp_path, names, missing):
    folder = tmp_path / "folder"
    if names is not None:
        folder.mkdir()
    for name in names or ():
        (folder / name).write_text("{}")
    assert problem_of(folder) == f"{folder}: not a model folder: it has no {missing}"


def fail_at(monkeypatch, call):
    """Make the call of this number to `write_safetensors` fail half way through the file."""
    real, calls = checkpoint.write_safetensors, []

    def write_safetensors(path, *arguments):
        calls.append(path)
        real(path, *arguments)
        if len(calls) == call:
            os.truncate(path, os.path.getsize(path) // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "write_safetensors", write_safetensors)


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("step", [40, 50])  # in place of the old one, or beside it
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(
    saved, vocabulary, monkeypatch, step, call
):
    before, path = content(saved.parent), checkpoint_path(saved.parent, step)
    fail_at(monkeypatch, call)
    with pytest.raises(InputError) as error:
        save_checkpoint(path, build(vocabulary, seed=1))
    assert str(error.value) == f"{path}: the checkpoint cannot be written: No space left on device"
    assert content(saved.parent) == before


@contextmanager
def file_size_limit(size):
    """Let no file grow beyond `size` bytes; Python ignores the signal, so writing fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [10, 4096])  # the first file fails, or the weights
def test_a_write_that_really_fails_leaves_the_old_checkpoint_and_nothing_else(
    saved, vocabulary, size
):
    before = content(saved.parent)
    too_large = pytest.raises(InputError, match="cannot be written: .*File too large")
    with too_large, file_size_limit(size):
        save_checkpoint(saved, build(vocabulary, seed=1))
    assert content(saved.parent) == before


def test_check_tensors_tells_every_difference():
    expected = {"a": (2, 3), "b": (), "c": (4,), "d": (5, 6), "e": [7]}
    found = {"c": (5,), "d": (6, 5), "e": (7,), "y": (1,), "x": ()}
    with pytest.raises(InputError) as error:
        check_tensors(expected, found, "model.safetensors")
    assert str(error.value) == (
        "model.safetensors: missing a 2x3; missing b scalar; unexpected x scalar; unexpected y 1; "
        "c has shape 5, expected 4; d has shape 6x5, expected 5x6"
    )
    check_tensors(expected, dict(reversed(list(expected.items()))), "equal sets")


@pytest.mark.smoke
def test_a_model_is_set_whole_or_not_at_all(tmp_path, vocabulary):
    from bilm.network.model import BiLM
    from bilm.storage.models import load_model
    from bilm.storage.tensors import set_weights, weights_of

    model = BiLM(build(vocabulary).config)
    weights = weights_of(model)
    model.save_pretrained(tmp_path / "m", vocabulary)
    loaded, stored = load_model(tmp_path / "m")
    assert_equal_arrays(weights_of(loaded), weights)
    assert not loaded.training
    assert stored.vocabulary == vocabulary

    changed = {name: array + 1 for name, array in weights.items()}
    changed["softmax.bais"] = changed.pop("softmax.bias")
    changed["embedding.weight"] = changed["embedding.weight"].T
    with pytest.raises(InputError) as error:
        set_weights(loaded, changed, "elsewhere")
    rows = len(vocabulary)
    assert str(error.value) == (
        f"elsewhere: missing softmax.bias {rows}; unexpected softmax.bais {rows}; "
        f"embedding.weight has shape 4x{rows}, expected {rows}x4"
    )
    assert_equal_arrays(weights_of(loaded), weights)


def test_checksums_are_sha256_of_every_file(saved):
    sums = json.loads((saved / "checksums.json").read_text("utf-8"))
    assert sums.keys() == set(FILES)
    assert sums["config.json"] == sha256_of(saved / "config.json")
    (saved / "abc").write_text("abc")  # the example of FIPS 180-2
    assert sha256_of(saved / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_run_stands_for_its_latest_checkpoint(saved, vocabulary):
    newer = checkpoint_path(saved.parent, 50)
    save_checkpoint(newer, build(vocabulary, seed=1))
    with RunFolder(saved.parent, "--para_save_dir") as folder:
        for path, seed in ((saved, 0), (newer, 1)):
            folder.set_pointer(path)
            tensors = open_model(saved.parent).tensors
            assert_equal_arrays(tensors, build(vocabulary, seed).tensors)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "segmentation.json"])
def test_what_is_truncated_beside_the_weights_is_told_as_such(saved, name):
    """Not as a vocabulary of the wrong size, for instance: checksums come first."""
    path = saved / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=f"{name}: the file is truncated or has changed"):
        open_model(saved)
