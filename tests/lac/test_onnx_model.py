"""Taggers as ONNX models: Paddle's emissions and tags, in a runtime without Paddle."""

import json
import subprocess
import sys
from itertools import product

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, ELMo, InputError
from bilm.text.characters import character_ids
from lac import static_model
from lac.commands.export import main
from lac.convert import import_lark
from lac.network.config import TaggerConfig
from lac.network.model import Tagger
from lac.network.viterbi import TransitionScores, best_paths
from lac.onnx_model import export, to_onnx
from lac.pretrained import load_analyser
from tests.reference.models import CHARACTER_OPTIONS
from tests.reference.places import LARK_LAC
from tests.reference.taggers import LINES, small_bilm, trained

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

BILM = {"vocab_size": 30, "projection_size": 6, "cell_size": 10}
ELMOS = {
    "words": ({}, {"elmo_unknown": "unk"}),
    "pieces": ({"cell_clip": 0.3, "projection_clip": 0.1}, {}),
    "characters": ({"char_cnn": CHARACTER_OPTIONS}, {}),
    "tanh, no highway": ({"char_cnn": {
        **CHARACTER_OPTIONS, "activation": "tanh", "n_highway": 0, "filters": [[2, 6]]}}, {}),
    "one direction": ({"bidirectional": False, "num_layers": 1}, {"elmo_unknown": "unk"}),
    "three layers": ({"num_layers": 3}, {"elmo_unknown": "unk"}),
    "no skips": ({"num_layers": 3, "use_skip_connections": False}, {"elmo_unknown": "unk"}),
    "lark": ({"num_layers": 2}, {"elmo_unknown": "unk", "elmo_variant": "lark"}),
    "lark, pieces": ({}, {"elmo_variant": "lark"}),
    "own words": ({}, {"elmo_reads": "words", "elmo_unknown": "unk"}),
    "own words, pieces": ({"num_layers": 1}, {"elmo_reads": "words"}),
    "own words, characters": ({"char_cnn": CHARACTER_OPTIONS}, {"elmo_reads": "words"}),
    "own words, lark": ({}, {"elmo_reads": "words", "elmo_variant": "lark"}),
}


def tagger_of(bilm=None, **changes):
    paddle.seed(3)
    model = None if bilm is None else BiLM(BiLMConfig(**BILM, **bilm), has_softmax=False)
    changes = {"elmo_variant": None if bilm is None else "elmo", **changes}
    tagger = Tagger(TaggerConfig(num_words=20, num_tags=7, scheme="suffix", word_embedding_size=5,
                                 gru_size=4, character_size=3, **changes), model)
    random = np.random.default_rng(1)
    for name, tensor in tagger.state_dict().items():
        scale = 0.7 if "weight" in name and not name.startswith("elmo") else 0.2
        tensor.set_value(tensor + scale * random.normal(size=tensor.shape).astype("float32"))
    tagger.eval()
    return tagger


def batch_of(tagger, lengths, steps, seed=0):
    """Return ids by the names of inputs; also beyond a row's length ids are not all the same."""
    random, rows = np.random.default_rng(seed), len(lengths)
    arrays = {"words": random.integers(0, 20, (rows, steps)),
              "lengths": np.array(lengths, np.int64)}
    of_words = {}
    if tagger.place_embedding is not None:
        of_words = own_words_of(lengths, steps, random)
    if tagger.elmo is not None:
        arrays["elmo"] = elmo_ids_of(
            tagger, of_words.get("elmo_lengths", lengths), steps + bool(of_words), random)
    if tagger.character_features is not None:
        arrays["characters"] = random.integers(1, tagger.config.num_characters, (rows, steps, 4))
        kept = random.integers(0, 5, (rows, steps, 1))  # a word may have no characters
        arrays["characters"][np.arange(4) >= kept] = 0
    return {**arrays, **of_words}


