"""Words and tags of raw text from exported ONNX models: those of `LAC`, and no Paddle."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bilm import InputError
from lac import LAC
from lac.convert import import_baidu, import_lark
from lac.customization import Customization
from lac.onnx_model import export
from lac.onnx_tagger import OnnxTagger
from tests.reference import baidu_lac
from tests.reference.places import LARK_LAC, ROOT
from tests.reference.random_taggers import CHARACTERS, SEGMENTED, random_bilm, random_tagger
from tests.reference.taggers import WORDS

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

OWN_WORDS = {"elmo_reads": "words", "has_characters": True}
TAGGERS = {  # pieces; of the biLM: fields, or None; of the tagger: fields
    "words": ("words", {}, {}),
    "words, no ELMo": ("words", None, {"has_characters": True}),
    "characters": ("characters", {"segmentation": SEGMENTED}, OWN_WORDS),
    "letters, character CNN": ("letters", {"is_of_characters": True}, OWN_WORDS),
    "dictionary": ("dictionary", {"segmentation": SEGMENTED}, OWN_WORDS),
    "dictionary, lark": ("dictionary", {}, {"elmo_variant": "lark", "elmo_unknown": "unk"}),
}
ENTRIES = ["云溪/ns", "书 桥", "大", "a1/x", "春天到/t"]

RUN = """
import json, sys
sys.modules.update(paddle=None, onnx=None)  # an import of one would fail
from lac import OnnxTagger
folders, texts = json.load(sys.stdin)
print(json.dumps([OnnxTagger(folder, threads=1).run(texts) for folder in folders]))
"""


def generated_texts(count, seed):
    """Return texts of known words and of anything else, long ones and blank ones among them."""
    random = np.random.default_rng(seed)
    parts = [*WORDS, *CHARACTERS, *"。！？，、 \t\n\u3000ａＢ１2xY😀雨𠀀\u0301", "a1", "a1b2",
             "\r\n", "春天到", "云溪大", "３.5％", "薛定谔"]
    return ["".join(random.choice(parts, random.integers(0, 25))) for _ in range(count)]


@pytest.fixture(scope="module", params=["spans", "baidu"])
def taggers(request, tmp_path_factory):
    """Folders of taggers and of their exports, with a user dictionary in every second tagger."""
    folders = {}
    for number, (name, (kind, of_bilm, changes)) in enumerate(TAGGERS.items()):
        folder = tmp_path_factory.mktemp(f"tagger{number}")
        bilm = None if of_bilm is None else random_bilm(folder, **of_bilm)
        customization = Customization(ENTRIES) if number % 2 else None
        path = random_tagger(folder, kind, bilm, convention=request.param,
                             customization=customization, **changes)
        export(path, folder / "exported")
        folders[name] = path, folder / "exported"
    return folders


def test_texts_get_lacs_words_and_tags_without_paddle(taggers):
    texts = generated_texts(150, seed=0)
    given = json.dumps([[str(exported) for _, exported in taggers.values()], texts])
    done = subprocess.run([sys.executable, "-c", RUN], input=given, cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for (name, (path, _)), results in zip(taggers.items(), json.loads(done.stdout)):
        assert results == LAC(path, threads=1).run(texts), name
        assert ["".join(words) for words, _ in results if words] == [
            text for text, (words, _) in zip(texts, results) if words]
        assert len({tag for _, tags in results for tag in tags}) > 3
        assert any(len(words) < len(text) for text, (words, _) in zip(texts, results))


@pytest.mark.parametrize("mode", ["lac", "seg"])
def test_models_of_baidus_lac_get_lacs_words_and_tags(tmp_path, mode):
    import_baidu(baidu_lac.write_package(tmp_path) / f"{mode}_model", tmp_path / "tagger")
    export(tmp_path / "tagger", tmp_path / "exported")
    random = np.random.default_rng(3)
    parts = [*baidu_lac.WORDS, *baidu_lac.FOLDS, "雨", "\t", "ＡＡ"]
    texts = ["".join(random.choice(parts, random.integers(0, 12))) for _ in range(100)]
    lac, tagger = LAC(tmp_path / "tagger", threads=1), OnnxTagger(tmp_path / "exported", threads=1)
    for entries in ([], ["小明/PER", "花 北"]):
        for each in (lac, tagger):
            each.load_customization(entries)
        results = tagger.run(texts)
        assert results == lac.run(texts)
        assert any(len(words) < len(text) for text, (words, _) in zip(texts, results))


def test_a_user_dictionary_and_batches_are_as_in_lac(taggers):
    texts = generated_texts(30, seed=1)
    for path, exported in taggers.values():
        lac, tagger = LAC(path, threads=1), OnnxTagger(exported, batch_size=1, threads=1)
        for each in (lac, tagger):
            each.load_customization([*ENTRIES, "花都/nz"])
        assert tagger.analyse(texts) == lac.analyse(texts)
        assert tagger.run(texts[0]) == lac.run(texts[0])


@pytest.mark.parametrize("wrong", [5, None, b"abc", ["好", None], {"春天": 1}])
def test_what_is_no_text_is_told(taggers, wrong):
    tagger = OnnxTagger(taggers["words"][1])
    with pytest.raises(InputError, match="expected texts|must be a string"):
        tagger.run(wrong)


def test_segmented_text_is_refused_and_progress_told(taggers):
    predictor = OnnxTagger(taggers["words"][1], batch_size=2)._analyser.predictor
    sizes = []
    tags = predictor.predict([["春天"], [], ["春天", "到"], ["到"]], None, sizes.append, [[False]])
    assert [len(of_sentence) for of_sentence in tags] == [1, 0, 2, 1]
    assert sorted(sizes) == [1, 2]
    with pytest.raises(InputError, match="it takes no segmented text"):
        predictor.predict([["春天", "到"]], continues=[[False, True]])


def copied(source, target, without):
    target.mkdir()
    for path in source.iterdir():
        if path.name != without:
            (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("missing, message", [
    ("signature.json", "no exported tagger there: it has no signature.json"),
    ("config.json", "no exported tagger there: it has no config.json"),
    ("model.onnx", "has no model.onnx; lac export --format onnx writes one"),
    ("elmo_vocab.txt", "has no elmo_vocab.txt"),
    ("words.txt", "has no words.txt"),
])
def test_a_file_that_is_missing_is_named(taggers, tmp_path, missing, message):
    _, exported = taggers["characters"]
    with pytest.raises(InputError, match=message):
        OnnxTagger(copied(exported, tmp_path / "part", missing))


@pytest.mark.parametrize("shapes", [None, [], {}, {"elmo": 3}, {"elmo": [-1, None]}])
def test_a_damaged_signature_is_told(taggers, tmp_path, shapes):
    folder = copied(taggers["characters"][1], tmp_path / "part", "signature.json")
    (folder / "signature.json").write_text(json.dumps({"shapes": shapes}))
    with pytest.raises(InputError, match="has no shape of the input elmo"):
        OnnxTagger(folder)


def test_the_size_of_batches_is_checked(taggers):
    with pytest.raises(InputError, match="batch_size must be at least 1, not 0"):
        OnnxTagger(taggers["words"][1], batch_size=0)


def test_a_model_without_words_takes_ids_only(tmp_path):
    import_lark(LARK_LAC / "checkpoint", tmp_path / "tagger")
    export(tmp_path / "tagger", tmp_path / "exported")
    with pytest.raises(InputError, match="has no words.txt"):
        OnnxTagger(tmp_path / "exported")


def test_without_onnxruntime_the_package_is_named(taggers, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="needs onnxruntime: pip install onnxruntime$"):
        OnnxTagger(taggers["words"][1])
