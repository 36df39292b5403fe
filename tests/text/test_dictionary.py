"""Cutting along the most probable path, against all paths."""

from itertools import product
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilm.errors import InputError
from bilm.text.dictionary import Dictionary

COUNTS = {"春": 2, "春天": 5, "天": 4, "天天": 3, "天天天": 1, "a": 9, "ab": 2, "花开": 7}


def all_cuts(text):
    for borders in product((False, True), repeat=max(0, len(text) - 1)):
        places = [0, *(place for place, is_border in enumerate(borders, start=1) if is_border),
                  len(text)]
        yield [text[start:end] for start, end in zip(places, places[1:])] if text else []


def score(pieces, counts, weights):
    """Return the logarithm of a path's probability; None if a piece is no word."""
    total = log(sum(counts.values()))
    if any(len(piece) > 1 and piece not in counts for piece in pieces):
        return None
    weight = {piece: counts.get(piece, 1) if weights == "counts" else len(piece)
              for piece in pieces}
    return sum(log(weight[piece]) - total for piece in pieces)


@pytest.mark.parametrize("weights", ["counts", "lengths"])
@given(text=st.text("春天花开蓝", max_size=9))
def test_the_path_is_the_best_of_all(weights, text):
    scores = {tuple(cut): score(cut, COUNTS, weights) for cut in all_cuts(text)}
    best = max(value for value in scores.values() if value is not None)
    pieces = Dictionary(COUNTS, weights).cut(text)
    assert "".join(pieces) == text
    assert scores[tuple(pieces)] == pytest.approx(best, abs=1e-9)


@given(st.text(max_size=40))
def test_pieces_are_the_text(text):
    assert "".join(Dictionary(COUNTS).cut(text)) == text


def test_single_letters_and_digits_become_one_piece():
    assert Dictionary({"ab": 50}).cut("x9yab8春z") == ["x9y", "ab", "8", "春", "z"]


def test_of_equal_paths_the_longer_first_piece_wins():
    assert Dictionary({"花开": 3, "开了": 3, "花": 1}).cut("花开了") == ["花开", "了"]


def test_files(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("春天 5 t\n\n花开 7\n", encoding="utf-8")
    dictionary = Dictionary.load(path)
    assert dictionary.counts == {"春天": 5, "花开": 7}
    path.write_text("春天 5\n花开 7\n春天 4\n", encoding="utf-8")
    assert Dictionary.load(path).counts == {"春天": 9, "花开": 7}
    path.write_text(dictionary.to_text(), encoding="utf-8")
    assert Dictionary.load(path).counts == dictionary.counts


@pytest.mark.parametrize("text, message", [
    ("", "no words there"),
    ("春天\n", "line 1: expected a word and its count, at least 1 and of at most 15 digits, found "
             "'春天'"),
    ("花开 2\n春天 0\n", "line 2: expected a word and its count"),
    ("春天 x\n", "line 1: expected"),
    ("春天 ５\n", "line 1: expected"),
    (f"春天 {'9' * 5000}\n", "line 1: expected a word and its count, at least 1 and of at most 15"),
])
def test_malformed_files_are_told(tmp_path, text, message):
    path = tmp_path / "words.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        Dictionary.load(path)


def test_wrong_arguments_are_told():
    with pytest.raises(InputError, match="weights must be one of counts, lengths, not 'x'"):
        Dictionary(COUNTS, "x")
    with pytest.raises(InputError, match="at least one word"):
        Dictionary({})
