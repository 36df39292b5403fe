import gzip
import hashlib
import io
import json
import sys
from pathlib import Path

import pytest

from bilm.commands import segment as segment_command
from bilm.errors import InputError
from bilm.text import sentences
from bilm.text.segment_files import (
    SegmentationOptions,
    load_segmentation,
    load_segmenter,
    segment_files,
    segment_sentence,
    segmentation_differences,
)
from bilm.text.sentences import split_sentences

SPACE = SegmentationOptions(segmenter="space")
SPACE_LINES = SegmentationOptions(segmenter="space", split_newlines=True)


def split(text, **options):
    return list(split_sentences(io.StringIO(text), **options))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def shards_in(folder):
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("sentence_file_*"))}


def segmented(tmp_path, text, options=SPACE_LINES, **settings):
    segment_files([write(tmp_path / "raw.txt", text)], tmp_path / "out", options, **settings)
    return "".join(shards_in(tmp_path / "out").values())


@pytest.mark.parametrize(
    "text, expected",
    [
        ("下雨了。我们回家。", ["下雨了。", "我们回家。"]),
        ("她说：“走吧！”然后关了门。", ["她说：“走吧！”", "然后关了门。"]),
        ("“他问：『谁在那里？』”没有人回答。", ["“他问：『谁在那里？』”", "没有人回答。"]),
        ("（见《海的故事》。）【完。】下一章", ["（见《海的故事》。）", "【完。】", "下一章"]),
        ('他喊"快跑！"大家就跑。', ['他喊"快跑！"', "大家就跑。"]),
        ("(真的吗？)对。", ["(真的吗？)", "对。"]),
        ("“好。”。继续", ["“好。”。", "继续"]),
        ("什么？！！不会吧。", ["什么？！！", "不会吧。"]),
        ("没有句号的标题", ["没有句号的标题"]),
        ("Is it 3.5? Yes! 对。", ["Is it 3.5? Yes! 对。"]),
        ("一；二；三。", ["一；二；三。"]),
        ("", []),
        (" 　\n\t\n", []),
    ],
)
def test_a_sentence_ends_after_its_marks_and_closing_quotes(text, expected):
    assert split(text) == expected


def test_semicolons_end_sentences_when_asked():
    assert split("一；二；”三。", split_semicolons=True) == ["一；", "二；”", "三。"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("海边的\n房子很\n旧。", ["海边的房子很旧。"]),
        ("他在读，\n她在写。", ["他在读，她在写。"]),
        ("a model\nof text", ["a model of text"]),
        ("用 Python\n写的", ["用 Python 写的"]),
        ("标题\n\n正文", ["标题", "正文"]),
        ("标题\n　 \n正文", ["标题", "正文"]),
        ("　　段落一\r\n还是它\r\n\r\n段落二\r\n", ["段落一还是它", "段落二"]),
        ("“走吧。\n”他笑了。", ["“走吧。”", "他笑了。"]),
        ("怎么？\n！\n好", ["怎么？！", "好"]),
        ('他来了。\n"你好"', ["他来了。", '"你好"']),
    ],
)
def test_wrapped_lines_are_joined(text, expected):
    assert split(text) == expected


def test_every_newline_ends_a_sentence_when_asked():
    assert split("一行\n二行。\n”三行\n", split_newlines=True) == ["一行", "二行。", "”三行"]


def test_separated_words_stay_separated_where_lines_are_joined():
    assert split("今天 天气\n很 好 。 ”\n走", spaced=True) == ["今天 天气 很 好 。 ”", "走"]


def test_an_endless_sentence_ends_with_a_line(monkeypatch):
    monkeypatch.setattr(sentences, "MAX_SENTENCE_CHARACTERS", 5)
    assert split("一二三\n四五六\n七") == ["一二三四五六", "七"]


def test_a_million_characters_in_one_line_stay_one_sentence(tmp_path):
    text = "海 浪" * 333_333 + " 声"
    assert segmented(tmp_path, text, SPACE) == text + "\n"


def test_a_line_beyond_the_limit_is_read_in_parts_without_losing_characters(monkeypatch, tmp_path):
    monkeypatch.setattr(sentences, "_MAX_LINE_BYTES", 7)  # no multiple of the 3 bytes of each
    name = write(tmp_path / "raw.txt", "山川湖海日月星辰")
    assert list(sentences.read_sentences([name])) == ["山川湖海日月星辰"]