def elmo_ids_of(tagger, lengths, steps, random):
    ids = random.integers(0, BILM["vocab_size"], (len(lengths), steps))
    if tagger.elmo.bilm.config.char_cnn:
        words = random.choice(["我们", "去", "abc", "a" * 60], ids.shape)
        ids = np.stack([character_ids(row) for row in words])
        ids[0, 0, 3:] = 0  # the mask, whose vector is zero
    elif tagger.config.elmo_unknown == "characters":
        more = random.integers(-1, BILM["vocab_size"], (*ids.shape, 2))
        more[more[..., 0] < 0] = -1  # pieces come first
        ids = np.concatenate([ids[..., None], more], axis=-1)
        ids[np.arange(steps) >= np.array(lengths)[:, None]] = -1
    return ids


def own_words_of(lengths, steps, random):
    """Return lengths and places of words that hold one to three pieces."""
    places, counts = np.zeros((len(lengths), steps, 2), np.int64), []
    for row, length in zip(places, lengths):
        row[:length, 0] = np.repeat(np.arange(length), random.integers(1, 4, length))[:length]
        row[:length, 1] = random.integers(0, 4, length)
        counts.append(row[:length, 0].max() + 1)
    return {"elmo_lengths": np.array(counts, np.int64), "elmo_places": places}


def assert_as_paddle(tagger):
    """Compare a model's emissions and tags in batches of several sizes, and row by row."""
    scores = tagger.crf.scores()
    model = to_onnx(tagger, scores)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    different = set()
    for lengths, steps in (([1], 1), ([6, 1, 3, 6, 4], 6), ([2, 9], 12)):
        arrays = batch_of(tagger, lengths, steps, seed=steps)
        assert [port.name for port in session.get_inputs()] == [*arrays]
        with paddle.no_grad():
            tensors = {name: paddle.to_tensor(array) for name, array in arrays.items()}
            wanted = tagger(**tensors).numpy()
        tags, emissions = session.run(["tags", "emissions"], arrays)
        different.update(tags.flat)
        np.testing.assert_allclose(emissions, wanted, atol=1e-5, rtol=0)
        assert tags.dtype == np.int64 and tags.shape == wanted.shape[:2]
        for row, path in enumerate(best_paths(wanted, arrays["lengths"], scores)):
            assert tags[row].tolist() == [*path, *[0] * (steps - len(path))]
            alone = {name: array[row : row + 1] for name, array in arrays.items()}
            assert session.run(["tags"], alone)[0].tolist() == [tags[row].tolist()]
    assert len(different) > 2  # more than two tags that alternate


@pytest.mark.parametrize("reset_before, num_layers, num_characters", [
    *product((False, True), (1, 2, 3), (0,)), (False, 1, 9), (True, 2, 9),
])
def test_it_computes_what_paddle_does(reset_before, num_layers, num_characters):
    assert_as_paddle(tagger_of(
        reset_before=reset_before, num_layers=num_layers, num_characters=num_characters))


@pytest.mark.parametrize("kind", ELMOS)
def test_with_elmo_it_computes_what_paddle_does(kind):
    bilm, changes = ELMOS[kind]
    tagger = tagger_of(bilm, num_layers=1, num_characters=9 * ("pieces" in kind), **changes)
    assert_as_paddle(tagger)


def test_ties_go_to_the_lowest_id():
    tagger = tagger_of()
    tagger.emissions.weight.set_value(tagger.emissions.weight * 0)
    tagger.emissions.bias.set_value(np.array([0, 1, 1, 0, 1, 0, 0], np.float32))
    scores = TransitionScores(*(np.zeros(shape, np.float32) for shape in (7, 7, (7, 7))))
    session = onnxruntime.InferenceSession(to_onnx(tagger, scores),
                                           providers=["CPUExecutionProvider"])
    tags, = session.run(["tags"], batch_of(tagger, [3, 2], 3))
    assert tags.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_larks_tagger_gives_larks_emissions_and_tags(tmp_path):
    import_lark(LARK_LAC / "checkpoint", tmp_path / "tagger")
    assert export(tmp_path / "tagger", tmp_path / "exported") == ["words", "lengths", "elmo"]
    with np.load(LARK_LAC / "golden.npz") as golden:
        lengths = golden["lens"].reshape(-1).astype(np.int64)
        ids, decoded = golden["ids"].reshape(-1), golden["decode"].reshape(-1)
        wanted = golden["emission"]
    inside = np.arange(lengths.max()) < lengths[:, None]
    rows = np.zeros(inside.shape, np.int64)
    rows[inside] = ids
    session = onnxruntime.InferenceSession(str(tmp_path / "exported/model.onnx"))
    tags, emissions = session.run(None, {"words": rows, "lengths": lengths, "elmo": rows})
    np.testing.assert_allclose(emissions[inside], wanted, atol=1e-5)
    assert tags[inside].tolist() == decoded.tolist()


