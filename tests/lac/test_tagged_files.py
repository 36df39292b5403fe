"""Tagged text: both line formats, and every malformed line by its place."""

import gzip

import pytest

from bilm.errors import InputError
from lac.tagged_files import TaggedSentence, load_tags, parse_line, read_tagged, to_line

pytestmark = pytest.mark.smoke


def write(path, text):
    path.write_bytes(text.encode("utf-8"))
    return path


def test_both_formats_in_one_file(tmp_path):
    path = write(tmp_path / "a.tsv", "小林 来 了\tnr-B v-B u-B\r\n\n去/v-B 三/m-B 1/2/m-B\n")
    corpus = read_tagged(path)
    assert corpus.sentences == [
        TaggedSentence(["小林", "来", "了"], ["nr-B", "v-B", "u-B"]),
        TaggedSentence(["去", "三", "1/2"], ["v-B", "m-B", "m-B"]),
    ]
    assert corpus.scheme.name == "suffix"
    assert corpus.tags == ["m-B", "nr-B", "u-B", "v-B"]
    assert parse_line(to_line(corpus.sentences[0])) == corpus.sentences[0]


def test_folders_globs_and_gzip(tmp_path):
    write(tmp_path / "a.tsv", "来\tv\n")
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress("去\tv\n".encode()))
    words = [[*sentence.tokens] for sentence in read_tagged(tmp_path).sentences]
    assert words == [["来"], ["去"]]
    assert len(read_tagged(f"{tmp_path}/*.tsv").sentences) == 1


def test_an_ideographic_space_is_part_of_a_word():
    assert parse_line("a\u3000b\tn").tokens == ["a\u3000b"]


def test_all_malformed_lines_are_listed(tmp_path):
    path = write(tmp_path / "a.tsv", "来 了\tv\n好\ta-B\n去\tv\tx\n走/v 吧\n/n\n好 走\ta-B v-I\n")
    with open(path, "ab") as file:
        file.write(b"\xff\tv\n")
    with pytest.raises(InputError) as error:
        read_tagged(path)
    message = str(error.value)
    assert "a.tsv, line 1: 2 words and 1 tags" in message
    assert "a.tsv, line 3: expected one tab, between words and tags, found 2" in message
    assert "a.tsv, line 4: expected words, a tab and tags, or word/tag; item 2 is '吧'" in message
    assert "a.tsv, line 5:" in message
    assert "a.tsv, line 6: tag 2, v-I, cannot stand after a-B" in message
    assert "a.tsv, line 7: not UTF-8" in message
    assert "line 2" not in message


@pytest.mark.parametrize("line, told", [
    ("小 林\tns-B nr-I", "line 2: tag 2, nr-I, cannot stand after ns-B"),
    ("林\tnr-I", "line 2: tag 1, nr-I, cannot stand at the start"),
])
def test_a_continuation_of_nothing_is_told(tmp_path, line, told):
    path = write(tmp_path / "a.tsv", f"陈 晨\tnr-B nr-I\n{line}\n")
    with pytest.raises(InputError, match=told):
        read_tagged(path)


def test_an_open_span_at_the_end_is_told_in_bioes(tmp_path):
    path = write(tmp_path / "a.tsv", "陈 晨\tB-nr E-nr\n好\tB-nr\n")
    with pytest.raises(InputError, match="line 2: the sentence's end cannot stand after B-nr"):
        read_tagged(path)


def test_another_encoding_is_told_with_its_line(tmp_path):
    (tmp_path / "a.tsv").write_bytes("好\ta\n".encode() + "好\ta\n".encode("gb18030"))
    with pytest.raises(InputError, match="a.tsv, line 2: not UTF-8"):
        read_tagged(tmp_path / "a.tsv")


def test_nothing_there(tmp_path):
    write(tmp_path / "a.tsv", "\n\n")
    with pytest.raises(InputError, match="no tagged sentence there"):
        read_tagged(tmp_path / "a.tsv")
    with pytest.raises(InputError, match="no such file"):
        read_tagged(tmp_path / "b.tsv")


def test_tag_files_with_and_without_numbers(tmp_path):
    assert load_tags(write(tmp_path / "t", "n-B\nn-I\n")) == ["n-B", "n-I"]
    assert load_tags(write(tmp_path / "t", "0\tn-B\n1\tn-I\n")) == ["n-B", "n-I"]


@pytest.mark.parametrize("text, told", [
    ("n\nv\nn\n", "line 3: n stands there twice"),
    ("0\tn\n2\tv\n", "line 2: expected a tag, or 1, a tab and a tag"),
    ("", "no tags there"),
])
def test_damaged_tag_files_are_told(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        load_tags(write(tmp_path / "t", text))


def test_of_many_problems_the_first_are_told(tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("春天 来了\n" * 40, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_tagged(path)
    assert str(error.value).endswith("; and 30 more") and "line 10:" in str(error.value)