def test_jieba_gets_long_sentences_in_pieces_that_end_between_words(monkeypatch):
    jieba = pytest.importorskip("jieba")
    cut, lengths = jieba.Tokenizer.cut, []

    def recorded(tokenizer, text, **options):
        lengths.append(len(text))
        return cut(tokenizer, text, **options)

    monkeypatch.setattr(jieba.Tokenizer, "cut", recorded)
    words = segment_sentence("龘" * 5_000 + "，我们" * 2_000, load_segmenter(SegmentationOptions()))
    assert words == ["龘"] * 5_000 + ["，", "我们"] * 2_000
    assert max(lengths) <= 2_000  # jieba's time grows with the square


def test_one_and_two_workers_write_the_same_in_order(monkeypatch, tmp_path):
    monkeypatch.setattr("bilm.text.segment_files._BLOCK_CHARACTERS", 50)
    raw = write(tmp_path / "raw.txt", "".join(f"第{i}天我们去看海。" for i in range(100)))
    counts = [
        segment_files([raw], tmp_path / str(workers), workers=workers, lines_per_shard=30)
        for workers in (1, 2)
    ]
    one, two = shards_in(tmp_path / "1"), shards_in(tmp_path / "2")
    assert one == two and counts[0] == counts[1]
    lines = "".join(one.values()).splitlines()
    assert [line.replace(" ", "") for line in lines] == [f"第{i}天我们去看海。" for i in range(100)]
    assert lines[7].endswith("天 我们 去 看海 。")


def test_shards_hold_the_asked_number_of_lines(tmp_path):
    segmented(tmp_path, "一\n二\n三\n四\n五\n", lines_per_shard=2)
    assert shards_in(tmp_path / "out") == {
        "sentence_file_00000": "一\n二\n",
        "sentence_file_00001": "三\n四\n",
        "sentence_file_00002": "五\n",
    }
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_separated_text_comes_back_as_it_was(tmp_path):
    text = "我 爱 北京 。\nＡＢＣ x-1 “ 好 ”\n一句 没有 句号\n"
    assert segmented(tmp_path, text) == text


def test_separated_text_keeps_its_words_over_line_ends(tmp_path):
    assert segmented(tmp_path, "我 爱\n北京 。", SPACE) == "我 爱 北京 。\n"


def test_white_space_of_any_kind_separates_words_and_empty_sentences_vanish(tmp_path):
    assert segmented(tmp_path, "甲\t乙　丙\u2003丁\u00a0戊\n　\n\x85\n己") == "甲 乙 丙 丁 戊\n己\n"


def test_words_that_read_like_special_tokens_become_harmless(tmp_path):
    text = "<S> 开始 </S> <UNK> <s>\n"
    assert segmented(tmp_path, text) == "＜S＞ 开始 ＜/S＞ ＜UNK＞ <s>\n"
    assert load_segmentation(tmp_path / "out")["counts"]["special_tokens"] == 3


def test_normalization_comes_after_splitting_and_before_special_tokens(tmp_path):
    options = SegmentationOptions(segmenter="space", normalize="nfkc")
    text = segmented(tmp_path, "ＡＢＣ？１２３！＜S＞", options)
    assert text == "ABC?\n123!\n＜S＞\n"


def test_jieba_words_are_never_white_space(tmp_path):
    text = segmented(tmp_path, "我们 去　看海。\t他们 OK", SegmentationOptions())
    assert text == "我们 去 看海 。\n他们 OK\n"


def test_without_hmm_unknown_names_fall_apart():
    text = "他来到了网易杭研大厦"
    assert "杭研" in segment_sentence(text, load_segmenter(SegmentationOptions()))
    assert "杭研" not in segment_sentence(text, load_segmenter(SegmentationOptions(hmm=False)))


def test_words_told_to_jieba_itself_have_no_effect():
    jieba = pytest.importorskip("jieba")
    jieba.finalseg.add_force_split("杭研")
    assert "杭研" in segment_sentence("网易杭研大厦", load_segmenter(SegmentationOptions()))


