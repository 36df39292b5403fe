"""Full-width and half-width forms, and what is looked up for a word."""

import unicodedata

import numpy as np
import pytest

from bilm.errors import InputError
from bilm.text.vocabulary import Vocabulary
from lac.lookup import ElmoVocabulary, Lookup, num_character_rows
from lac.width import WholeWordFolder, WidthFolder, load_table, to_text, unicode_table
from tests.reference.places import ROOT

pytestmark = pytest.mark.smoke
TABLE = ROOT / "data/lac/width.tsv"


def folder():
    return WidthFolder(unicode_table())


def test_the_table_in_the_data_is_the_one_that_is_used():
    if not TABLE.is_file():
        pytest.skip("needs a checkout")
    assert TABLE.read_text("utf-8") == to_text(unicode_table())
    assert load_table(TABLE) == unicode_table()


def test_it_agrees_with_unicodes_compatibility_form_and_is_complete():
    table = unicode_table()
    for form, ordinary in table.items():
        assert unicodedata.normalize("NFKC", form) == unicodedata.normalize("NFKC", ordinary)
    for code in range(0x21, 0x7F):  # every ASCII character has a full-width form
        assert table[chr(code + 0xFEE0)] == chr(code)
    assert not set(table) & set(table.values())  # folding twice is folding once


@pytest.mark.parametrize("word, folded", [
    ("Ａ１，", "A1,"), ("ｶﾀｶﾅ", "カタカナ"), ("中文。", "中文。"), ("￥１００％", "¥100%"),
    ("", ""),
])
def test_folding(word, folded):
    assert folder().fold(word) == folded


def test_larks_table_is_read(tmp_path):
    (tmp_path / "q2b.dic").write_text("　\t \n，\t,\n", encoding="utf-8")
    assert load_table(tmp_path / "q2b.dic") == {"，": ","}


@pytest.mark.parametrize("line", ["，,", "ab\tc", "，\t,\n，\t;", "a\t", "a\tb c"])
def test_malformed_tables_are_told(tmp_path, line):
    (tmp_path / "t").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="line [12]: expected a character not yet seen"):
        load_table(tmp_path / "t")


def vocabulary(*words):
    return Vocabulary(["<S>", "</S>", "<UNK>", *words])


def test_a_bilm_knows_words_in_another_width():
    known = ElmoVocabulary(vocabulary("，", "A", "Ａ", "ＢＢ"), folder())
    for word, form in (("，", "，"), (",", "，"), ("Ａ", "Ａ"), ("A", "A"), ("BB", "ＢＢ"),
                       ("ＢB", "ＢＢ"), ("走", "走")):
        assert known.known_form(word) == form


def test_whole_words_are_folded_only_where_the_table_has_them():
    whole = WholeWordFolder({"Ａ": "A", "來": "来"})
    assert [whole.fold(word) for word in ("Ａ", "ＡＡ", "來", "來了", "走")] == [
        "A", "ＡＡ", "来", "來了", "走"]
    lookup = Lookup(vocabulary("來了", "来了", "来"), whole)
    assert lookup([["來了", "來", "来了"]]).words.tolist() == [[3, 5, 4]]


def test_ids_of_all_kinds():
    lookup = Lookup(vocabulary("走", ","), folder(), ["走", "路"], vocabulary("路", "，", "走"))
    ids = lookup([["走", "，"], ["路"]])
    assert ids.words.tolist() == [[3, 4], [2, 1]]
    assert ids.elmo.tolist() == [[5, 4], [3, 1]]
    assert ids.lengths.tolist() == [2, 1]
    assert ids.characters[0, :, 0].tolist() == [2, 1]  # the comma is unknown
    assert ids.characters[1, :, 0].tolist() == [3, 0]
    assert num_character_rows(lookup.characters) == 4


def test_a_long_word_keeps_its_first_and_last_characters():
    lookup = Lookup(vocabulary(), None, [*"abcdefghijkl"])
    ids = lookup([["abcdefghijkl"]]).characters[0, 0]
    np.testing.assert_array_equal(ids, [2, 3, 4, 5, 10, 11, 12, 13])
