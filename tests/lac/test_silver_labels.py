"""Silver labels: jieba's flags as LAC's tags, on words that stay as they are."""

import pytest

from bilm.program.running import run_main
from bilm.text.segmenters import import_quietly
from lac.commands.label import main
from lac.silver_labels import TYPES, label, type_of
from lac.tagged_files import read_tagged, to_line
from tests.reference.places import ROOT
from tests.reference.refusals import refusal_of


@pytest.fixture(scope="module")
def posseg():
    return import_quietly("jieba.posseg")


def test_types_are_those_of_the_tag_list():
    from lac.tagged_files import load_tags

    tags = load_tags(ROOT / "data/lac/tags.txt")
    assert set(TYPES.values()) <= {tag.split("-")[0] for tag in tags}


@pytest.mark.parametrize(("word", "flag", "kind"), [
    ("苹果", "n", "n"), ("的", "uj", "u"), ("吗", "y", "xc"), ("，", "x", "w"), ("2020", "x", "m"),
    ("5G", "x", "m"), ("App", "eng", "nz"), ("绿油油", "z", "a"), ("北京", "ns", "ns"),
    ("Ｂ", "x", "nz"),
])
def test_flags_become_types(word, flag, kind):
    assert type_of(word, flag) == kind


def test_words_are_kept_and_dates_are_one_span(posseg):
    line = "2023 年 5 月 12 日 ， 我 昨天 下午 去 了 北京 。"
    found = label(line.split(" "), posseg)
    tags = "t-B t-I t-I t-I t-I t-I w-B r-B t-B t-I v-B u-B ns-B w-B"
    assert to_line(found) == f"{line}\t{tags}"


def test_a_word_that_jieba_cuts_otherwise_is_tagged_by_itself(posseg):
    found = label(["我爱", "北京天安门"], posseg)
    assert found.tokens == ["我爱", "北京天安门"] and len(found.tags) == 2


def test_the_program_takes_sentences_evenly(tmp_path, capsys):
    text = tmp_path / "text"
    text.write_text("".join(f"第 {number} 句 。\n" for number in range(10)), encoding="utf-8")
    run_main(main, [str(text), "--output", str(tmp_path / "out.tsv"), "--max_sentences", "5"])
    assert "5 sentences" in capsys.readouterr().out
    corpus = read_tagged(tmp_path / "out.tsv")
    assert [sentence.tokens[1] for sentence in corpus.sentences] == list("02468")
    told = refusal_of(main, [str(text), "--output", "x", "--max_sentences", "-1"], capsys)
    assert "--max_sentences must be 0 or more" in told