def test_a_user_dictionary_changes_words_and_checksum(tmp_path):
    words = write(tmp_path / "words.txt", "小鹿灯塔 100 n\n")
    options = SegmentationOptions(user_dict=str(words))
    raw = write(tmp_path / "raw.txt", "他在小鹿灯塔下读书。")
    segment_files([raw], tmp_path / "with", options)
    segment_files([raw], tmp_path / "without")
    assert "小鹿灯塔" in shards_in(tmp_path / "with")["sentence_file_00000"].split()
    assert "小鹿灯塔" not in shards_in(tmp_path / "without")["sentence_file_00000"].split()
    digests = [load_segmentation(tmp_path / name) for name in ("with", "without")]
    assert digests[0]["user_dictionary_sha256"] == hashlib.sha256(words.read_bytes()).hexdigest()
    assert digests[1]["user_dictionary_sha256"] is None
    assert digests[0]["dictionary_sha256"] == digests[1]["dictionary_sha256"]


@pytest.mark.parametrize(
    "content, message",
    [(b"\xb5\xc6 3\n", "words.txt, line 1: not UTF-8"), ("灯\n塔\t3\n", "line 2: found a tab")],
)
def test_a_bad_user_dictionary_is_refused(tmp_path, content, message):
    words = write(tmp_path / "words.txt", content)
    with pytest.raises(InputError, match=message):
        segmented(tmp_path, "灯塔。", SegmentationOptions(user_dict=str(words)))


def test_rjieba_gives_words_too(tmp_path):
    pytest.importorskip("rjieba")
    text = segmented(tmp_path, "我们去看海。", SegmentationOptions(segmenter="rjieba"))
    assert text.split()[0] == "我们" and text.replace(" ", "") == "我们去看海。\n"


def test_a_segmenter_that_is_not_installed_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(InputError, match="pip install rjieba"):
        segmented(tmp_path, "海。", SegmentationOptions(segmenter="rjieba"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"segmenter": "rjieba", "user_dict": "words.txt"}, "jieba only"),
        ({"segmenter": "spaces"}, "segmenter must be one of jieba, rjieba, space"),
        ({"normalize": "nfc"}, "normalize must be one of none, nfkc"),
        ({"dictionary_weights": "lengths"}, "--dictionary_weights goes with --segmenter"),
        ({"segmenter": "characters", "hmm": False}, "--no_hmm goes with --segmenter jieba or"),
        ({"segmenter": "dictionary", "dictionary": "jieba", "hmm": False}, "--no_hmm goes with"),
        ({"segmenter": "characters", "split_latin": "false"}, "split_latin must be true or false"),
        ({"hmm": 1}, "hmm must be true or false, not 1"),
        ({"segmenter": None}, "segmenter must be a string, not None"),
        ({"user_dict": 7}, "user_dict must be a string, not 7"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        SegmentationOptions(**options)


def test_files_gzip_folders_and_stdin_are_read_in_order(monkeypatch, tmp_path):
    folder = tmp_path / "folder"
    write(folder / "b" / "2.txt", "三")
    write(folder / "a.txt.gz", gzip.compress("一\n二".encode()))
    write(folder / ".hidden.txt", "不")
    write(folder / ".git" / "x.txt", "不")
    single = write(tmp_path / "single.txt", "四。")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("五\n".encode())))
    counts = segment_files([folder, single, "-", single], tmp_path / "out", SPACE_LINES)
    assert shards_in(tmp_path / "out") == {"sentence_file_00000": "一\n二\n三\n四。\n五\n"}
    assert counts["files"] == 4


def test_byte_order_mark_and_carriage_returns_vanish(tmp_path):
    assert segmented(tmp_path, b"\xef\xbb\xbf" + "甲 乙\r\n丙\r\n".encode()) == "甲 乙\n丙\n"


@pytest.mark.parametrize("content", [b"ok\nok\n\xb0\xa1\n", "好\n好\n好".encode()[:-1]])
def test_text_that_is_not_utf8_names_file_and_line(tmp_path, content):
    with pytest.raises(InputError, match=r"raw\.txt, line 3: not UTF-8.*iconv"):
        segmented(tmp_path, content)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress("海。".encode() * 99)[:-12]],
                         ids=["no gzip", "cut"])
def test_a_damaged_gzip_file_is_named(tmp_path, content):
    raw = write(tmp_path / "raw.txt.gz", content)
    with pytest.raises(InputError, match=r"raw\.txt\.gz: damaged gzip"):
        segment_files([raw], tmp_path / "out", SPACE)


