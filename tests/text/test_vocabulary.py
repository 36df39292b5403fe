"""LARK's vocabulary file, and how words of a corpus line get their ids."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilm.errors import InputError
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.reference.models import random_model, write

SPECIAL_LINES = "<S>\n</S>\n<UNK>\n"


@pytest.fixture
def load(tmp_path):
    def load(content):
        path = tmp_path / "words.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return Vocabulary.load(path)

    return load


def problem_of(load, content):
    with pytest.raises(InputError) as error:
        load(content)
    assert "words.txt" in str(error.value)
    return str(error.value).split("words.txt", 1)[1]


@pytest.mark.parametrize("place", [0, 1, 3, 5])
def test_larks_marker_line_takes_no_id(load, place):
    lines = ["<S>", "</S>", "<UNK>", "河", "船"]
    lines.insert(place, "!!!MAXTERMID")
    vocabulary = load("\n".join(lines) + "\n")
    assert vocabulary.encode(["<S>", "</S>", "<UNK>", "河", "船"]) == [0, 1, 2, 3, 4]
    assert len(vocabulary) == 5
    assert "!!!MAXTERMID" not in vocabulary


def test_special_tokens_have_the_ids_of_their_lines(load):
    vocabulary = load("河\n<UNK>\n船\n</S>\n<S>\n")
    assert (vocabulary.bos_id, vocabulary.eos_id, vocabulary.unk_id) == (4, 3, 1)
    assert vocabulary.encode(["船", "没有", "河"]) == [2, 1, 0]
    assert vocabulary.decode([2, 1, 0]) == ["船", "<UNK>", "河"]


def test_encoding_adds_no_sentence_boundaries(vocabulary):
    assert vocabulary.encode([]) == vocabulary.encode_line(b" \n") == []
    assert vocabulary.encode_line("天气 很".encode()) == vocabulary.encode(["天气", "很"])


@pytest.mark.smoke
def test_only_ascii_space_separates_the_words_of_a_line(load):
    vocabulary = load(SPECIAL_LINES + "东\u3000西\n南\xa0北\n东\n西\n　\n")
    line = "东\u3000西\t 南\xa0北 \v东\f西  　\r\n".encode()
    assert vocabulary.encode_line(line) == [3, 4, 5, 6, 7]


@settings(deadline=None)
@given(st.lists(st.sampled_from(
    ["东", "东西", "西", " ", "\t", "\r", "\v", "\f", "\n", "\u3000", "\xa0", "\x85", "\u2028",
     "\x1c", "<S>", "?"]
)))
def test_a_line_has_the_ids_of_its_words(pieces):
    vocabulary = Vocabulary([*SPECIAL_TOKENS, "东", "东西", "\u3000", "西\x85", "东\x1c西"])
    line = "".join(pieces)
    words = [word for word in re.split("[ \t\r\v\f\n]", line) if word]
    assert vocabulary.encode_line(line.encode()) == vocabulary.encode(words)


def test_a_line_that_is_not_utf8_is_an_error(vocabulary):
    with pytest.raises(UnicodeDecodeError):
        vocabulary.encode_line("天气 ".encode() + "很好".encode("gb18030"))


@pytest.mark.parametrize("lines, missing", [
    ("河\n船\n", "<S>, </S>, <UNK>"), ("</S>\n<UNK>\n河\n", "<S>"), ("<S>\n<unk>\n", "</S>, <UNK>"),
])
def test_missing_special_tokens_are_named(load, lines, missing):
    assert problem_of(load, lines) == f": missing special tokens {missing}; add a line for each"


def test_a_repeated_word_is_named_with_both_lines(load):
    problem = problem_of(load, SPECIAL_LINES + "!!!MAXTERMID\n河\n船\n河\n")
    assert problem == ", line 7: '河' stands already on line 5; remove one of them"


@pytest.mark.parametrize("content", ["", "!!!MAXTERMID\n"])
def test_a_file_without_words_is_called_empty(load, content):
    assert problem_of(load, content).startswith(": the vocabulary is empty")


@pytest.mark.parametrize("line, found", [("", "''"), ("河 船", "'河 船'"), ("河\t9", r"'河\t9'")])
def test_a_line_that_is_not_one_word_is_told_with_its_number(load, line, found):
    problem = problem_of(load, f"{SPECIAL_LINES}{line}\n船\n")
    assert problem == f", line 4: expected one word, found {found}"


def test_a_file_that_is_not_utf8_is_told_with_its_line(load):
    content = SPECIAL_LINES.encode() + "河\n".encode() + "船\n".encode("gb18030")
    assert problem_of(load, content).startswith(", line 5: not UTF-8")


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_words(load):
    plain = load(SPECIAL_LINES + "河\n船\n")
    assert load("\ufeff<S>\r\n</S>\r\n<UNK>\r\n河\r\n船") == plain
    assert plain.words == (*SPECIAL_TOKENS, "河", "船")


@settings(deadline=None)
@given(st.sets(st.text(st.characters(
    exclude_categories=["Cs"], exclude_characters=" \t\r\n\v\f\ufeff"), min_size=1)))
def test_the_file_gives_back_the_words(tmp_path_factory, words):
    path = tmp_path_factory.getbasetemp() / "round-trip.txt"
    words = sorted(words - {*SPECIAL_TOKENS, "!!!MAXTERMID"})
    vocabulary = Vocabulary([*words, *SPECIAL_TOKENS])
    path.write_bytes(vocabulary.to_text().encode("utf-8"))
    loaded = Vocabulary.load(path)
    assert loaded == vocabulary
    assert loaded.words == (*words, *SPECIAL_TOKENS)
    assert loaded.encode_line(" ".join(words).encode()) == list(range(len(words)))


def test_vocabularies_with_other_words_or_another_order_differ():
    first = Vocabulary([*SPECIAL_TOKENS, "河", "船"])
    assert first != Vocabulary([*SPECIAL_TOKENS, "船", "河"])
    assert first != Vocabulary([*SPECIAL_TOKENS, "河"])
    assert "河" in first and "海" not in first


@pytest.mark.parametrize("words, message", [
    (["河", ""], "word 5 is ''"),
    (["河 船"], "word 4 is '河 船'"),
    (["河", "<S>"], "'<S>' appears twice, as words 1 and 5"),
])
def test_words_in_memory_are_checked_too(words, message):
    with pytest.raises(InputError, match=message):
        Vocabulary([*SPECIAL_TOKENS, *words])


COUNTS = Counter({"河": 5, "A": 5, "z": 5, "船": 9, "<UNK>": 99, "<S>": 1, "海": 2, "雾": 1})


@pytest.mark.parametrize("limits, words", [
    ({}, "船 A z 河 海 雾"),
    ({"min_count": 2}, "船 A z 河 海"),
    ({"min_count": 6}, "船"),
    ({"max_size": 6}, "船 A z"),
    ({"max_size": 3}, ""),
    ({"max_size": 100, "min_count": 5}, "船 A z 河"),
])
def test_words_stand_by_falling_count_then_code_point(limits, words):
    vocabulary = Vocabulary.from_counts(COUNTS, **limits)
    assert vocabulary.words == (*SPECIAL_TOKENS, *words.split())


def test_sentences_become_rows_of_equal_length(vocabulary):
    rows, lengths = vocabulary.pad([["今天", "天气"], [], ["没有的词"]])
    assert rows.tolist() == [[3, 4], [1, 1], [2, 1]]
    assert lengths.tolist() == [2, 0, 1]
    assert vocabulary.pad([])[0].shape == (0, 0)


def test_the_vocabulary_of_a_model_is_found(vocabulary, tmp_path):
    folder = write(tmp_path / "m", random_model(vocab_size=len(vocabulary)), "bilm")
    with pytest.raises(InputError, match="has no vocab.txt"):
        Vocabulary.from_pretrained(folder)
    (folder / "vocab.txt").write_text(vocabulary.to_text(), encoding="utf-8")
    assert Vocabulary.from_pretrained(folder) == vocabulary
    with pytest.raises(InputError, match="no biLM there"):
        Vocabulary.from_pretrained(tmp_path / "nothing")


def test_pieces_of_unknown_words_are_their_known_characters():
    from bilm.text.vocabulary import MAX_PIECES

    vocabulary = Vocabulary(["<S>", "</S>", "<UNK>", "台", "市", "台北"])
    assert vocabulary.pieces("台北") == [5]
    assert vocabulary.pieces("台南市") == [3, 4]
    assert vocabulary.pieces("高雄") == [2]
    assert vocabulary.pieces("<UNK>") == [2]
    assert vocabulary.pieces("市" * 40) == [4] * MAX_PIECES
    rows, lengths = vocabulary.pad_pieces([["台南市", "台北"], ["台"], []])
    assert rows.tolist() == [[[3, 4], [5, -1]], [[3, -1], [1, -1]], [[1, -1], [1, -1]]]
    assert lengths.tolist() == [2, 1, 0]
