"""The programs in examples/ run, and their figures are plausible."""

import json
import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from bilm import BiLM, ELMo
from bilm.text.vocabulary import SPECIAL_TOKENS
from tests.reference.places import ROOT

EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}


def run(folder, program, *arguments):
    done = subprocess.run(
        [sys.executable, *map(str, (program, *arguments))], cwd=folder, text=True,
        env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def figures_of(folder, name, *arguments):
    run(folder, EXAMPLES / name, *arguments, "--json", "figures.json")
    return json.loads((folder / "figures.json").read_text(encoding="utf-8"))


def columns(name):
    lines = (ROOT / "data" / name).read_text(encoding="utf-8").splitlines()
    return [*zip(*(line.split("\t") for line in lines))]


def test_examples_are_short():
    paths = [*EXAMPLES.glob("*.py")]
    wrong = [path.name for path in paths if len(path.read_text("utf-8").splitlines()) >= 120]
    assert paths and not wrong, "\n".join(wrong)


@pytest.fixture
def few(tmp_path):
    """Return the options that make a classifier read every ninth sentence."""
    for part in ("train", "dev"):
        lines = (ROOT / f"data/sentiment/{part}.tsv").read_text(encoding="utf-8").splitlines(True)
        (tmp_path / f"{part}.tsv").write_text("".join(lines[::9]), encoding="utf-8")
    return "--data", "."


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--finetune",)], ids=["frozen", "finetune"])
def test_both_modes_classify_alike(arguments, few, tmp_path):
    dynamic, static = (figures_of(tmp_path, name, *few, "--epochs", 2, *arguments)
                       for name in ("classify.py", "classify_static.py"))
    tolerance = 1e-3 if arguments else 1e-4  # rounding grows where the biLM changes
    np.testing.assert_allclose(
        static["train_losses"], dynamic["train_losses"], rtol=0, atol=tolerance)
    assert abs(static["dev_accuracy"] - dynamic["dev_accuracy"]) <= 0.25  # two of eight


def test_a_tuned_classifier_beats_the_majority(tmp_path):
    figures = figures_of(tmp_path, "classify.py", "--finetune", "--epochs", 4)
    assert figures["majority"] == 0.5
    assert figures["dev_accuracy"] >= 0.65
    assert figures["train_losses"][-1] < figures["train_losses"][0]


def test_a_classifier_without_elmo(few, tmp_path):
    arguments = ("classify.py", "--features", "words", *few, "--epochs", 4)
    figures = figures_of(tmp_path, *arguments)
    assert figures["train_losses"][-1] < figures["train_losses"][0]
    assert figures == figures_of(tmp_path, *arguments, "--seed", 0)


def test_similarity(tmp_path):
    elmo = ELMo(BiLM.from_pretrained("sample"))
    elmo.mixes[0].weights.set_value(np.array([0, 9, 0], np.float32))  # nearly layer 1 alone
    elmo.save_mixes(tmp_path / "task")
    printed = run(tmp_path, EXAMPLES / "similarity.py", "--query", "昨夜雨下得很大。",
                  "--mix_from", "task", "--layer", "mix", "--json", "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    found = figures["correlations"]
    assert found.keys() == {"0", "1", "2", "average", "mix"}
    assert all(0.2 < value < 0.9 for value in found.values())
    assert found["mix"] == pytest.approx(found["1"], abs=0.01)
    assert figures["nearest"][0] == "昨夜雨下得很大。"  # itself
    assert "1.0000 昨夜雨下得很大。" in printed


def test_figures_can_be_printed_alone(tmp_path):
    (tmp_path / "pairs.tsv").write_text(
        "5\t今天下雨。\t今天有雨。\n0\t我饿了。\t书很贵。\n", encoding="utf-8")
    printed = run(tmp_path, EXAMPLES / "similarity.py", "--pairs", "pairs.tsv", "--json", "-")
    assert json.loads(printed)["correlations"]["0"] == pytest.approx(1)


def test_ranks_of_equal_values_are_their_mean(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from similarity import ranks, spearman

    assert ranks([3, 1, 3, 9]).tolist() == [1.5, 0, 1.5, 3]
    assert spearman([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def raw_reviews(folder):
    for part in ("train", "dev"):
        text = "\n".join(columns(f"sentiment/{part}.tsv")[1]) + "\n"
        (folder / f"{part}.txt").write_text(text, encoding="utf-8")
    return "--text", folder / "train.txt", "--dev_text", folder / "dev.txt"


@pytest.mark.parametrize("keep", [(), ("--keep_vocabulary",)], ids=["more words", "same words"])
def test_perplexity_falls_in_the_new_domain(keep, tmp_path):
    figures = figures_of(tmp_path, "finetune_lm.py", *raw_reviews(tmp_path),
                         "--max_steps", 30, *keep)
    assert figures["after"]["perplexity"] < 0.95 * figures["before"]["perplexity"]
    assert figures["after"]["oov_rate"] == figures["before"]["oov_rate"]


def test_a_checkpoint_of_lark_is_tuned(tmp_path):
    words = [*SPECIAL_TOKENS, *"，。的了一不是得好有没人都我在这看就来说还很也老给天大小上下两三"]
    words += ["真", "太"]
    assert len(words) == len({*words}) == 37
    (tmp_path / "vocabulary.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    figures = figures_of(
        tmp_path, "finetune_lm.py", "--model", ROOT / "tests/fixtures/lark-bilm/checkpoint_trained",
        "--vocab_path", "vocabulary.txt", *raw_reviews(tmp_path), "--max_steps", 30)
    assert figures["after"]["perplexity"] < 0.8 * figures["before"]["perplexity"]


def test_the_sentences_are_balanced_and_varied():
    parts = [columns(f"sentiment/{part}.tsv") for part in ("train", "dev")]
    for (labels, _), size in zip(parts, (240, 60)):
        assert len(labels) >= size
        assert labels.count("positive") == labels.count("negative") == len(labels) / 2
    sentences = [sentence for _, column in parts for sentence in column]
    assert len({*sentences}) == len(sentences)
    marks = {*"，。！？"}
    for first, second in combinations([{*sentence} - marks for sentence in sentences], 2):
        assert len(first & second) < 0.75 * min(len(first), len(second)), first & second


def test_the_pairs_cover_the_scale():
    scores, first, second = columns("similarity/pairs.tsv")
    assert len(scores) >= 60 and len({*first, *second}) == 2 * len(scores)
    scores = np.array(scores, float)
    assert scores.min() == 0 and scores.max() == 5
    assert (np.histogram(scores, 5)[0] >= 8).all()