def test_missing_and_empty_input_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder: .*nowhere"):
        segment_files([tmp_path / "nowhere"], tmp_path / "out", SPACE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no files in the folder .*empty"):
        segment_files([tmp_path / "empty"], tmp_path / "out", SPACE)
    with pytest.raises(InputError, match="no words"):
        segmented(tmp_path, "\n 　\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["sentence_file_00007", "segmentation.json"])
def test_an_output_folder_with_shards_is_refused_and_untouched(tmp_path, name):
    old = write(tmp_path / "out" / name, "old")
    with pytest.raises(InputError, match="holds a segmented corpus already; remove"):
        segmented(tmp_path, "海。")
    assert [path.name for path in old.parent.iterdir()] == [name] and old.read_text() == "old"


def test_an_interrupted_run_leaves_nothing(monkeypatch, tmp_path):
    def interrupted(sentence, *_):
        if sentence == "三":
            raise KeyboardInterrupt
        return [sentence]

    monkeypatch.setattr("bilm.text.segment_files._BLOCK_CHARACTERS", 1)
    monkeypatch.setattr("bilm.text.segment_files.segment_sentence", interrupted)
    (tmp_path / "out").mkdir()
    note = write(tmp_path / "out" / "note.txt", "stays")
    with pytest.raises(KeyboardInterrupt):
        segmented(tmp_path, "一\n二\n三\n四\n", lines_per_shard=1)
    assert list((tmp_path / "out").iterdir()) == [note]


def test_a_run_interrupted_while_files_move_leaves_nothing(monkeypatch, tmp_path):
    rename = Path.rename

    def interrupted(path, target):
        if path.name == "segmentation.json":
            assert (tmp_path / "deep" / "out" / "sentence_file_00000").exists()
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    raw = write(tmp_path / "raw.txt", "海。")
    with pytest.raises(KeyboardInterrupt):
        segment_files([raw], tmp_path / "deep" / "out", SPACE)
    assert list(tmp_path.iterdir()) == [raw]


def test_what_a_killed_run_left_is_removed(tmp_path):
    write(tmp_path / "out" / ".tmp-.segmented-1" / "sentence_file_00000", "旧")
    segmented(tmp_path, "海。")
    assert not list((tmp_path / "out").glob(".*"))


def test_the_record_tells_how_the_text_was_segmented(tmp_path):
    options = SegmentationOptions(segmenter="space", normalize="nfkc", split_semicolons=True)
    segmented(tmp_path, "我们 看；海。\n\n山", options, lines_per_shard=2)
    assert load_segmentation(tmp_path / "out") == {
        "segmenter": "space",
        "version": None,
        "dictionary_sha256": None,
        "user_dictionary_sha256": None,
        "options": {
            "hmm": None,
            "normalize": "nfkc",
            "split_semicolons": True,
            "split_newlines": False,
        },
        "counts": {
            "files": 1,
            "sentences": 3,
            "words": 4,
            "characters": 7,
            "shards": 2,
            "special_tokens": 0,
        },
    }


def test_a_folder_without_a_record_gives_none_and_a_broken_record_an_error(tmp_path):
    assert load_segmentation(tmp_path) is None
    write(tmp_path / "segmentation.json", "{")
    with pytest.raises(InputError, match="segmentation.json: not JSON"):
        load_segmentation(tmp_path)


def test_differences_name_the_key_and_both_values():
    first = SegmentationOptions(segmenter="space").describe()
    second = {**first, "version": "2.0", "options": {**first["options"], "normalize": "nfkc"}}
    assert segmentation_differences({**first, "counts": {"words": 1}}, first) == []
    assert segmentation_differences(first, second) == [
        'options.normalize: "none" and "nfkc"',
        'version: null and "2.0"',
    ]


@pytest.mark.parametrize("name", ["lines_per_shard", "workers"])
def test_sizes_below_one_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"{name} must be at least 1, not 0"):
        segmented(tmp_path, "海。", **{name: 0})


def test_the_command_prints_a_summary_or_json(tmp_path, capsys):
    raw = str(write(tmp_path / "raw.txt", "我们 看 海 。\n他们 不 看"))
    common = [raw, "--segmenter", "space", "--workers", "1", "--split_newlines", "--output"]
    segment_command.main([*common, str(tmp_path / "a")])
    output = capsys.readouterr()
    assert output.out.startswith("2 sentences, 7 words, 9 characters, 1 shards, ")
    assert output.err == ""
    segment_command.main([*common, str(tmp_path / "b"), "--json", "-"])
    counts = json.loads(capsys.readouterr().out)
    assert counts == load_segmentation(tmp_path / "b")["counts"]
    assert (counts["sentences"], counts["words"]) == (2, 7)
