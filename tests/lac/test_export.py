"""Exported taggers in a process that never imports the project."""

import json
import os
import subprocess
import sys

import numpy as np
import paddle
import pytest

from bilm.errors import InputError
from lac.convert import import_lark
from lac.network.viterbi import best_paths
from lac.prediction import tensors_of
from lac.pretrained import load_analyser, load_tagger
from lac.static_model import export
from tests.reference.places import LARK_LAC
from tests.reference.random_taggers import SEGMENTED, random_bilm, random_tagger
from tests.reference.taggers import LINES, small_bilm, trained

PROGRAM = """
import glob, json, sys
import numpy as np
from paddle import inference
folder = sys.argv[1]
(model,) = [*glob.glob(folder + "/model.json"), *glob.glob(folder + "/model.pdmodel")]
config = inference.Config(model, folder + "/model.pdiparams")
config.disable_glog_info()
if model.endswith(".json"):
    config.set_optimization_level(0)  # Paddle 3: its passes break loops
predictor = inference.create_predictor(config)
arrays = dict(np.load(folder + ".npz"))
names = json.load(open(folder + "/signature.json"))["inputs"]
assert predictor.get_input_names() == names, predictor.get_input_names()
for name in names:
    predictor.get_input_handle(name).copy_from_cpu(arrays[name])
predictor.run()
tags, emissions = (predictor.get_output_handle(name).copy_to_cpu()
                   for name in predictor.get_output_names())
np.savez(folder + ".out.npz", tags=tags, emissions=emissions)
assert not [name for name in sys.modules if name.split(".")[0] in ("lac", "bilm")]
"""


def run_exported(folder, arrays, tmp_path):
    np.savez(f"{folder}.npz", **arrays)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], cwd=tmp_path,
                          env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(f"{folder}.out.npz") as arrays:
        return arrays["tags"], arrays["emissions"]


def assert_same_tags(path, tmp_path, inputs):
    """Export a tagger; compare its inputs, and its tags of sentences as the tagger cuts them."""
    analyser = load_analyser(path)
    predictor = analyser.predictor
    assert export(path, tmp_path / "exported") == inputs
    texts = [line.split("\t")[0].replace(" ", "") for line in LINES]
    sentences = analyser.cut_texts([*texts, "书桥很大很大？未知的abc１２！"]).tokens()
    ids = predictor.lookup(sentences)
    arrays = {name: array for name, array in ids._asdict().items() if array is not None}
    assert sorted(inputs) == sorted(arrays)
    paths, emissions = run_exported(tmp_path / "exported", arrays, tmp_path)
    with paddle.no_grad():
        wanted = predictor.tagger(*tensors_of(ids)).numpy()
    np.testing.assert_allclose(emissions, wanted, atol=1e-4, rtol=0)
    tags = [[predictor.tags[tag] for tag in row[:n]] for row, n in zip(paths, ids.lengths)]
    assert tags == predictor.predict(sentences)
    assert len({tag for row in tags for tag in row}) > 2


ELMO, OF_WORDS = ["words", "lengths", "elmo"], ["elmo_lengths", "elmo_places"]


@pytest.mark.smoke
@pytest.mark.parametrize("pieces, inputs", [
    ("words", [*ELMO, "characters"]), ("characters", [*ELMO, *OF_WORDS]),
    ("dictionary", [*ELMO, "characters", *OF_WORDS]),
])
def test_it_finds_the_same_tags(tmp_path, pieces, inputs):
    changes = {"dictionary": "jieba"} if pieces == "dictionary" else {}
    run = trained(tmp_path, pieces=pieces, elmo=str(small_bilm(tmp_path)),
                  char_features=pieces != "characters", **changes)
    assert_same_tags(run, tmp_path, inputs)


OWN_WORDS = {"elmo_reads": "words"}
TAGGERS = {  # pieces; of the biLM: fields, or None; of the tagger: fields; inputs
    "characters": ("characters", None, {}, ["words", "lengths"]),
    "dictionary, character features": (
        "dictionary", None, {"has_characters": True}, ["words", "lengths", "characters"]),
    "words, lark": ("words", {}, {"elmo_variant": "lark", "elmo_unknown": "unk"}, ELMO),
    "characters, lark, parts of words": ("characters", {}, {"elmo_variant": "lark"}, ELMO),
    "characters, character CNN": ("letters", {"is_of_characters": True}, {}, ELMO),
    "own words": ("characters", {"segmentation": SEGMENTED}, OWN_WORDS, [*ELMO, *OF_WORDS]),
    "own words without parts": (
        "dictionary", {}, {**OWN_WORDS, "elmo_unknown": "unk"}, [*ELMO, *OF_WORDS]),
    "own words, lark": ("characters", {}, {**OWN_WORDS, "elmo_variant": "lark"},
                        [*ELMO, *OF_WORDS]),
    "own words, character CNN": (
        "dictionary", {"is_of_characters": True}, {**OWN_WORDS, "has_characters": True},
        [*ELMO, "characters", *OF_WORDS]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TAGGERS)
def test_every_kind_of_tagger_finds_the_same_tags(tmp_path, name):
    kind, of_bilm, changes, inputs = TAGGERS[name]
    bilm = None if of_bilm is None else random_bilm(tmp_path, **of_bilm)
    assert_same_tags(random_tagger(tmp_path, kind, bilm, **changes), tmp_path, inputs)


def test_an_imported_tagger_is_exported_with_its_own_gru(tmp_path):
    import_lark(LARK_LAC / "checkpoint", tmp_path / "tagger")
    assert export(tmp_path / "tagger", tmp_path / "exported") == ["words", "lengths", "elmo"]
    with np.load(LARK_LAC / "golden.npz") as golden:
        lengths = golden["lens"].reshape(-1).astype(np.int64)
        ids, decoded = golden["ids"].reshape(-1), golden["decode"].reshape(-1)
        wanted = golden["emission"]
    rows = np.zeros((len(lengths), lengths.max()), np.int64)
    inside = np.arange(lengths.max()) < lengths[:, None]
    rows[inside] = ids
    tags, emissions = run_exported(
        tmp_path / "exported", {"words": rows, "lengths": lengths, "elmo": rows}, tmp_path
    )
    np.testing.assert_allclose(emissions[inside], wanted, atol=1e-5)
    assert tags[inside].tolist() == decoded.tolist()
    tagger, _ = load_tagger(tmp_path / "tagger")
    paths = best_paths(emissions, lengths, tagger.crf.scores())
    assert np.concatenate(paths).tolist() == decoded.tolist()


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    with pytest.raises(InputError, match="is there already"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="no tagger there"):
        export(tmp_path / "nowhere", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert json.loads(json.dumps(os.listdir(tmp_path / "out"))) == ["mine.txt"]
