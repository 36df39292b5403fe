"""Formats: tables are bijections, every tensor is consumed, round trips lose no bit."""

import json
from itertools import product

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from bilm import BiLM, BiLMConfig, InputError
from bilm.storage.formats import bilm_tf, lark, torch_state
from bilm.storage.formats.known import FORMATS, cannot_hold, locate
from bilm.storage.formats.tables import from_format, reorder_gates, to_format
from bilm.storage.pretrained import open_model
from bilm.storage.safetensors_file import new_safetensors, read_safetensors
from bilm.storage.stored_model import parameter_shapes
from tests.reference.models import CHARACTER_OPTIONS, random_model, write

LARKS = [name for name in FORMATS if name.startswith("lark")]
CONFIGS = [
    BiLMConfig(vocab_size=11, projection_size=4, cell_size=6, num_layers=layers, **options)
    for layers, options in product((1, 2, 3), (
        {}, {"bidirectional": False}, {"share_softmax": False}, {"char_cnn": CHARACTER_OPTIONS}))
]


@pytest.mark.smoke
def test_blocks_land_where_the_target_order_says():
    packed = np.repeat(np.arange(4.0), 2)[None]  # blocks 0 1 2 3 mean c i f o
    assert reorder_gates(packed, "cifo", "ifco").tolist() == [[1, 1, 2, 2, 0, 0, 3, 3]]
    back = reorder_gates(reorder_gates(packed, "cifo", "ofic"), "ofic", "cifo")
    np.testing.assert_array_equal(back, packed)


@pytest.mark.parametrize("arguments", [
    (np.zeros((1, 8)), "cifa", "cifo"), (np.zeros((1, 8)), "cifo", "cif"),
    (np.zeros((1, 6)), "cifo", "ifco"),
])
def test_what_is_no_order_is_told(arguments):
    with pytest.raises(ValueError, match="gate order|four blocks"):
        reorder_gates(*arguments)


def held(name, config):
    """Return the names that a format's table and the model have in common."""
    shapes = parameter_shapes(config)
    table = FORMATS[name].table(config)
    return {ours: shapes[ours] for entry in table for ours in entry.ours if ours in shapes}


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_tables_are_bijections_and_consume_every_tensor(name, config):
    table = FORMATS[name].table(config)
    ours = [n for entry in table for n in entry.ours]
    theirs = [n for entry in table for n in entry.theirs]
    assert len(ours) == len(set(ours))
    assert len(theirs) == len(set(theirs))
    random = np.random.default_rng(0)
    tensors = {n: random.normal(size=shape).astype(np.float32)
               for n, shape in held(name, config).items()}
    if config.char_cnn and "character_encoder.embedding.weight" in tensors:
        tensors["character_encoder.embedding.weight"][0] = 0
    written = dict(to_format(table, tensors))
    read = from_format(table, written, "here")
    assert read.keys() == tensors.keys()
    for n, array in tensors.items():
        assert read[n].shape == array.shape
        exact = name != "hdf5" or not n.endswith(".bias")
        np.testing.assert_allclose(np.asarray(read[n]), array, rtol=0, atol=0 if exact else 3e-7)
    words = not config.char_cnn or not name.startswith("lark")
    expected = set(parameter_shapes(config))
    if name.startswith("lark") or name == "hdf5":
        expected -= {"backward_softmax.weight", "backward_softmax.bias"}
    assert not words or read.keys() == expected


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_parameter_shapes_are_those_of_the_model(config):
    for softmax in (True, False):
        shapes = {name: tuple(tensor.shape)
                  for name, tensor in BiLM(config, has_softmax=softmax).state_dict().items()}
        assert parameter_shapes(config, softmax) == shapes


def assert_equal(first, second, biases_exact=True, moments=True):
    for ours, theirs in ((first.tensors, second.tensors), (first.moments, second.moments)):
        if ours is first.moments and not moments:
            continue
        assert ours.keys() == theirs.keys()
        for name in ours:
            a, b = np.asarray(ours[name]), np.asarray(theirs[name])
            if biases_exact or not name.endswith(".bias"):
                np.testing.assert_array_equal(a, b, err_msg=name)
            else:
                limit = np.spacing(np.maximum(np.abs(a), np.abs(a - np.float32(1))))
                assert (np.abs(a - b) <= limit).all()


