"""Several corpora with proportions: which files, which sentences of an epoch, and resuming."""

from collections import Counter

import numpy as np
import pytest

from bilm.errors import InputError
from bilm.storage.run_folder import RunFolder
from lac.commands.train import build_parser, main
from lac.training.corpus_types import files_of_types
from lac.training.data import read_corpora
from lac.training.run import train
from lac.training.sampling import epoch_order, shares
from lac.training.setup import set_up
from tests.reference.refusals import refusal_of
from tests.reference.taggers import LINES, options, two_corpora, write_text

SIZES, PROPORTIONS = [7, 40, 3], [0.5, 0.2, 0.3]


def corpus_of(number):
    return int(np.searchsorted(np.cumsum(SIZES), number, side="right"))


@pytest.mark.parametrize("total, proportions, expected", [
    (50, [0.5, 0.2, 0.3], [25, 10, 15]),
    (10, [0.7, 0.3], [7, 3]),
    (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),  # rounded they would be nine
    (7, [0.5, 0.5], [4, 3]),
    (3, [0.999, 0.001], [3, 0]),
    (9, [1.0], [9]),
    (10**6, [0.1] * 9 + [0.1000004], [10**5] * 10),
])
def test_shares_are_the_rounded_products_and_sum_to_the_total(total, proportions, expected):
    assert shares(total, proportions) == expected


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_has_each_corpus_in_its_proportion(epoch):
    order = epoch_order(SIZES, PROPORTIONS, seed=3, epoch=epoch)
    counts = Counter(map(corpus_of, order))
    assert [counts[corpus] for corpus in range(3)] == [25, 10, 15]
    corpora = [corpus_of(number) for number in order]
    assert corpora != sorted(corpora)  # they are mixed


def test_no_sentence_of_a_corpus_is_favoured():
    counts = np.zeros(sum(SIZES), int)
    for epoch in range(9):
        np.add.at(counts, epoch_order(SIZES, PROPORTIONS, seed=3, epoch=epoch), 1)
        for first, end in ((0, 7), (7, 47), (47, 50)):
            assert np.ptp(counts[first:end]) <= 1
        if epoch == 3:  # forty sentences of the largest one
            assert counts[7:47].tolist() == [1] * 40


def test_an_order_is_a_function_of_seed_and_epoch():
    orders = [epoch_order(SIZES, PROPORTIONS, seed, epoch).tolist()
              for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(map(tuple, orders))) == 4
    assert orders[3] == epoch_order(SIZES, PROPORTIONS, 1, 1).tolist()
    assert sorted(epoch_order([5], [1.0], 0, 2)) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="1 sizes and 2 proportions"):
        epoch_order([5], [0.5, 0.5], 0, 0)


@pytest.mark.parametrize("pattern", ["data", "data/", "data/*", "data/**/*.tsv", "./data/../data"])
def test_files_belong_to_the_corpus_that_starts_their_or_a_folders_name(
    tmp_path, monkeypatch, pattern
):
    monkeypatch.chdir(tmp_path)
    two_corpora(tmp_path)
    news, chats = files_of_types(pattern, ["news", "chats"])
    assert [name.split("/")[-1] for name in news] == ["news_1.tsv"]
    assert sorted(name.split("/")[-1] for name in chats) == ["a.tsv", "b.tsv"]


