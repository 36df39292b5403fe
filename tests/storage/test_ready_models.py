"""The models that come with the package: found by name, what their card says, what they can do."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bilm import Embedder, Vocabulary
from bilm.program.running import run_main
from bilm.storage.ready_models import ready_models, resolve_model
from bilm.text.segmenters import SegmentationOptions, load_segmenter, segment_sentence
from lac import LAC
from lac.tagged_files import read_tagged
from tests.reference.places import ROOT

TRAINING = ("data/raw/everyday.txt", "data/raw/train.txt")
HELD_OUT = ("data/raw/everyday_dev.txt", "data/raw/dev.txt")


@pytest.fixture(scope="module")
def cut():
    return load_segmenter(SegmentationOptions())


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.from_pretrained("sample")


def read(*names):
    return "\n".join((ROOT / name).read_text("utf-8") for name in names)


@pytest.fixture(scope="module")
def senses():
    """Word, sense and sentence of each line."""
    return [line.split("\t") for line in read("data/senses.tsv").splitlines()]


def test_both_packages_have_a_sample():
    for package in ("bilm", "lac"):
        assert ready_models(package)["sample"] == ROOT / "data/models" / package / "sample"
        assert resolve_model("sample", package).is_dir()


def test_what_is_there_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_model("other", "bilm") == Path("other")
    assert resolve_model("folder/sample", "bilm") == Path("folder/sample")
    (tmp_path / "sample").mkdir()
    assert resolve_model("sample", "bilm") == Path("sample")


def test_the_biLM_is_small():
    size = sum(path.stat().st_size for path in ready_models("bilm")["sample"].rglob("*"))
    weights = (ready_models("bilm")["sample"] / "model.safetensors").stat().st_size
    assert 3e6 < weights < 4e6 and size < 4.5e6


def demonstrations():
    """Yield the sentences that the page and the README show first."""
    script = (ROOT / "lac/serving/page/texts.js").read_text("utf-8").split("EXAMPLES")[1]
    yield from re.findall(r'"([^"]+)"', script)
    yield from re.findall(r"echo '([^']+)' \| \w+ \w+ --model sample",
                          read("README.md", "lac/commands/verbs.py"))
    yield from re.findall(r'LAC\("sample"\).run\("([^"]+)"\)', read("README.md"))
    for examples in re.findall(r"examples=\[(.*?)\]", read("lac/serving/app.py")):
        yield from re.findall(r'"([^"]+)"', examples)


def test_words_of_the_demonstrations_are_known(cut, vocabulary):
    lac, sentences = LAC("sample"), list(demonstrations())
    assert len(sentences) >= 10
    for sentence in sentences:
        words = segment_sentence(sentence, cut)
        assert [word for word in words if word not in vocabulary or not lac.knows(word)] == [], (
            sentence)


def test_the_senses_are_our_own_and_unseen(senses):
    training = read(*TRAINING)
    by_sense = {}
    for word, sense, sentence in senses:
        by_sense.setdefault(sense, []).append(sentence)
        assert word in sentence and sentence not in training
    assert len(by_sense) == 2 and all(len(items) >= 6 for items in by_sense.values())


def vectors_of_senses(senses, cut):
    """Return the word's vectors, shape (sentences, layers, features)."""
    sentences, places = [], []
    for word, _, text in senses:
        before, _, after = text.partition(word)
        head = segment_sentence(before, cut)
        sentences.append([*head, word, *segment_sentence(after, cut)])
        places.append(len(head))
    found = Embedder("sample", unknown="characters").embed(sentences)
    return np.stack([layers[:, place] for layers, place in zip(found, places)])