SIZES = st.fixed_dictionaries({
    "vocab_size": st.integers(4, 9), "projection_size": st.integers(1, 5),
    "cell_size": st.integers(1, 6), "num_layers": st.integers(1, 3),
    "bidirectional": st.booleans(), "use_skip_connections": st.booleans(),
    "share_softmax": st.booleans(), "cell_clip": st.sampled_from([0.0, 3.0, 1.5]),
})
PATHS = [
    ("lark", "bilm", "lark"), ("lark", "torch", "lark"), ("hdf5", "bilm", "hdf5"),
    ("torch", "bilm", "torch"), ("lark", "hdf5", "lark"), ("bilm", "lark-combined", "bilm"),
    ("bilm", "lark-npz", "bilm"), ("bilm", "torch-lstm", "bilm"), ("bilm", "pdparams", "bilm"),
]


@pytest.mark.parametrize("path", PATHS, ids="-".join)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes=SIZES, softmax=st.booleans(), moments=st.booleans(), seed=st.integers(0, 99))
def test_round_trips_lose_no_bit(path, sizes, softmax, moments, seed, tmp_path_factory):
    """And HDF5 loses at most what taking 1.0 off the forget bias rounds away, the first time."""
    folder = tmp_path_factory.mktemp("round")
    if not sizes["bidirectional"] or any(name.startswith("lark") or name == "hdf5"
                                         for name in path):
        sizes = {**sizes, "share_softmax": True}
    model = random_model(seed, softmax, moments, **sizes)
    holds_moments = all(FORMATS[name].has_moments for name in path)
    first = open_model(write(folder / "0", model, path[0]))
    last = first
    for number, name in enumerate(path[1:], start=1):
        kept = last if FORMATS[name].has_moments else last._replace(moments={})
        last = open_model(write(folder / str(number), kept, name))
    assert_equal(first, last, biases_exact="hdf5" not in path[1:-1], moments=holds_moments)
    if "hdf5" not in path:
        assert last.config == first.config
    fields = ("projection_size", "cell_size", "num_layers", "bidirectional", "cell_clip",
              "use_skip_connections", "vocab_size")
    for name in fields if softmax or "hdf5" not in path else fields[:-1]:
        assert getattr(last.config, name) == getattr(model.config, name), name


def test_the_forget_bias_is_exact_between_a_half_and_two():
    biases = np.concatenate([np.linspace(0.5, 2, 4001), [1.0]]).astype(np.float32)
    assert (((biases - np.float32(1)) + np.float32(1)) == biases).all()
    model = random_model()
    size = model.config.cell_size
    for name, array in model.tensors.items():
        if name.endswith(".bias") and "layers" in name:
            array[2 * size : 3 * size] = np.random.default_rng(0).uniform(0.5, 2, size)
    table = bilm_tf.table(model.config)
    back = from_format(table, dict(to_format(table, model.tensors)), "here")
    for name, array in model.tensors.items():
        np.testing.assert_array_equal(np.asarray(back[name]), array)


@pytest.mark.smoke
def test_allennlp_reads_the_hdf5_as_we_mean_it(tmp_path):
    """The steps of AllenNLP's reader, written out: what its ElmoLstm would hold."""
    model = random_model(softmax=False)
    folder = write(tmp_path / "m", model, "hdf5")
    torch_names = dict(to_format(torch_state.table(model.config), model.tensors))
    size, cell = model.config.projection_size, model.config.cell_size
    with open(folder / "options.json", encoding="utf-8") as file:
        options = json.load(file)
    assert options["lstm"] == {
        "dim": cell, "projection_dim": size, "n_layers": 2, "cell_clip": 3.0, "proj_clip": 3.0,
        "use_skip_connections": True,
    }
    with h5py.File(folder / "weights.hdf5") as file:
        assert file["embedding"].shape == (model.config.vocab_size, size)
        for layer, (number, direction) in product(range(2), enumerate(("forward", "backward"))):
            cell_group = file[f"RNN_{number}"]["RNN"]["MultiRNNCell"][f"Cell{layer}"]["LSTMCell"]
            assert sorted(cell_group) == ["B", "W_0", "W_P_0"]
            rows = cell_group["W_0"][...].T  # (4 * cell, input + state)
            bias = cell_group["B"][...]
            bias[2 * cell : 3 * cell] += 1  # the forget bias that TensorFlow adds
            order = [0, 2, 1, 3]  # i, c, f, o to i, f, c, o
            rows = np.concatenate([np.split(rows, 4)[k] for k in order])
            bias = np.concatenate([np.split(bias, 4)[k] for k in order])
            stem = f"{direction}_layer_{layer}"
            for name, found in (
                ("input_linearity.weight", rows[:, :size]),
                ("state_linearity.weight", rows[:, size:]),
                ("state_linearity.bias", bias),
                ("state_projection.weight", cell_group["W_P_0"][...].T),
            ):
                np.testing.assert_allclose(found, torch_names[f"{stem}.{name}"], atol=3e-7)
        datasets = []
        file.visit(datasets.append)
        assert sum(isinstance(file[name], h5py.Dataset) for name in datasets) == 4 * 3 + 1


