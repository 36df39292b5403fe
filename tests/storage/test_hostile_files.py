"""Files from strangers: refused with one line, and nothing in them is run.

The fuzz tests run briefly here; for longer see CONTRIBUTING.md.
"""

import io
import json
import os
import pickle
import struct
import zipfile
from dataclasses import fields

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from bilm import InputError
from bilm.commands.pretrain import main as train
from bilm.conversion.convert import convert
from bilm.network.config import BiLMConfig
from bilm.storage.checkpoint import CHECKSUMS
from bilm.storage.formats import lark
from bilm.storage.formats.known import FORMATS, locate
from bilm.storage.formats.lod_tensor import read_tensor
from bilm.storage.pretrained import open_model, read_mixes
from bilm.text.vocabulary import Vocabulary
from tests.reference.lark_files import tensor_bytes
from tests.reference.models import random_model, write

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


class Trap:
    """When unpickled it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def refused(path, **options):
    """Return the one line with which a file is refused."""
    with pytest.raises(InputError) as error:
        model = open_model(path, **options)
        for array in {**model.tensors, **model.moments}.values():
            np.asarray(array)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def config_beside(tmp_path):
    (tmp_path / "config.json").write_text(random_model().config.to_json())
    return tmp_path


@pytest.mark.smoke
@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {"a": trap}, lambda trap: [trap]])
def test_a_pickle_that_runs_code_is_not_run(config_beside, wrap):
    trap = config_beside / "sprung"
    file = config_beside / "model.pdparams"
    file.write_bytes(pickle.dumps(wrap(Trap(trap))))
    assert "which is not run" in refused(file)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["numpy.core.multiarray scalar", "builtins eval", "os system",
                                  "numpy load", "numpy.core.multiarray fromstring"])
def test_a_pickle_names_arrays_only(config_beside, name):
    module, attribute = name.split()
    content = b"\x80\x04c" + f"{module}\n{attribute}\n".encode() + b"."
    (config_beside / "model.pdparams").write_bytes(content)
    assert f"it names {module}.{attribute}, which is not run" in refused(config_beside)


def test_a_pickle_with_objects_in_an_array_is_refused(config_beside):
    array = np.array([Trap(config_beside / "sprung")], dtype=object)
    (config_beside / "model.pdparams").write_bytes(pickle.dumps({"a": array}))
    refused(config_beside)
    assert not (config_beside / "sprung").exists()


def test_arrays_of_another_byte_order_are_refused(config_beside):
    arrays = {"embedding.weight": np.ones((11, 4), ">f4")}
    (config_beside / "model.pdparams").write_bytes(pickle.dumps(arrays))
    assert "byte order '>'" in refused(config_beside)


def test_a_pickle_that_wants_much_memory_gets_none(config_beside):
    content = b"\x80\x02}r\x00\x00\x00\x60."  # to remember object number 1,610,612,736
    (config_beside / "model.pdparams").write_bytes(content)
    assert "missing" in refused(config_beside)


def test_a_dataset_that_lies_about_its_size_is_refused(tmp_path):
    folder = write(tmp_path / "m", random_model(), "hdf5")
    with h5py.File(folder / "weights.hdf5", "a") as file:
        del file["embedding"]
        file.create_dataset("embedding", (1 << 42, 4), "f4", chunks=(1024, 4))
    assert "says it has" in refused(folder)


def test_groups_that_meet_again_are_refused(tmp_path):
    folder = write(tmp_path / "m", random_model(), "hdf5")
    with h5py.File(folder / "weights.hdf5", "a") as file:
        inner = file.create_group("again")
        file["once_more"] = inner
    assert "nested too deeply or in a ring" in refused(folder)


def test_deep_json_is_refused(tmp_path):
    folder = write(tmp_path / "m", random_model(), "bilm")
    (folder / "config.json").write_text("[" * 100_000)
    assert "not JSON" in refused(folder)


def test_a_pytorch_file_that_runs_code_is_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"embedding.weight": Trap(tmp_path / "sprung")}, tmp_path / "elmo.pt")
    assert "would mean running its code" in refused(tmp_path / "elmo.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert "would mean running its code" in refused(tmp_path / "old.pt")
    assert not (tmp_path / "sprung").exists()


def test_an_archive_with_objects_is_not_unpickled(tmp_path):
    array = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.savez(tmp_path / "all.npz", embedding_para=array)
    assert "not a readable .npz" in refused(tmp_path / "all.npz")
    assert not (tmp_path / "sprung").exists()


def test_variable_names_lead_nowhere_else(tmp_path):
    """A name with ../, or a link, is never a file that is read."""
    folder = write(tmp_path / "m", random_model(), "lark")
    outside = tmp_path / "embedding_para"
    outside.write_bytes(tensor_bytes(np.ones((11, 4), np.float32)))
    (folder / "softmax_weight").unlink()
    (folder / "softmax_weight").symlink_to(outside)
    assert "softmax_weight is a link" in refused(folder)
    names = {"../embedding_para": np.ones(3, np.float32)}
    np.savez(tmp_path / "x.npz", **names)
    assert "missing" in refused(tmp_path / "x.npz")


@pytest.mark.parametrize("make", [
    lambda file, other: file.__setitem__("embedding", h5py.ExternalLink(str(other), "/secret")),
    lambda file, other: file.__setitem__("embedding", h5py.SoftLink("/other")),
    lambda file, other: file.create_dataset("embedding", (4,), "f4", external=[(other, 0, 16)]),
])
def test_hdf5_that_leads_out_of_the_file_is_refused(tmp_path, make):
    folder = write(tmp_path / "m", random_model(), "hdf5")
    other = tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones((11, 4), np.float32)
    with h5py.File(folder / "weights.hdf5", "a") as file:
        del file["embedding"]
        make(file, other)
    assert "leads elsewhere" in refused(folder)


def test_a_ring_of_groups_ends(tmp_path):
    folder = write(tmp_path / "m", random_model(), "hdf5")
    with h5py.File(folder / "weights.hdf5", "a") as file:
        file["ring/inner"] = file["/"]
    assert "nested too deeply" in refused(folder)


def test_numbers_that_are_none_are_warned_of(tmp_path):
    model = random_model()
    model.tensors["softmax.bias"][2] = np.nan
    model.tensors["embedding.weight"][1, 1] = np.inf
    folder = write(tmp_path / "m", model, "lark")
    for verify in (True, False):
        done = convert(folder, tmp_path / f"out{verify}", "bilm", verify=verify)
        assert done.warnings == ["values that are not finite in embedding.weight, softmax.bias"]


@pytest.mark.parametrize("dtype", ["<f8", "<i8", "<i4"])
def test_other_types_than_weights_have_are_refused(tmp_path, dtype):
    folder = write(tmp_path / "m", random_model(), "lark")
    array = np.ones((11, 4), dtype)
    (folder / "softmax_weight").write_bytes(tensor_bytes(array))
    assert f"softmax.weight is {array.dtype}, expected float32 or float16" in refused(folder)


@pytest.mark.parametrize("name", FORMATS)
def test_files_cut_anywhere_are_refused_or_whole(tmp_path, name):
    """Whatever is cut off, the model is refused, or is the one that was written."""
    model = random_model(vocab_size=4, projection_size=1, cell_size=1, num_layers=1, moments=True)
    folder = write(tmp_path / "m", model, name)
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        whole = file.read_bytes()
        step = max(1, len(whole) // 400) if name == "hdf5" else 1
        for size in range(0, len(whole), step):
            file.write_bytes(whole[:size])
            try:
                found = open_model(folder)
                arrays = {n: np.asarray(a) for n, a in found.tensors.items()}
            except InputError as error:
                assert "\n" not in str(error)
                continue
            for key, array in arrays.items():
                np.testing.assert_allclose(array, model.tensors[key], atol=3e-7)
        file.write_bytes(whole)
    open_model(folder)


def mutate(content, changes):
    content = bytearray(content)
    for place, value in changes:
        if content:
            content[place % len(content)] = value
    return bytes(content)


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), min_size=1, max_size=8)


@pytest.mark.parametrize("name", [n for n in FORMATS if n != "hdf5"])
@FUZZ
@given(changes=CHANGES, number=st.integers(0, 1 << 30), start=st.booleans())
def test_changed_bytes_are_refused_or_read(tmp_path_factory, name, changes, number, start):
    """Any change gives one line or other values, never another exception."""
    folder = write(tmp_path_factory.mktemp("fuzz") / "m", random_model(vocab_size=4), name)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    file = files[number % len(files)]
    whole = file.read_bytes()
    if start:  # where the headers are
        changes = [(place % min(120, len(whole)), value) for place, value in changes]
    file.write_bytes(mutate(whole, changes))
    try:
        model = open_model(folder)
        for array in {**model.tensors, **model.moments}.values():
            np.asarray(array)
    except InputError as error:
        assert "\n" not in str(error)


@FUZZ
@given(content=st.binary(max_size=200))
def test_random_bytes_are_no_tensor(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "tensor"
    for head in (b"", struct.pack("<IQI", 0, 0, 0)):
        path.write_bytes(head + content)
        try:
            array = read_tensor(path)
        except InputError:
            continue
        assert array.nbytes <= len(content)


@FUZZ
@given(content=st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["variant", "mixes", "layer_norm", "weights", "gamma", "lstm", "dim",
                         "vocab_size", "char_cnn", "filters"]), inner, max_size=4),
    max_leaves=8))
def test_any_json_is_refused_in_one_line(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "mixes.json").write_text(json.dumps(content))
    with pytest.raises(InputError):
        read_mixes(folder)
    hdf5 = write(folder / "m", random_model(), "hdf5")
    (hdf5 / "options.json").write_text(json.dumps(content))
    refused(hdf5)


def test_an_archive_that_lies_about_its_arrays(tmp_path):
    folder = write(tmp_path / "m", random_model(), "lark-npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1 << 20)})
    with zipfile.ZipFile(folder / "params.npz", "w") as archive:
        archive.writestr("embedding_para.npy", header.getvalue() + bytes(16))
    assert "not a readable .npz" in refused(folder)


def test_checksums_lead_nowhere_else(tmp_path):
    folder = write(tmp_path / "m", random_model(), "bilm")
    (folder / CHECKSUMS).write_text(json.dumps({"../outside": "0" * 64}))
    assert "checksums.json: '../outside' is no file of the folder" in refused(folder)


def test_what_is_detected_needs_not_be_sound(tmp_path):
    (tmp_path / "weights.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "options.json").write_text("{}")
    assert locate(tmp_path).format == "hdf5"
    assert "not a readable HDF5 file" in refused(tmp_path)
    assert lark.find(tmp_path) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner,
                                                                max_size=3), max_leaves=5)


@FUZZ
@given(changes=st.dictionaries(
    st.sampled_from([field.name for field in fields(BiLMConfig)] + ["more"]), JSON, min_size=1))
def test_any_configuration_is_one_or_refused_in_one_line(changes):
    values = {**json.loads(random_model().config.to_json()), **changes}
    try:
        config = BiLMConfig.from_json(json.dumps(values))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert BiLMConfig.from_json(config.to_json()) == config


@FUZZ
@given(content=st.binary(max_size=60) | st.text(max_size=30).map(
    lambda text: f"<S>\n</S>\n<UNK>\n{text}".encode("utf-8", "surrogatepass")))
def test_any_vocabulary_is_one_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "vocab.txt"
    path.write_bytes(content)
    try:
        vocabulary = Vocabulary.load(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        words = vocabulary.decode(range(len(vocabulary)))
        assert len(set(words)) == len(words) >= 3


@pytest.fixture(scope="module")
def resumable(tmp_path_factory):
    """A checkpoint of a short training."""
    folder = tmp_path_factory.mktemp("run")
    words = [f"w{number}" for number in range(20)]
    (folder / "vocab.txt").write_text("\n".join(["<S>", "</S>", "<UNK>", *words]) + "\n")
    (folder / "text.txt").write_text((" ".join(words) + "\n") * 9)
    train(["--train_path", str(folder / "text.txt"), "--vocab_path", str(folder / "vocab.txt"),
           "--para_save_dir", str(folder / "run"), "--embed_size", "3", "--hidden_size", "4",
           "--batch_size", "2", "--num_steps", "3", "--max_steps", "2"])
    (folder / "run/step_00000002/checksums.json").unlink()  # whoever made it could have made them
    return folder / "run/step_00000002"


KEYS = ("step", "tokens", "stream", "shards", "scaler", "options", "epoch", "tokens_per_epoch",
        "total_steps", "interval", "random_seed")


@FUZZ
@given(place=st.sampled_from([(key,) for key in KEYS] + [
    ("stream", "shard"), ("stream", "more"), ("interval", "nats"), ("options", "batch_size"),
    ("options", "optim"), ("options", "use_gpu"), ("shards", 0)]), value=JSON)
def test_any_training_state_is_one_or_refused_in_one_line(resumable, place, value):
    path = resumable / "training/state.json"
    before = path.read_text()
    document = json.loads(before)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(document))
    try:
        check_loading(resumable)
    finally:
        path.write_text(before)


def check_loading(folder):
    """Go on from a checkpoint for no step at all: a run, or one line."""
    try:
        train(["--load_dir", str(folder), "--max_steps", "2", "--para_save_dir",
               str(folder.parent)])
    except InputError as error:
        assert "\n" not in str(error)


ARRAYS = st.tuples(st.sampled_from(["<i8", "<f4", "<f8", "|u1"]),
                   st.lists(st.integers(0, 5), min_size=0, max_size=4), st.integers(-9, 99))


@FUZZ
@given(name=st.sampled_from(["row_tokens", "row_lengths", "row_done", "hidden", "cell"]),
       made=ARRAYS | st.none())
def test_any_training_arrays_are_some_or_refused_in_one_line(resumable, name, made):
    path = resumable / "training" / (
        "lstm.safetensors" if name in ("hidden", "cell") else "rows.safetensors")
    before = path.read_bytes()
    arrays = load_file(path)
    if made is None:
        del arrays[name]
    else:
        dtype, shape, value = made
        arrays[name] = np.full(shape, value % 100, dtype)
    save_file(arrays, path)
    try:
        check_loading(resumable)
    finally:
        path.write_bytes(before)
