"""`lac score`: the words and tags of any program, line by line."""

import gzip
import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lac.commands.score import main
from lac.file_scores import score_files
from lac.score_table import report_lines
from tests.reference.places import ROOT
from tests.reference.refusals import refusal_of
from tests.reference.taggers import write_text

GOLD = ["陈 晨 在 云溪\tnr-B nr-I p-B ns-B", "他 来 了\tr-B v-B O"]
PREDICTED = ["陈晨/nr 在/v 云/n 溪/n", "他/r 来/v 了/u"]


@pytest.fixture
def files(tmp_path):
    """The names of the gold and the predicted text."""
    return [str(write_text(tmp_path, lines, name))
            for lines, name in ((GOLD, "gold.tsv"), (PREDICTED, "own.txt"))]


def rewrite(path, *lines):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def report_of(files):
    return score_files(*files).report()


@pytest.mark.smoke
def test_the_figures_as_a_table(files, tmp_path, capsys):
    (tmp_path / "train.tsv").write_text("陈 晨 来 了\tnr-B nr-I v-B O\n", encoding="utf-8")
    main([*files, "--train", str(tmp_path / "train.tsv")])
    assert capsys.readouterr().out.splitlines() == [
        "type         precision    recall        F1    words",
        "n                0.00%     0.00%     0.00%        0",
        "nr             100.00%   100.00%   100.00%        1",
        "ns               0.00%     0.00%     0.00%        1",
        "p                0.00%     0.00%     0.00%        1",
        "r              100.00%   100.00%   100.00%        1",
        "u                0.00%     0.00%     0.00%        0",
        "v               50.00%   100.00%    66.67%        1",
        "all             42.86%    60.00%    50.00%        5",
        "words           71.43%    83.33%    76.92%        6",
        # 在 云溪 他 of the gold words; 在 云 溪 他 of the predicted ones
        "words that training did not have: 3 (50.00%); precision 50.00%, recall 66.67%, "
        "F1 57.14%, recall with tags 33.33%",
    ]


def test_what_is_not_counted_is_no_figure_in_the_table(files, tmp_path, capsys):
    main(files)
    assert capsys.readouterr().out.splitlines()[-1].startswith("words  ")
    main([files[0], files[0], "--train", files[0]])
    assert capsys.readouterr().out.splitlines()[-1] == (
        "words that training did not have: 0 (0.00%); precision -, recall -, F1 -, "
        "recall with tags -")


@pytest.mark.smoke
def test_the_figures_as_json(files, tmp_path, capsys):
    main([*files, "--json", "-"])
    figures = json.loads(capsys.readouterr().out)
    assert figures["f1"] == 0.5 and figures["sentences"] == 2 and figures["tokens"] == 6
    assert figures["unknown_words"] is None
    main([*files, "--json", str(tmp_path / "scores.json")])
    assert capsys.readouterr().out.splitlines() == report_lines(figures)
    assert json.loads((tmp_path / "scores.json").read_text("utf-8")) == figures


@pytest.mark.parametrize("predicted", [
    ["陈晨 在 云 溪\tnr v n n", "他 来 了\tr v u"],
    ["陈 晨 在 云 溪\tB-nr I-nr B-v B-n B-n", "他 来 了\tB-r B-v B-u"],
    ["陈 晨 在 云 溪\tB-nr E-nr S-v S-n S-n", "他 来 了\tS-r S-v S-u"],
    ["陈/nr-B 晨/nr-I 在/v 云/n 溪/n", "他/r 来/v 了/u"],
    ["陈/I-nr 晨/I-nr 在/B-v 云/B-n 溪/B-n", "他/B-r 来/B-v 了/B-u"],  # begins with I
    ["陈晨/nr \u3000/w 在/v 云/n 溪/n", "他/r 来/v 了/u"],
])
def test_each_file_has_a_scheme_of_its_own(files, predicted):
    wanted = report_of(files)
    rewrite(files[1], *predicted)
    assert report_of(files) == wanted


def test_the_gold_words_may_be_bare_too(files):
    wanted = report_of(files)
    rewrite(files[0], "陈晨/nr 在/p 云溪/ns", "他/r 来/v 了/O")
    assert report_of(files) == wanted


def test_blank_lines_gzip_and_stdin(files, tmp_path, monkeypatch):
    wanted = report_of(files)
    text = "\n".join(["", PREDICTED[0], " ", PREDICTED[1], "", ""]).encode()
    rewrite(files[0], "", GOLD[0], "", GOLD[1])
    (tmp_path / "own.gz").write_bytes(gzip.compress(text))
    assert report_of([files[0], tmp_path / "own.gz"]) == wanted
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    assert report_of([files[0], "-"]) == wanted


@pytest.mark.parametrize("predicted, told", [
    ([PREDICTED[0]], "own.txt, line 2: no sentence there, but {gold} has one in this line (2 in "
     "{gold}, 1 in {own})"),
    ([*PREDICTED, "好/a"], "gold.tsv, line 3: no sentence there, but {own} has one in this line"),
    ([PREDICTED[0], "", PREDICTED[1]], "own.txt, line 2: no sentence there"),
    ([PREDICTED[0], "他/r 走/v 了/u"], "own.txt, line 2, and {gold}: the predicted words are not "
     "of the gold words' text: at character 2, white space aside, the gold words are '来了', the "
     "predicted '走了'"),
    ([PREDICTED[1], PREDICTED[0]], "own.txt, line 1, and {gold}: the predicted words are not"),
    ([PREDICTED[0], "他 来/v 了/u"], "own.txt, line 2: expected words, a tab and tags, or word/"),
    ([PREDICTED[0], "他 来\tr"], "own.txt, line 2: 2 words and 1 tags"),
    ([], "own.txt: no tagged sentence there"),
    (["陈晨/B-nr 在/v-B 云溪/n", PREDICTED[1]], "own.txt: tags of two schemes stand side by side"),
])
def test_files_that_do_not_belong_together_are_one_line(files, capsys, predicted, told):
    rewrite(files[1], *predicted)
    error = refusal_of(main, files, capsys)
    assert told.format(gold=files[0], own=files[1]) in error and error.count("\n") == 1


def test_other_files_that_cannot_be_read(files, tmp_path, capsys):
    assert "nowhere.tsv: No such file" in refusal_of(main, ["nowhere.tsv", files[1]], capsys)
    assert "nowhere.tsv" in refusal_of(main, [*files, "--train", "nowhere.tsv"], capsys)
    assert "Is a directory" in refusal_of(main, [files[0], str(tmp_path)], capsys)
    rewrite(files[0], GOLD[0], "他 来 了\tr-I v-B O")
    assert "gold.tsv, line 2: tag 1, r-I, cannot stand at the start" in refusal_of(
        main, files, capsys)


def test_scoring_needs_no_paddle(files):
    code = ("import sys\nfrom lac.commands.verbs import main\n"
            f"main(['score', *{files!r}])\nprint('paddle' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, check=False,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\nFalse\n")
