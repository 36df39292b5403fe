import gzip
import json
from collections import Counter

import pytest

from bilm.commands import vocab as vocab_command
from bilm.errors import InputError
from bilm.text.lines import open_bytes, read_lines
from bilm.text.shards import find_shards
from bilm.text.vocabulary import Vocabulary
from bilm.text.vocabulary_builder import build_vocabulary, count_words


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    write(folder / "sentence_file_00000", "海 很 蓝\n海 很 大\n")
    write(folder / "sentence_file_00001.gz", gzip.compress("<S> 海 </S> 山 <UNK>\n".encode()))
    write(folder / "segmentation.json", '{"not": "corpus"}')
    write(folder / ".sentence_file_00002", "不\n")
    write(folder / "notes.txt", "山 高\n")
    return folder


def names(shards):
    return [shard.name for shard in shards]


def test_a_folder_stands_for_its_sentence_files(corpus):
    assert names(find_shards([corpus])) == ["sentence_file_00000", "sentence_file_00001.gz"]


def test_globs_are_expanded_sorted_and_without_what_is_no_corpus(corpus):
    everything = ["notes.txt", "sentence_file_00000", "sentence_file_00001.gz"]
    assert names(find_shards([f"{corpus}/*"])) == everything
    assert names(find_shards([f"{corpus}/s*", f"{corpus}/*.txt", corpus])) == everything
    assert names(find_shards(f"{corpus.parent}/**/s*0")) == ["sentence_file_00000"]


def test_one_file_by_two_names_is_one_shard(corpus, monkeypatch):
    monkeypatch.chdir(corpus)
    assert len(find_shards(["notes.txt", "../corpus/notes.txt", str(corpus / "notes.txt")])) == 1


def test_a_name_with_glob_characters_is_that_file(tmp_path):
    write(tmp_path / "a1.txt", "错")
    assert names(find_shards([write(tmp_path / "a[1].txt", "对")])) == ["a[1].txt"]


@pytest.mark.parametrize("pattern", ["nothing*", "segmentation.json", ".sentence_file_00002", "."])
def test_a_pattern_without_corpus_files_is_named(corpus, pattern):
    for path in corpus.glob("sentence_file_*"):
        path.unlink()
    with pytest.raises(InputError, match="no corpus file matches '.*'; give a file") as error:
        find_shards([corpus / "notes.txt", corpus / pattern])
    assert str(corpus / pattern) in str(error.value)


def test_lines_come_with_progress_and_without_byte_order_mark(tmp_path):
    class Progress:
        moved = 0

        def update(self, num_bytes):
            self.moved += num_bytes

    for name, content in (("a", b"\xef\xbb\xbfx\ny"), ("b.gz", gzip.compress(b"x\ny"))):
        progress = Progress()
        with open_bytes(write(tmp_path / name, content)) as file:
            assert list(read_lines(file, progress)) == [b"x\n", b"y"]
        assert progress.moved == len(content)


def test_words_are_counted_without_special_tokens(corpus):
    expected = Counter({"海": 3, "很": 2, "蓝": 1, "大": 1, "山": 1})
    assert count_words(find_shards([corpus])) == expected


def test_words_are_separated_as_the_vocabulary_separates_them(tmp_path):
    line = "甲\t乙　丙 \x0b丁\u2003戊\u00a0己\r\n".encode()
    counts = count_words([write(tmp_path / "shard", line)])
    vocabulary = Vocabulary.from_counts(counts)
    assert set(counts) == {"甲", "乙　丙", "丁\u2003戊\u00a0己"}
    assert vocabulary.unk_id not in vocabulary.encode_line(line)


def test_the_file_holds_frequent_words_first(corpus, tmp_path):
    figures = build_vocabulary(f"{corpus}/s*", tmp_path / "new" / "vocab.txt", min_count=2)
    assert (tmp_path / "new" / "vocab.txt").read_text("utf-8") == "<S>\n</S>\n<UNK>\n海\n很\n"
    assert figures == {
        "tokens": 8,
        "types": 5,
        "vocabulary_size": 5,
        "coverage_percent": 100 * 5 / 8,
    }


def test_max_size_includes_the_special_tokens(corpus, tmp_path):
    figures = build_vocabulary([corpus], tmp_path / "vocab.txt", max_size=4)
    assert Vocabulary.load(tmp_path / "vocab.txt").words[3:] == ("海",)
    assert (figures["vocabulary_size"], figures["coverage_percent"]) == (4, 37.5)


def test_text_that_is_not_utf8_names_file_and_line_and_writes_nothing(tmp_path):
    shard = write(tmp_path / "shard", b"ok\n\xff\xfe\n")
    old = write(tmp_path / "vocab.txt", "old")
    with pytest.raises(InputError, match="shard, line 2: not UTF-8"):
        build_vocabulary([shard], old)
    assert old.read_text() == "old" and len(list(tmp_path.iterdir())) == 2


def test_a_damaged_gzip_file_is_named(tmp_path):
    shard = write(tmp_path / "shard.gz", gzip.compress("海 浪\n".encode() * 99)[:-12])
    with pytest.raises(InputError, match=r"shard\.gz: damaged gzip"):
        count_words([shard])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"min_count": 0}, "min_count must be at least 1"),
        ({"max_size": 3}, "max_size must be above 3"),
        ({"min_count": 4}, "no word occurs 4 times"),
    ],
)
def test_limits_that_leave_no_word_are_refused(corpus, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        build_vocabulary([corpus], tmp_path / "vocab.txt", **options)
    assert not (tmp_path / "vocab.txt").exists()


def test_a_corpus_without_words_is_refused(tmp_path):
    with pytest.raises(InputError, match="no words in .*shard"):
        build_vocabulary([write(tmp_path / "shard", "<S> </S>\n\n")], tmp_path / "vocab.txt")


def test_the_output_must_be_no_corpus_file_and_no_folder(corpus):
    with pytest.raises(InputError, match="is one of the corpus files"):
        build_vocabulary([f"{corpus}/*"], corpus / "notes.txt")
    assert (corpus / "notes.txt").read_text("utf-8") == "山 高\n"
    with pytest.raises(InputError, match="is a folder"):
        build_vocabulary([corpus], corpus)


def test_the_command_prints_a_line_each_or_json(corpus, tmp_path, capsys):
    arguments = [f"{corpus}/s*", "--output", str(tmp_path / "vocab.txt"), "--min_count", "2"]
    vocab_command.main(arguments)
    output = capsys.readouterr()
    assert output.out == "tokens 8\ntypes 5\nvocabulary size 5\ncoverage 62.50 %\n"
    assert output.err == ""
    vocab_command.main([*arguments, "--json", "-"])
    assert json.loads(capsys.readouterr().out)["coverage_percent"] == 62.5