def test_state_dicts_have_exactly_allennlps_names(tmp_path):
    write(tmp_path / "m", random_model(moments=True), "torch")
    parts = ("input_linearity.weight", "state_linearity.weight", "state_linearity.bias",
             "state_projection.weight")
    expected = {f"{direction}_layer_{layer}.{part}" for direction, layer, part
                in product(("forward", "backward"), (0, 1), parts)}
    expected |= {"embedding.weight", "softmax.weight", "softmax.bias"}
    assert set(load_file(tmp_path / "m/model.safetensors")) == expected
    assert set(load_file(tmp_path / "m/moments.safetensors")) == expected


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # of PyTorch, about its speed
def test_torch_reads_the_lstm_as_we_mean_it(tmp_path):
    """Without clips and with one layer, torch.nn.LSTM computes what the biLM does."""
    torch = pytest.importorskip("torch")
    from bilm.conversion.numpy_model import run_layers

    model = random_model(num_layers=1, cell_clip=0.0, projection_clip=0.0)
    write(tmp_path / "m", model, "torch-lstm")
    found = load_file(tmp_path / "m/model.safetensors")
    ids = np.random.default_rng(0).integers(0, 11, (2, 5))
    expected = run_layers(model.config, model.tensors, ids)
    for direction, half in (("forward", slice(0, 4)), ("backward", slice(4, 8))):
        lstm = torch.nn.LSTM(4, 6, proj_size=4, batch_first=True)
        lstm.load_state_dict({name.split(".")[-1]: torch.from_numpy(array)
                              for name, array in found.items() if name.startswith(direction)})
        order = 1 if direction == "forward" else -1
        rows = found["embedding.weight"][ids[:, ::order]]
        with torch.no_grad():
            outputs = lstm(torch.from_numpy(rows))[0].numpy()[:, ::order]
        np.testing.assert_allclose(outputs, expected[1, ..., half], atol=1e-5)


@pytest.mark.smoke
@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_detected(tmp_path, name):
    folder = write(tmp_path / "m", random_model(vocabulary=True), name)
    assert locate(folder).format == name
    model = open_model(folder)
    assert model.vocabulary.words[3] == "词0"
    files = {"lark-combined": "params", "lark-npz": "params.npz", "hdf5": "weights.hdf5",
             "pdparams": "model.pdparams", "torch": "model.safetensors"}
    if name in files:
        assert locate(folder / files[name]).format == name
        again = open_model(folder / files[name])
        assert_equal(model, again)


def test_character_models_go_through_bilm_tf_and_pytorch(tmp_path):
    model = random_model(char_cnn=CHARACTER_OPTIONS, projection_size=6)
    for name in ("bilm", "hdf5", "torch", "pdparams", "torch-lstm"):
        found = open_model(write(tmp_path / name, model, name))
        assert_equal(model, found, biases_exact=name != "hdf5")
        assert found.config.char_cnn["filters"] == CHARACTER_OPTIONS["filters"]
    for name in LARKS:
        with pytest.raises(InputError, match=f"{name} holds models that read words"):
            cannot_hold(name, model)
    with h5py.File(tmp_path / "hdf5/weights.hdf5") as file:
        assert file["char_embed"].shape == (261, 4)
        assert file["CNN/W_cnn_2"].shape == (1, 5, 4, 6)


def test_what_a_format_cannot_hold_is_said():
    model = random_model(moments=True, share_softmax=False, cell_clip=2.0,
                         use_skip_connections=False)
    softmax = "backward_softmax.bias, backward_softmax.weight"
    assert cannot_hold("bilm", model) == cannot_hold("torch", model) == []
    assert cannot_hold("hdf5", model) == [softmax, "the optimiser's moments"]
    assert cannot_hold("lark", model)[0] == softmax
    assert "clips other than 3" in cannot_hold("lark", model)[1]
    assert "the lack of skip connections" in cannot_hold("lark", model)[2]
    found = cannot_hold("torch-lstm", random_model())
    assert [phrase.split(",")[0] for phrase in found] == ["clips", "skip connections"]
    assert cannot_hold("pdparams", model) == ["the optimiser's moments"]


