"""The PyTorch twin: the same values and gradients as Paddle's model, and as ONNX."""

import subprocess
import sys

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, ELMo, InputError
from bilm.storage.formats.torch_state import table
from bilm.storage.stored_model import StoredModel
from bilm.storage.tensors import weights_of
from bilm.text.characters import character_ids
from tests.reference import lark
from tests.reference.models import CHARACTER_OPTIONS

torch = pytest.importorskip("torch")

from bilm.torch import TorchBiLM, TorchELMo, TorchState  # noqa: E402

SIZES = {"vocab_size": 30, "projection_size": 6, "cell_size": 10}
CONFIGS = {
    "plain": {},
    "clips": {"cell_clip": 0.3, "projection_clip": 0.1},
    "three layers": {"num_layers": 3, "use_skip_connections": False},
    "one direction": {"bidirectional": False},
    "two softmaxes": {"share_softmax": False},
    "characters": {"char_cnn": CHARACTER_OPTIONS},
    "tanh": {"char_cnn": {**CHARACTER_OPTIONS, "activation": "tanh", "filters": [[2, 6]]}},
}


def twins(settings, has_softmax=True):
    paddle.seed(5)
    ours = BiLM(BiLMConfig(**SIZES, **settings), has_softmax=has_softmax)
    for tensor in ours.state_dict().values():
        tensor.set_value(tensor * 1.5 + 0.02)
    ours.eval()
    return ours, TorchBiLM.from_stored(StoredModel(ours.config, weights_of(ours)))


def batch(config, rows=4, steps=6):
    random = np.random.default_rng(1)
    lengths = np.array([steps, 1, 3, steps][:rows])
    if config.char_cnn is None:
        return random.integers(0, config.vocab_size, (rows, steps)), lengths
    words = [["我们", "去", "a" * 70, "看", "花", "。"][:steps] for _ in range(rows)]
    return np.stack([character_ids(row) for row in words]), lengths


def largest(a, b):
    return np.max(np.abs(a - b) / np.maximum(1, np.abs(b)))


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_layers_and_states_are_paddles(settings):
    ours, theirs = twins(settings)
    ids, lengths = batch(ours.config)
    random = np.random.default_rng(2)
    state = [random.normal(size=part.shape).astype(np.float32) for part in ours.initial_state(4)]
    before = type(ours.initial_state(4))(*map(paddle.to_tensor, state))
    expected, after = ours(paddle.to_tensor(ids), paddle.to_tensor(lengths), before)
    with torch.no_grad():
        found, found_after = theirs(torch.from_numpy(ids), torch.from_numpy(lengths),
                                    TorchState(*map(torch.from_numpy, state)))
    inside = np.arange(ids.shape[1]) < lengths[:, None]
    assert largest(found.numpy()[:, inside], expected.numpy()[:, inside]) < 1e-5
    for part, wanted in zip(found_after, after):
        assert largest(part.numpy(), wanted.numpy()) < 1e-5
    full, _ = theirs(torch.from_numpy(ids))
    assert largest(full.detach().numpy(), ours(paddle.to_tensor(ids))[0].numpy()) < 1e-5


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_gradients_are_paddles(settings):
    ours, theirs = twins(settings, has_softmax=False)
    ids, _ = batch(ours.config)
    weight = np.random.default_rng(3).normal(size=(
        ours.config.num_layers + 1, *ids.shape[:2], 6 * ours.config.num_directions)
    ).astype(np.float32)
    (ours(paddle.to_tensor(ids))[0] * paddle.to_tensor(weight)).sum().backward()
    (theirs(torch.from_numpy(ids))[0] * torch.from_numpy(weight)).sum().backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in theirs.named_parameters()}
    parameters = ours.state_dict()
    for entry in table(ours.config):
        if entry.ours[0] in parameters:
            (name,), (found,) = entry.ours, entry.transform.back([gradients[entry.theirs[0]]])
            assert largest(found, parameters[name].grad.numpy()) < 1e-4, name


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("kind", ["plain", "characters", "one direction"])
def test_elmo_is_paddles(kind, layer_norm, tmp_path):
    ours, theirs = twins(CONFIGS[kind])
    ids, lengths = batch(ours.config)
    lengths[1] = 0
    first = ELMo(ours, num_mixes=2, layer_norm=layer_norm)
    first.eval()
    for number, mix in enumerate(first.mixes):
        mix.weights.set_value(np.array([0.5, -1 + number, 0.2], np.float32))
        mix.gamma.set_value(np.array([1.5], np.float32))
    first.save_mixes(tmp_path)
    second = TorchELMo(theirs, num_mixes=2, layer_norm=layer_norm).eval()
    second.load_mixes(tmp_path)
    for given in (lengths, None):
        wanted = first(paddle.to_tensor(ids), None if given is None else paddle.to_tensor(given))
        with torch.no_grad():
            found = second(torch.from_numpy(ids),
                           None if given is None else torch.from_numpy(given))
        for a, b in zip(found, wanted):
            assert largest(a.numpy(), b.numpy()) < 1e-5
    assert not any(p.requires_grad for p in theirs.parameters())
    with pytest.raises(ValueError, match="mixes of variant elmo"):
        TorchELMo(theirs).load_mixes(tmp_path)


def test_larks_checkpoint_gives_larks_states():
    golden = lark.golden()
    bilm = TorchBiLM.from_pretrained(lark.FOLDER / "checkpoint_init")
    rows, steps = golden["train/ids"].shape[2:]
    ids = golden["step0_eval/x"].reshape(rows, steps)
    with torch.no_grad():
        layers, _ = bilm(torch.from_numpy(ids))
    for layer, name in enumerate(("x_emb", "rnn_out", "rnn_out2")):
        expected = golden[f"step0_eval/{name}"].reshape(rows, steps, -1)
        np.testing.assert_allclose(layers[layer, ..., :8].numpy(), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "clips", "characters", "one direction"])
def test_an_onnx_file_takes_any_length(kind, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    import warnings

    from bilm.torch import export_onnx

    _, theirs = twins(CONFIGS[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's exporter, about itself
        export_onnx(theirs, tmp_path / "bilm.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["bilm.onnx"]
    session = onnxruntime.InferenceSession(str(tmp_path / "bilm.onnx"))
    random = np.random.default_rng(0)
    for rows, steps in ((1, 1), (3, 7), (2, 50)):
        if theirs.config.char_cnn is None:
            ids = random.integers(0, 30, (rows, steps))
        else:
            words = random.choice(["我们", "去", "abc"], (rows, steps))
            ids = np.stack([character_ids(row) for row in words])
        lengths = random.integers(1, steps + 1, rows)
        (found,) = session.run(None, {"token_ids": ids, "lengths": lengths})
        with torch.no_grad():
            expected = theirs(torch.from_numpy(ids), torch.from_numpy(lengths))[0].numpy()
        inside = np.arange(steps) < lengths[:, None]
        assert largest(found[:, inside], expected[:, inside]) < 1e-5


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(InputError, match="no biLM there"):
        TorchBiLM.from_pretrained(tmp_path)


def test_public_names_are_resolved_when_they_are_used():
    program = (
        "import sys, bilm.torch\n"
        "assert 'torch' not in sys.modules\n"
        "for name in bilm.torch.__all__:\n"
        "    assert getattr(bilm.torch, name).__name__ == name and name in dir(bilm.torch)\n"
        "assert not any(name.startswith('paddle') for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