def test_two_senses_are_further_apart_between_than_within(senses, cut):
    vectors = vectors_of_senses(senses, cut)
    assert np.allclose(vectors[:, 0], vectors[0, 0], atol=1e-6)  # which knows no context
    first = vectors[:, 1] / np.linalg.norm(vectors[:, 1], axis=1, keepdims=True)
    distances = 1 - first @ first.T
    sense = np.array([sense for _, sense, _ in senses])
    alike = sense[:, None] == sense
    within = distances[alike & ~np.eye(len(sense), dtype=bool)].mean()
    between = distances[~alike].mean()
    told = re.search(r"within (0\.\d+), between (0\.\d+)", read("data/models/README.md"))
    assert (within, between) == pytest.approx(tuple(map(float, told.groups())), abs=0.002)
    assert between > within
    nearest = np.where(np.eye(len(sense), dtype=bool), np.inf, distances).argmin(axis=1)
    told = re.search(r"(\d+) of the (\d+) sentences", read("data/models/README.md"))
    assert ((sense[nearest] == sense).sum(), len(sense)) == tuple(map(int, told.groups()))


def test_perplexity_is_what_the_card_says(cut, tmp_path):
    from bilm.commands import evaluate, segment

    run_main(segment.main, [str(ROOT / HELD_OUT[0]), "--output", str(tmp_path / "dev"),
                            "--split_newlines", "--quiet"])
    run_main(evaluate.main, ["--model", "sample", "--data", f"{tmp_path}/dev/sentence_file_*",
                             "--json", str(tmp_path / "figures.json"), "--quiet"])
    found = json.loads((tmp_path / "figures.json").read_text())["perplexity"]
    told = float(re.search(r"perplexity (\d+\.\d)", read("data/models/README.md")).group(1))
    assert found == pytest.approx(told, abs=0.11)


def test_f1_on_hand_labels_is_what_the_card_says(tmp_path):
    from lac.commands import evaluate

    run_main(evaluate.main, ["--model", "sample", "--data", str(ROOT / "data/lac/dev.tsv"),
                             "--json", str(tmp_path / "figures.json"), "--quiet"])
    found = json.loads((tmp_path / "figures.json").read_text())["f1"]
    told = float(re.search(r"F1 (\d+\.\d) %", read("data/models/README.md")).group(1))
    assert 100 * found == pytest.approx(told, abs=0.11)


def test_held_out_text_is_not_trained_on():
    training = read(*TRAINING)
    labelled = {"".join(sentence.tokens)
                for sentence in read_tagged(ROOT / "data/lac/train.tsv").sentences}
    for sentence in read_tagged(ROOT / "data/lac/dev.tsv").sentences:
        text = "".join(sentence.tokens)
        assert text not in training and text not in labelled
    for line in read(HELD_OUT[0]).splitlines():
        assert line not in training


def test_there_are_enough_sentences_of_everyday_language():
    lines = read(TRAINING[0]).splitlines()
    assert len(set(lines)) == len(lines) >= 2000


def test_no_statute_stands_in_the_models():
    """Weights and vocabularies only: the longest entry is a word."""
    for package in ("bilm", "lac"):
        for path in ready_models(package)["sample"].rglob("*"):
            if path.is_dir() or path.suffix == ".safetensors":
                continue
            assert path.suffix in (".txt", ".json", ".tsv"), path
            if path.name in ("vocab.txt", "words.txt"):
                assert max(map(len, path.read_text("utf-8").splitlines())) <= 20


@pytest.mark.smoke
def test_the_tagger_works_at_once():
    words, tags = LAC("sample").run("张伟昨天从上海飞往北京。")
    assert "".join(words) == "张伟昨天从上海飞往北京。"
    assert dict(zip(words, tags))["北京"] == "ns" and dict(zip(words, tags))["。"] == "w"


@pytest.mark.smoke
def test_words_are_scored_at_once(capsys, tmp_path):
    from bilm.commands import score as score_command

    text = tmp_path / "text"
    line = "我 昨天 买 了 一个 手机 。"
    text.write_text(f"{line}\n手机 昨天 一个 了 买 我 。\n", encoding="utf-8")
    run_main(score_command.main, [str(text), "--model", "sample", "--json", "-"])
    good, bad = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert " ".join(good["words"]) == line
    assert good["forward"]["sum"] > bad["forward"]["sum"]