def test_of_several_names_that_fit_the_longest_one_counts(tmp_path):
    for name in ("news/a.tsv", "news_1.tsv", "news2_1.tsv", "news2/b.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_text((tmp_path / name).parent, name=(tmp_path / name).name)
    news, news2 = files_of_types(str(tmp_path), ["news", "news2"])
    assert [name.split("/")[-1] for name in news] == ["a.tsv", "news_1.tsv"]
    assert [name.split("/")[-1] for name in news2] == ["b.tsv", "news2_1.tsv"]
    write_text(tmp_path / "news2", name="news_c.tsv")
    with pytest.raises(InputError, match="news_c.tsv: belongs to news and news2 of the corpora"):
        files_of_types(str(tmp_path), ["news", "news2"])


def test_a_name_that_looks_like_a_glob_is_one_too(tmp_path):
    (tmp_path / "news [1]").mkdir()
    write_text(tmp_path / "news [1]", name="news.tsv")
    path = tmp_path / "news [1]/news.tsv"
    assert files_of_types(str(path), ["news"]) == [[str(path)]]


@pytest.mark.parametrize("types, told", [
    (["news"], r"chats/a.tsv: belongs to none of the corpora of --corpus_type_list"),
    (["news", "chats", "a"], r"chats/a.tsv: belongs to chats and a of the corpora"),
    (["news", "chats", "tales"], r"data: no file there belongs to the corpus tales"),
    (["data"], r"belongs to none of the corpora"),  # the folder that is given does not count
])
def test_a_file_of_no_or_two_corpora_is_told(tmp_path, types, told):
    two_corpora(tmp_path)
    with pytest.raises(InputError, match=told):
        files_of_types(str(tmp_path / "data"), types)


def test_corpora_stand_in_the_order_of_their_types_in_one_scheme(tmp_path):
    given = two_corpora(tmp_path)
    write_text(tmp_path / "data", ["你 好\tr a"], "news_0.tsv")  # bare tags: all are LARK's mixture
    corpora = read_corpora(options(tmp_path, **given))
    assert corpora.train.sizes == [3, 6]
    assert corpora.train.scheme.name == "mixed"
    tokens = [sentence.tokens for sentence in corpora.train.sentences]
    assert tokens == [["你", "好"], *(line.split("\t")[0].split(" ") for line in LINES)]
    swapped = {**given, "corpus_type_list": "chats news"}
    assert read_corpora(options(tmp_path, **swapped)).train.sizes == [6, 3]
    write_text(tmp_path / "data", [], "tales.tsv")
    empty = {"corpus_type_list": "news chats tales", "corpus_proportion_list": "0.7 0.2 0.1"}
    with pytest.raises(InputError, match=r"tales.tsv: no tagged sentence there"):
        read_corpora(options(tmp_path, **{**given, **empty}))


@pytest.mark.parametrize("types, proportions, told", [
    ("a b", "", "has 2 corpora, --corpus_proportion_list 0 proportions; give as many of both"),
    ("", "1", "has 0 corpora, --corpus_proportion_list 1 proportions"),
    ("a b", "0.5 0.4", "must be positive numbers whose sum is 1, not 0.5 0.4"),
    ("a b", "1 0", "must be positive numbers whose sum is 1, not 1 0"),
    ("a b", "-1 2", "must be positive numbers whose sum is 1"),
    ("a b", "nan 1", "must be positive numbers whose sum is 1"),
    ("a b", "half 0.5", "must be positive numbers whose sum is 1"),
    ("a a", "0.5 0.5", "names a corpus twice"),
])
def test_lists_that_fit_no_corpora_are_told(tmp_path, types, proportions, told):
    with pytest.raises(InputError, match=told):
        options(tmp_path, corpus_type_list=types, corpus_proportion_list=proportions)


def test_the_first_sentences_of_several_corpora_are_refused(tmp_path):
    with pytest.raises(InputError, match="--max_train_sentences cannot be combined"):
        options(tmp_path, **two_corpora(tmp_path), max_train_sentences=5)


@pytest.mark.parametrize("values", [["a", "b"], ["a,b"], ["a,", "b"]])
def test_lists_are_separated_by_spaces_or_commas(values):
    given = build_parser().parse_args(["--corpus_type_list", *values, "--threads", "1"])
    assert given.corpus_type_list == "a b"
    assert given.threads == 1


def test_without_corpora_the_order_is_what_it_was(tmp_path):
    with RunFolder(tmp_path / "run", "--save_dir") as folder:
        trainer = set_up(options(tmp_path, random_seed=5, pieces="words"), folder).trainer
    assert trainer._order(0) == [[3, 0, 1], [5, 6], [4, 2, 7]]
    assert trainer._order(3) == [[5, 6], [0, 3, 1], [4, 7, 2]]


def test_training_reads_the_corpora_in_their_proportions(tmp_path):
    with RunFolder(tmp_path / "run", "--save_dir") as folder:
        trainer = set_up(options(tmp_path, **two_corpora(tmp_path)), folder).trainer
    batches = trainer._order(0)
    assert len(batches) == trainer.steps_per_epoch == 3
    numbers = [number for batch in batches for number in batch]
    assert sum(number < 2 for number in numbers) == 6  # round(0.7 * 8)


def test_other_corpora_at_resuming_are_refused(tmp_path, capsys):
    given = options(tmp_path, max_epochs=1, **two_corpora(tmp_path))
    train(given)
    resume = ["--resume", "--save_dir", given.save_dir, "--max_epochs", "2"]
    told = refusal_of(main, [*resume, "--corpus_proportion_list", "0.5", "0.5"], capsys)
    assert "--corpus_proportion_list is 0.5 0.5, the checkpoint was trained with 0.7 0.3" in told
    (tmp_path / "data/chats/a.tsv").rename(tmp_path / "data/news_2.tsv")  # the same sentences
    assert "has changed since this run started" in refusal_of(main, resume, capsys)
    (tmp_path / "data/news_2.tsv").rename(tmp_path / "data/chats/a.tsv")
    main(resume)
    assert "finished at epoch 2.00" in capsys.readouterr().out
