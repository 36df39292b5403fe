"""Exported taggers in a process that never imports the project."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bilm.errors import InputError
from lac.convert import import_lark
from lac.network.viterbi import best_paths
from lac.pretrained import load_analyser, load_tagger
from lac.static_model import export
from tests.reference.places import LARK_LAC
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
    with np.load(f"{folder}.out.npz") as found:
        return found["tags"], found["emissions"]


@pytest.mark.smoke
@pytest.mark.parametrize("changes", [
    {}, {"elmo": "bilm", "char_features": True}, {"elmo": "bilm", "variant": "lark"},
], ids=str)
def test_it_finds_the_same_tags(tmp_path, changes):
    if "elmo" in changes:
        changes = {**changes, "elmo": str(small_bilm(tmp_path))}
    run = trained(tmp_path, max_epochs=3, **changes)
    predictor = load_analyser(run).predictor
    inputs = export(run, tmp_path / "exported")
    sentences = [line.split("\t")[0].split(" ") for line in LINES]
    sentences.append(["书桥", "很", "大很大", "？", "未知"])  # unknown words
    ids = predictor.lookup(sentences)
    arrays = {name: array for name, array in ids._asdict().items() if array is not None}
    assert set(inputs) == set(arrays)
    tags, _ = run_exported(tmp_path / "exported", arrays, tmp_path)
    found = [[predictor.tags[tag] for tag in row[:n]] for row, n in zip(tags, ids.lengths)]
    assert found == predictor.predict(sentences)
    assert {"tags.txt", "words.txt", "width.tsv"} <= {
        path.name for path in (tmp_path / "exported").iterdir()
    }


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