def test_a_mix_and_words_travel_with_the_model(tmp_path):
    from bilm.network.mixes import Mixes

    weights, gamma = np.array([0.1, 2, -1], np.float32), np.array([1.3], np.float32)
    model = random_model(vocabulary=True)._replace(
        mixes=Mixes("lark", False, [(weights, gamma)]), segmentation={"segmenter": "jieba"})
    for name in FORMATS:
        found = open_model(write(tmp_path / name, model, name))
        assert found.segmentation == {"segmenter": "jieba"}
        assert found.mixes.variant == "lark"
        np.testing.assert_array_equal(found.mixes.parameters[0][0], weights)
        if name == "lark":
            variables = lark.read_variables(lark.find(tmp_path / name))
            np.testing.assert_array_equal(variables["ELMo_w"], weights)


def test_a_pytorch_file_is_read_without_running_code(tmp_path):
    torch = pytest.importorskip("torch")
    model = random_model()
    arrays = dict(to_format(torch_state.table(model.config), model.tensors))
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()},
               tmp_path / "elmo.pt")
    found = open_model(tmp_path / "elmo.pt", cell_clip=2.0)
    assert_equal(model, found)
    assert found.config.cell_clip == 2.0


@pytest.mark.smoke
def test_half_precision_is_stored_and_computed_in_float32(tmp_path):
    model = random_model()
    halves = {name: array.astype(np.float16) for name, array in model.tensors.items()}
    for name in ("bilm", "lark", "torch", "hdf5", "lark-combined"):
        folder = write(tmp_path / name, model._replace(tensors=halves), name)
        loaded = BiLM.from_pretrained(folder)
        for key, tensor in loaded.state_dict().items():
            limit = 2e-3 if name == "hdf5" and key.endswith(".bias") else 0
            np.testing.assert_allclose(tensor.numpy(), halves[key], atol=limit, rtol=0)


def test_our_writer_makes_what_the_library_reads(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "中": np.ones(0, np.float16),
              "c.d": np.array(3, np.float32)}
    with new_safetensors(tmp_path / "x.safetensors", arrays) as write_tensor:
        for name, array in arrays.items():
            write_tensor(name, array)
    found = load_file(tmp_path / "x.safetensors")
    save_file(arrays, tmp_path / "y.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        for file in ("x", "y"):
            lazy = read_safetensors(tmp_path / f"{file}.safetensors")[name]
            assert (lazy.shape, lazy.dtype) == (array.shape, array.dtype)
            np.testing.assert_array_equal(np.asarray(lazy), array)


def test_both_biases_of_torchs_lstm_count(tmp_path):
    model = random_model()
    folder = write(tmp_path / "m", model, "torch-lstm")
    found = load_file(folder / "model.safetensors")
    for name in list(found):
        if name.endswith("bias_hh_l0"):
            found[name] = found[name] + np.arange(24, dtype=np.float32)
    save_file(found, folder / "model.safetensors")
    shifted = np.asarray(open_model(folder).tensors["forward_layers.0.bias"])
    shift = reorder_gates(np.arange(24, dtype=np.float32), "ifco", "cifo")
    np.testing.assert_allclose(shifted, model.tensors["forward_layers.0.bias"] + shift, atol=1e-6)
    found["forward.0.bias_hh_l0"] = np.zeros(1, np.float32)
    save_file(found, folder / "model.safetensors")
    with pytest.raises(InputError, match="biases of"):
        np.asarray(open_model(folder).tensors["forward_layers.0.bias"])


def test_only_forget_biases_may_be_off():
    from bilm.conversion.verify import unequal_tensors

    first = random_model()
    for name, place, allowed in (("forward_layers.0.bias", 12, True), ("softmax.bias", 2, False),
                                 ("forward_layers.0.bias", 0, False)):
        array = first.tensors[name].copy()
        array[place] = np.nextafter(array[place], np.float32(9))
        second = first._replace(tensors={**first.tensors, name: array})
        assert unequal_tensors(first, second)
        assert (unequal_tensors(first, second, tolerant=True) == []) == allowed


def test_paddles_other_name_of_a_combined_file(tmp_path):
    folder = write(tmp_path / "m", random_model(), "lark-combined")
    (folder / "params").rename(folder / "__params__")
    assert locate(folder).format == "lark-combined"
    assert_equal(random_model(), open_model(folder))
