"""The folders of Baidu's LAC, read; and their words as a vocabulary."""

import numpy as np
import pytest

from bilm import InputError
from bilm.text.vocabulary import Vocabulary
from lac.baidu import read_baidu_folder
from lac.width import WholeWordFolder, load_table, to_text
from tests.reference import baidu_lac


@pytest.fixture
def package(tmp_path):
    return baidu_lac.write_package(tmp_path)


def change(folder, name, text, mode="w"):
    with open(folder / "conf" / name, mode, encoding="utf-8") as file:
        file.write(text)
    return folder


@pytest.mark.parametrize("mode", baidu_lac.MODES)
def test_a_folder_says_what_stands_in_its_files(package, mode):
    folder = read_baidu_folder(package / f"{mode}_model")
    words = baidu_lac.words_of(mode)
    assert (folder.mode, folder.words, folder.folds) == (mode, words, baidu_lac.FOLDS)
    assert folder.model == package / f"{mode}_model/model"
    assert folder.unknown_id == len(words) - 1
    assert folder.dictionary == (None if mode == "seg" else baidu_lac.DICTIONARY)
    shown = {"lac": ["n-B", "n-I", "PER-B", "PER-I", "v-B", "v-I", "w-B", "O"],
             "seg": ["-B", "-I", "-E", "-S"]}
    assert folder.tags == shown["seg" if mode == "seg" else "lac"]


def test_seg_needs_no_dictionary_and_lac_does(package):
    for mode in ("seg", "lac"):
        (package / f"{mode}_model/conf/small_seg.dic").unlink()
    read_baidu_folder(package / "seg_model")
    with pytest.raises(InputError, match="no folder of Baidu's LAC 2: it has no conf/small_seg"):
        read_baidu_folder(package / "lac_model")


def lac_id(folder, piece):
    """Return the row that LAC looks up, from the files."""
    lines = (folder.path / "conf/word.dic").read_text(encoding="utf-8").split("\n")[:-1]
    ids = {word: int(number) for number, word in (line.split("\t") for line in lines)}
    return ids.get(baidu_lac.FOLDS.get(piece, piece), ids["OOV"])


@pytest.mark.parametrize("mode", baidu_lac.MODES)
def test_pieces_get_the_rows_of_lac(package, tmp_path, mode):
    path = change(package / f"{mode}_model", "word.dic", "40\t天\n42\t花\n", "a")
    folder, num_rows = read_baidu_folder(path), 50
    vocabulary, widths = folder.vocabulary(num_rows), folder.widths()
    (tmp_path / "words.txt").write_bytes(vocabulary.to_text().encode())
    (tmp_path / "width.tsv").write_bytes(to_text(widths).encode())
    assert Vocabulary.load(tmp_path / "words.txt") == vocabulary
    assert load_table(tmp_path / "width.tsv") == widths
    embedding = np.random.default_rng(0).normal(size=(num_rows, 3)).astype(np.float32)
    rows, fold = folder.extended(embedding), WholeWordFolder(widths).fold
    assert len(rows) == len(vocabulary) == num_rows + 3
    pieces = [*" \u3000春天花京來Ａ１Aa1雪", "春天", "a1", "A1", "Ａ１", "OOV", "雪花"]
    for piece in pieces:
        (row,) = vocabulary.encode([fold(piece)])
        np.testing.assert_array_equal(rows[row], embedding[lac_id(folder, piece)], err_msg=piece)
    assert vocabulary.encode("天花") == [40, 42]  # the last one of a word counts, as in LAC
    assert not rows[[vocabulary.bos_id, vocabulary.eos_id]].any()
    assert folder.words[41] is None


def test_words_without_a_row_are_refused(package):
    folder = read_baidu_folder(package / "lac_model")
    with pytest.raises(InputError, match="word.dic: ids go to 22, but the embedding.* has 22 rows"):
        folder.vocabulary(22)


@pytest.mark.parametrize("name, text, told", [
    ("word.dic", "0\t \n1 春\n", "line 2: expected an id, a tab and a word, found '1 春'"),
    ("word.dic", "0\t春\n-1\t天\n", "line 2: expected an id"),
    ("word.dic", "0\t春\n999999999\t天\n", "line 2: expected an id"),
    ("word.dic", "0\t春\n1\tOOV\n1\t天\n", "'OOV' and '天' have both the id 1"),
    ("word.dic", "0\t春\n\n", "has no line for OOV"),
    ("tag.dic", "0\tn-B\n2\tn-I\n", "has no tag with the id 1"),
    ("tag.dic", "", "has no tag with the id 0"),
    ("tag.dic", "0\tn B\n", "line 1: expected an id, a tab and a tag"),
    ("q2b.dic", "Ａ\tA\nＡA\n", "line 2: expected a character, a tab and what stands for it"),
    ("q2b.dic", "ＡＢ\tAB\n", "line 1: expected a character, a tab"),
    ("q2b.dic", "Ａ\tA\tb\n", "line 1: expected a character, a tab"),
    ("small_seg.dic", "春天 3\n来了\n", "line 2: expected a word, a space and its count"),
    ("small_seg.dic", "春天 0\n", "line 1: expected a word, a space and its count"),
    ("small_seg.dic", "\n", "no words there"),
    ("args.ini", "model = lac\n", "expected model = lac, seg or rank in .TRAIN_CONFIG"),
    ("args.ini", "[TRAIN_CONFIG]\nuse_cuda = no\n", "expected model = lac, seg or rank"),
    ("args.ini", "[TRAIN_CONFIG]\nmodel = ner\n", "model must be one of lac, seg, rank, not 'ner'"),
    ("args.ini", "[TRAIN_CONFIG]\nmodel = lac\ninit_checkpoint = gone\n",
     "init_checkpoint: no such folder"),
])
def test_what_is_malformed_is_told_in_one_line(package, name, text, told):
    with pytest.raises(InputError, match=f"{name}.*{told}") as error:
        read_baidu_folder(change(package / "lac_model", name, text))
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_utf8_and_missing_files_are_told(package):
    folder = package / "lac_model"
    (folder / "conf/word.dic").write_bytes("0\t春\n".encode("gb18030"))
    with pytest.raises(InputError, match="word.dic, line 1: not UTF-8"):
        read_baidu_folder(folder)
    for name in ("word.dic", "q2b.dic"):
        (folder / "conf" / name).unlink()
    with pytest.raises(InputError, match="it has no conf/word.dic, conf/q2b.dic"):
        read_baidu_folder(folder)
    with pytest.raises(InputError, match="no such folder; check the spelling"):
        read_baidu_folder(folder / "nowhere")


def test_the_last_fold_counts_and_counts_of_a_word_are_added(package):
    folder = change(package / "lac_model", "q2b.dic", "Ａ\tb\n", "a")
    change(folder, "small_seg.dic", "春天 2\n", "a")
    read = read_baidu_folder(folder)
    assert read.folds["Ａ"] == "b"
    assert read.dictionary["春天"] == baidu_lac.DICTIONARY["春天"] + 2
    assert list(read.dictionary) == list(baidu_lac.DICTIONARY)


def test_the_weights_stand_where_the_arguments_say(package):
    folder = package / "lac_model"
    (folder / "model").rename(folder / "mine")
    arguments = (folder / "conf/args.ini").read_text("utf-8").replace("= model", "= ./mine")
    assert read_baidu_folder(change(folder, "args.ini", arguments)).model == folder / "mine"