RUN_ALONE = """
import json, sys
import numpy as np, onnxruntime
folder = sys.argv[1]
session = onnxruntime.InferenceSession(folder + "/model.onnx")
tags, _ = session.run(None, dict(np.load(folder + ".npz")))
assert not {"paddle", "torch", "lac", "bilm"} & sys.modules.keys()
print(json.dumps(tags.tolist()))
"""


def test_the_folder_is_that_of_paddles_format_and_runs_without_paddle(tmp_path, capsys):
    (tmp_path / "counts.txt").write_text("小林 3\n青石镇 2\n昨天 4\n", encoding="utf-8")
    run = trained(tmp_path, max_epochs=3, elmo=str(small_bilm(tmp_path)), char_features=True,
                  pieces="dictionary", dictionary=str(tmp_path / "counts.txt"))
    capsys.readouterr()
    main([str(tmp_path / "exported"), "--model", str(run), "--format", "onnx"])
    assert capsys.readouterr().out == (
        f"{tmp_path / 'exported'}: model.onnx, inputs words, lengths, elmo, characters, "
        "elmo_lengths, elmo_places; outputs tags, emissions\n")
    static_model.export(run, tmp_path / "paddle")
    ours, others = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()
         if not path.name.startswith("model.")}
        for name in ("exported", "paddle")
    )
    assert ours == others
    assert sorted(ours) == [
        "characters.txt", "config.json", "dictionary.txt", "elmo_segmentation.json",
        "elmo_vocab.txt", "pieces.json",
        "signature.json", "tags.txt", "width.tsv", "words.txt"]
    shapes = json.loads(ours["signature.json"])["shapes"]
    assert (shapes["elmo"], shapes["elmo_places"]) == ([-1, -1, -1], [-1, -1, 2])
    model = onnx.load(str(tmp_path / "exported/model.onnx"))
    # what onnxruntime 1.20 reads: at most 21 and 10
    assert [entry.version for entry in model.opset_import] == [17] and model.ir_version == 8
    predictor = load_analyser(run).predictor
    sentences = [list(line.split("\t")[0].replace(" ", "")) for line in LINES]
    sentences.append(list("书桥未知"))
    ids = predictor.lookup(sentences)
    np.savez(tmp_path / "exported.npz", **ids._asdict())
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALONE, str(tmp_path / "exported")], cwd=tmp_path, text=True,
        capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    tags = json.loads(done.stdout)
    assert predictor.predict(sentences) == [
        [predictor.tags[tag] for tag in row[:length]] for row, length in zip(tags, ids.lengths)]


def test_without_onnx_the_extra_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    import_lark(LARK_LAC / "checkpoint", tmp_path / "tagger")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"extra \[onnx\]: pip install onnx$"):
        export(tmp_path / "tagger", tmp_path / "exported")
    assert [path.name for path in tmp_path.iterdir()] == ["tagger"]


def test_a_model_that_no_file_can_hold_is_told(monkeypatch):
    monkeypatch.setattr("bilm.onnx.graph._LARGEST_MODEL", 100)
    tagger = tagger_of()
    with pytest.raises(InputError, match=r"has \d+ bytes, but an ONNX file takes 100 at most"):
        to_onnx(tagger, tagger.crf.scores())


def test_an_elmo_that_no_tagger_has_is_told():
    tagger = tagger_of({})
    tagger.elmo = ELMo(tagger.elmo.bilm, layer_norm=True)
    with pytest.raises(InputError, match="one mix and without layer_norm"):
        to_onnx(tagger, tagger.crf.scores())
