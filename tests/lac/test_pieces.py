"""From text and from tagged words to pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilm.errors import InputError
from bilm.text.segmenters import SegmentationOptions
from lac.analysis import words_of
from lac.lookup import places_in_words
from lac.pieces import Pieces, piece_scheme, piece_tags
from lac.tag_schemes import TagScheme
from lac.tagged_files import TaggedSentence

SUFFIX = TagScheme("suffix")
TEXTS = st.text(st.sampled_from("春天花开了 \u3000\t,。12.5abＡ１é😀\u0301\ud800"), max_size=30)


def dictionary_of(folder):
    path = folder / "words.txt"
    path.write_text("春天 5\n花开 7\n天花 1\n", encoding="utf-8")
    return SegmentationOptions("dictionary", dictionary=str(path))


@pytest.fixture(scope="module", params=["words", "characters", "split", "dictionary"])
def pieces(request, tmp_path_factory):
    if request.param == "dictionary":
        return Pieces(dictionary_of(tmp_path_factory.mktemp("d")), lambda piece: piece != "花开")
    return Pieces({
        "words": SegmentationOptions(), "characters": SegmentationOptions("characters"),
        "split": SegmentationOptions("characters", split_latin=True),
    }[request.param])


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_pieces_are_the_text(pieces, text):
    cut = pieces.cut(text)
    assert "".join(cut) == text
    assert all(cut)


def test_runs_of_letters_and_digits():
    text = "用iPhone5，３Ｄ打café"
    assert Pieces(SegmentationOptions("characters")).cut(text) == [
        "用", "iPhone5", "，", "３Ｄ", "打", "café"]
    assert Pieces(SegmentationOptions("characters", split_latin=True)).cut(text) == list(text)


def test_unknown_pieces_of_a_dictionary_are_split(tmp_path):
    options = dictionary_of(tmp_path)
    assert Pieces(options).cut("春天花开") == ["春天", "花开"]
    assert Pieces(options, {"花开"}.__contains__).cut("春天花开") == ["春", "天", "花开"]


@pytest.mark.parametrize("name", ["suffix", "prefix", "suffix-bioes", "prefix-bioes"])
@settings(max_examples=100, deadline=None)
@given(words=st.lists(st.tuples(st.text("春天花开", min_size=1, max_size=4),
                                st.sampled_from(["n", "nr", "v"])), min_size=1, max_size=6))
def test_tags_of_characters_give_the_words_back(name, words):
    scheme = TagScheme(name)
    tokens = [word for word, _ in words]
    tags = [tag for _, kind in words for tag in scheme.encode(kind, 1)]
    encoded = Pieces(SegmentationOptions("characters")).encode(
        TaggedSentence(tokens, tags), scheme, scheme)
    assert encoded.lost == 0
    assert words_of(*encoded.sentence, scheme) == (tokens, [kind for _, kind in words])


def test_spans_of_several_words_become_one_word():
    sentence = TaggedSentence(["陈", "晓岚", "来"], ["nr-B", "nr-I", "v-B"])
    encoded = Pieces(SegmentationOptions("characters")).encode(sentence, SUFFIX, SUFFIX)
    assert encoded.sentence == TaggedSentence(
        list("陈晓岚来"), ["nr-B", "nr-I", "nr-I", "v-B"])


@pytest.mark.parametrize("name, tags, expected", [
    ("bare", ["n", "O"], ["n-B", "n-I", "O-B", "O-I"]),
    ("mixed", ["n", "O"], ["n-B", "n-I", "O-B", "O-I"]),
    ("prefix", ["B-n", "O"], ["B-n", "I-n", "B-O", "I-O"]),
    ("suffix-bioes", ["n-S", "O"], ["n-B", "n-E", "O-B", "O-E"]),
])
def test_every_scheme_gets_marks(name, tags, expected):
    scheme = TagScheme(name)
    target = piece_scheme(scheme, "characters")
    encoded = Pieces(SegmentationOptions("characters")).encode(
        TaggedSentence(["春天", "花开"], tags), scheme, target)
    assert encoded.sentence.tags == expected
    assert words_of(*encoded.sentence, target) == (["春天", "花开"], ["n", "O"])
    assert set(expected) <= set(piece_tags(tags, scheme, target))
    assert piece_scheme(scheme, "words") is scheme


def test_words_that_no_pieces_give_are_counted(tmp_path):
    sentence = TaggedSentence(["春", "天花", "iPhone", "5", "开"], ["n-B"] * 5)
    encoded = Pieces(SegmentationOptions("characters")).encode(sentence, SUFFIX, SUFFIX)
    assert encoded.sentence == TaggedSentence(
        ["春", "天", "花", "iPhone5", "开"], ["n-B", "n-B", "n-I", "n-B", "n-B"])
    assert encoded.lost == 2  # iPhone and 5
    across = Pieces(dictionary_of(tmp_path)).encode(
        TaggedSentence(["春", "天花"], ["n-B", "v-B"]), SUFFIX, SUFFIX)
    assert across.sentence == TaggedSentence(["春天", "花"], ["n-B", "v-B"])
    assert across.lost == 2


def test_white_space_is_no_piece_of_training():
    sentence = TaggedSentence(["春", "\u3000", "天\u3000花"], ["n-B", "w-B", "v-B"])
    encoded = Pieces(SegmentationOptions("characters")).encode(sentence, SUFFIX, SUFFIX)
    assert encoded.sentence == TaggedSentence(["春", "天", "花"], ["n-B", "v-B", "v-I"])


def test_places_in_words():
    assert places_in_words(list("春天花开了"), ["春天", "花", "开了"]) == [
        (0, 1), (0, 2), (1, 3), (2, 1), (2, 2)]
    assert places_in_words(["春", "天花"], ["春天花开"]) == [(0, 1), (0, 0)]
    assert places_in_words(["天花", "开"], ["天", "花开"]) == [(0, 3), (1, 2)]


def test_segmenters_are_checked():
    for options, message in (
        ({"segmenter": "dictionary"}, "go together"),
        ({"dictionary": "x"}, "go together"),
        ({"split_latin": True}, "--split_latin goes with"),
    ):
        with pytest.raises(InputError, match=message):
            SegmentationOptions(**options)
