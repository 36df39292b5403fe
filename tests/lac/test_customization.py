"""User dictionaries: what they hold and where their entries stand in a text."""

import io
import time

import pytest

from bilm.errors import InputError
from lac.customization import Customization

pytestmark = pytest.mark.smoke


def found(entries, text):
    return [
        (text[start:end], [tuple(word) for word in words])
        for start, end, words in Customization(entries).find(text)
    ]


def test_entries_with_and_without_tags():
    assert found(["春天/t", "花 开", "云栖 小镇/ns"], "春天花开在云栖小镇") == [
        ("春天", [("春天", "t")]),
        ("花开", [("花", None), ("开", None)]),
        ("云栖小镇", [("云栖", None), ("小镇", "ns")]),
    ]


def test_the_longest_of_those_that_start_first_wins():
    entries = ["北京/ns", "北京大学/nt", "大学生/n", "学", "京大学生院"]
    assert [text for text, _ in found(entries, "北京大学生院的学生")] == ["北京大学", "学"]


def test_an_entry_at_the_end_and_beyond_it():
    assert [text for text, _ in found(["天安门", "天安门广场"], "去天安门")] == ["天安门"]
    assert found(["天安门广场"], "去天安门") == []


def test_entries_of_one_character():
    assert [text for text, _ in found(["我/r", "我们"], "我和我们和我")] == ["我", "我们", "我"]


def test_slashes_and_spaces_inside():
    assert found(["TCP/IP/nz"], "用TCP/IP网") == [("TCP/IP", [("TCP/IP", "nz")])]
    assert Customization(["", "  ", "a/n"]).to_text() == "a/n\n"


def test_the_last_of_equal_entries_counts():
    assert found(["山/n", "山/ns"], "山") == [("山", [("山", "ns")])]


def test_files_open_files_and_lists_are_the_same(tmp_path):
    text = "春天/t\n花 开\n"
    (tmp_path / "d.txt").write_text(text, encoding="utf-8")
    for source in (tmp_path / "d.txt", str(tmp_path / "d.txt"), io.StringIO(text),
                   io.BytesIO(text.encode()), text.split("\n")):
        assert Customization.load(source).to_text() == text


def test_a_byte_order_mark_is_no_part_of_an_entry():
    for source in (io.StringIO("\ufeff山/n\n"), io.BytesIO(b"\xef\xbb\xbf\xe5\xb1\xb1/n\n")):
        assert Customization.load(source).to_text() == "山/n\n"


def test_what_is_no_dictionary_is_told():
    with pytest.raises(InputError, match="a file or a list of entries, not int"):
        Customization.load(5)
    with pytest.raises(InputError, match="customization, line 1: not UTF-8"):
        Customization.load(io.BytesIO(b"\xff\n"))
    with pytest.raises(InputError, match="not UTF-8"):
        Customization.load(io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8"))


@pytest.mark.parametrize("entries, told", [
    (["好/a", "/n", "花/n 开/"], "customization, line 2: .*'/n'; customization, line 3: .*'开/'"),
])
def test_malformed_entries_are_listed(entries, told):
    with pytest.raises(InputError, match=told):
        Customization(entries)


def test_what_is_no_text_is_told(tmp_path):
    with pytest.raises(InputError, match="entry 2 must be a string, not 5"):
        Customization(["a", 5])
    (tmp_path / "d.txt").write_bytes("好\n".encode() + b"\xff\n")
    with pytest.raises(InputError, match="d.txt, line 2: not UTF-8"):
        Customization.load(tmp_path / "d.txt")


def test_a_large_dictionary_does_not_take_quadratic_time():
    entries = [f"{chr(0x4E00 + number % 5000)}{chr(0x4E00 + number // 5000)}词{number}/n"
               for number in range(100_000)]
    start = time.process_time()
    customization = Customization(entries)
    assert time.process_time() - start < 60  # about 1; if each looked at all others, an hour
    assert len(customization) == 100_000
    assert [text for text, _ in found(entries[:5], entries[3][:-2])] == [entries[3][:-2]]
