"""From raw text to words and back, for every kind of pieces."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest

from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from lac import LAC
from lac.lookup import Lookup
from lac.model_folder import read_tagger, write_tagger
from lac.pretrained import load_analyser
from lac.tag_files import tag_lines
from lac.tagged_files import parse_line
from tests.reference.taggers import options, small_bilm, trained, write_text

CHARACTERS = "小林陈晨昨天去了青石镇云溪大学读书，。！？；”  \u3000\t\n我爱12a.ＡbÉ😀\u0301\ufffe龘"
ENTRIES = ["昨天去/t", "青石/ns 镇", "1 2a", "。我/x", "学读 书/v", "\u3000/w", "陈/nr"]


def dictionary_file(folder):
    path = folder / "dictionary.txt"
    path.write_text("昨天 5\n青石 3\n云溪 2\n大学 9\n读书 4\n天去 1\n", encoding="utf-8")
    return str(path)


def generated(number, seed):
    """Return texts of characters of CHARACTERS, some of them empty."""
    source = random.Random(seed)
    return ["".join(source.choices(CHARACTERS, k=source.randrange(30))) for _ in range(number)]


@pytest.fixture(scope="module", params=[
    "words", "characters", "split", "dictionary", "words of ELMo", "pieces of ELMo", "baidu",
])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    kind = request.param
    changes = {"pieces": kind}
    if kind == "split":
        changes = {"split_latin": True}
    if kind == "dictionary":
        changes["dictionary"] = dictionary_file(folder)
    if kind.endswith("ELMo"):
        changes = {"elmo": str(small_bilm(folder)), "elmo_reads": kind.split(" ")[0]}
    if kind == "baidu":
        changes = {}
    path = trained(folder, max_epochs=6, **changes)
    if kind == "baidu":
        stored = read_tagger(path)
        config = replace(stored.config, convention="baidu")
        path = folder / "baidu"
        write_tagger(path, stored._replace(config=config))
    return path


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("entries", [[], ENTRIES], ids=["no entries", "entries"])
def test_text_in_is_text_out(run, entries, number):
    lac = LAC(run)
    lac.load_customization(entries)
    texts = generated(number, seed=len(entries))
    is_baidu = lac.stored.config.convention == "baidu"
    for text, (words, tags) in zip(texts, lac.run(texts)):
        blank = text.isspace() and not is_baidu
        assert "".join(words) == ("" if blank else text)
        assert len(words) == len(tags) and all(words)


def test_alone_as_in_a_batch(run):
    lac = LAC(run)
    texts = generated(60, seed=3)
    assert [lac.run(text) for text in texts] == lac.run(texts)


def test_segmented_words_are_not_cut(run):
    lac = LAC(run)
    texts = [" ".join(text.split()) for text in generated(200, seed=4)]
    for text, analysis in zip(texts, lac.analyse(texts, segmented=True)):
        given = text.split(" ") if text else []
        assert "".join(analysis.words) == "".join(given)
        ends = set(np.cumsum([len(word) for word in given]))
        assert set(np.cumsum([len(word) for word in analysis.words])) <= ends
        assert sum(analysis.sizes) == len(analysis.tokens) == len(analysis.token_tags)


def test_a_saved_copy_cuts_alike(run, tmp_path):
    lac = LAC(run)
    lac.load_customization(ENTRIES)
    lac.save_pretrained(tmp_path / "copy")
    texts = generated(50, seed=5)
    assert LAC(tmp_path / "copy").run(texts) == lac.run(texts)


def test_an_entry_decides_over_characters(tmp_path):
    lac = LAC(trained(tmp_path, max_epochs=30))
    text = "陈晨在云溪大学读书。"
    assert lac.run(text)[0] == ["陈晨", "在", "云溪大学", "读书", "。"]
    lac.load_customization(["溪大/ns", "读书。"])
    assert lac.run(text) == [
        ["陈晨", "在", "云", "溪大", "学", "读书。"], ["nr", "p", "nt", "ns", "nt", "w"]]
    (analysis,) = lac.analyse([text])
    assert analysis.tokens == list(text)
    assert analysis.sizes == [2, 1, 1, 2, 1, 3]
    assert analysis.token_tags[3:6] == ["nt-B", "ns-B", "ns-I"]


def test_words_of_elmo_reach_every_character(tmp_path):
    """A change of one word of the biLM's vector moves its characters' features alone."""
    run = trained(tmp_path, elmo=str(small_bilm(tmp_path)), elmo_reads="words", max_epochs=1)
    analyser = load_analyser(run)
    lookup, tagger = analyser.predictor.lookup, analyser.predictor.tagger
    pieces = list("陈晨在云溪大学读书。")
    ids = lookup([pieces])
    words = lookup.elmo_words(pieces)
    assert "".join(words) == "".join(pieces)
    starts = np.cumsum([0, *map(len, words)])
    for step in range(len(pieces)):
        number, place = ids.elmo_places[0, step]
        assert starts[number] <= step < starts[number + 1]
        is_start, is_end = step == starts[number], step + 1 == starts[number + 1]
        assert place == is_start + 2 * is_end
    assert ids.elmo_lengths.tolist() == [len(words)]
    assert tagger.config.elmo_reads == "words"


def test_options_of_pieces_are_stored(tmp_path):
    path = dictionary_file(tmp_path)
    run = trained(tmp_path, pieces="dictionary", dictionary=path, dictionary_weights="lengths",
                  max_epochs=1)
    stored = read_tagger(run)
    assert stored.segmentation.dictionary_weights == "lengths"
    assert stored.segmentation.dictionary != path  # a copy, in the tagger
    assert options(tmp_path).pieces == "characters"


def test_words_without_a_tag_keep_their_borders_beside_entries(tmp_path):
    write_text(tmp_path, ["我们 去 了 北京\tO O O LOC-B", "北京 很 大\tLOC-B O O"])
    lac = LAC(trained(tmp_path, max_epochs=40))
    before, = lac.analyse(["我们去了北京"])
    lac.load_customization(["北京/LOC"])
    after, = lac.analyse(["我们去了北京"])
    assert before.token_tags == after.token_tags
    assert set(after.token_tags) <= set(lac.stored.tags)


def test_white_space_is_no_token_of_the_files(run):
    lac = LAC(run)
    (line,) = tag_lines(lac.analyse, ["小林 昨天\u3000 去"], "tsv")
    sentence = parse_line(line)  # which refuses other numbers of words and tags
    assert "".join(sentence.tokens).replace("\u3000", "") == "小林昨天去"


@pytest.mark.parametrize("pieces, words", [
    (["用", "hello", "world"], ["用", "hello", "world"]),
    (["a", "b", "花", "iPhone", "15", "Pro"], ["ab", "花", "iPhone", "15", "Pro"]),
    (["春", " ", "天"], ["春", "天"]),
    ([" "], [" "]),
])
def test_what_elmo_reads_of_pieces(pieces, words):
    vocabulary = Vocabulary([*SPECIAL_TOKENS, "花"])
    cut = re.compile(r"[a-zA-Z0-9]+|.", re.DOTALL).findall
    lookup = Lookup(vocabulary, None, elmo_vocabulary=vocabulary, elmo_cut=cut)
    assert lookup.elmo_words(pieces) == words
    places = lookup([pieces]).elmo_places[0]
    for piece, (number, _) in zip(pieces, places):
        assert piece.isspace() or piece in words[number]
