"""Silver labels: a tagger's words, or jieba's flags as LAC's tags on words that stay."""

import numpy as np
import pytest

from bilm.program.running import run_main
from bilm.text.segmenters import import_quietly
from lac.analysis import Analysis
from lac.commands.label import main
from lac.customization import Customization
from lac.prediction import Predictor
from lac.pretrained import analyser_of, load_tagger
from lac.silver_labels import (
    TYPES,
    analyses_with_margins,
    label,
    type_of,
    words_as_tokens,
)
from lac.tagged_files import read_tagged, to_line
from lac.tagging import LAC
from tests.reference.chains import all_scores
from tests.reference.places import ROOT
from tests.reference.refusals import refusal_of
from tests.reference.taggers import LINES, trained


@pytest.fixture(scope="module", params=["characters", "words"])
def run(request, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("tagger"), pieces=request.param)


@pytest.fixture(scope="module")
def posseg():
    return import_quietly("jieba.posseg")


def test_types_are_those_of_the_tag_list():
    from lac.tagged_files import load_tags

    tags = load_tags(ROOT / "data/lac/tags.txt")
    assert set(TYPES.values()) <= {tag.split("-")[0] for tag in tags}


@pytest.mark.parametrize(("word", "flag", "kind"), [
    ("苹果", "n", "n"), ("的", "uj", "u"), ("吗", "y", "xc"), ("，", "x", "w"), ("2020", "x", "m"),
    ("5G", "x", "m"), ("App", "eng", "nz"), ("绿油油", "z", "a"), ("北京", "ns", "ns"),
    ("Ｂ", "x", "nz"),
])
def test_flags_become_types(word, flag, kind):
    assert type_of(word, flag) == kind


def test_words_are_kept_and_dates_are_one_span(posseg):
    line = "2023 年 5 月 12 日 ， 我 昨天 下午 去 了 北京 。"
    found = label(line.split(" "), posseg)
    tags = "t-B t-I t-I t-I t-I t-I w-B r-B t-B t-I v-B u-B ns-B w-B"
    assert to_line(found) == f"{line}\t{tags}"


def test_a_word_that_jieba_cuts_otherwise_is_tagged_by_itself(posseg):
    found = label(["我爱", "北京天安门"], posseg)
    assert found.tokens == ["我爱", "北京天安门"] and len(found.tags) == 2


def test_the_program_takes_sentences_evenly(tmp_path, capsys):
    text = tmp_path / "text"
    text.write_text("".join(f"第 {number} 句 。\n" for number in range(10)), encoding="utf-8")
    run_main(main, [str(text), "--output", str(tmp_path / "out.tsv"), "--max_sentences", "5"])
    assert "5 sentences" in capsys.readouterr().out
    corpus = read_tagged(tmp_path / "out.tsv")
    assert [sentence.tokens[1] for sentence in corpus.sentences] == list("02468")
    told = refusal_of(main, [str(text), "--output", "x", "--max_sentences", "-1"], capsys)
    assert "--max_sentences must be 0 or more" in told


def labels(folder, capsys, text, *more):
    """Return the lines that `lac label` writes for a text, and what it prints."""
    (folder / "text").write_text(text, encoding="utf-8")
    run_main(main, [str(folder / "text"), "--output", str(folder / "out.tsv"), *map(str, more)])
    return (folder / "out.tsv").read_text("utf-8").splitlines(), capsys.readouterr().out


def test_a_tagger_labels_the_sentences_of_raw_text(tmp_path, capsys, run):
    text = "昨天小林买了三本书。 青石镇的桥很旧。\n\n春天到了，花都开了。\n"
    lines, printed = labels(tmp_path, capsys, text, "--model", run)
    sentences = ["昨天小林买了三本书。", "青石镇的桥很旧。", "春天到了，花都开了。"]
    assert [line.split("\t")[0].replace(" ", "") for line in lines] == sentences
    for line, sentence in zip(lines, sentences):
        words, tags = LAC(run).run(sentence)
        assert line == f"{' '.join(words)}\t{' '.join(f'{tag}-B' for tag in tags)}"
    assert printed == f"wrote {tmp_path / 'out.tsv'}: 3 sentences\n"
    lines, _ = labels(tmp_path, capsys, text, "--model", run, "--max_sentences", "1")
    assert len(lines) == 1


def test_a_tagger_labels_the_words_of_segmented_text(tmp_path, capsys, run):
    text = "".join(line.split("\t")[0] + "\n" for line in LINES)
    lines, _ = labels(tmp_path, capsys, text, "--model", run, "--input", "segmented")
    assert lines[0] == LINES[0]
    assert lines[1] == "陈晨 在 云溪大学 读书 。\tnr-B p-B nt-B v-B w-B"  # a span is a word


def test_sentences_below_the_margin_are_dropped_and_counted(tmp_path, capsys, run):
    sentences = [line.split("\t")[0].replace(" ", "") for line in LINES] + ["三花旧大说学。"]
    margins = LAC(run).margins(sentences)
    least = sorted(margins)[3]
    kept = [sentence for sentence, margin in zip(sentences, margins) if margin >= least]
    text = "".join(f"{sentence}\n" for sentence in sentences)
    lines, printed = labels(tmp_path, capsys, text, "--model", run, "--min_margin", least)
    assert [line.split("\t")[0].replace(" ", "") for line in lines] == kept
    assert len(kept) == 6
    assert f"6 sentences, without 3 whose margin is below {least:g}" in printed


@pytest.mark.parametrize("segmented", [False, True])
def test_words_and_margins_are_those_of_two_passes_but_each_sentence_is_computed_once(
    monkeypatch, run, segmented
):
    tagger, stored = load_tagger(run)
    analyser = analyser_of(tagger, stored, batch_size=2)
    entries = Customization(["青石镇/x", "书 很"])
    texts = ["小林说", " ", "花开。青石镇的书很旧！", "桥", ""]
    analyses = analyser.analyse(texts, entries, segmented)
    cut = analyser.cut_texts(texts, entries, segmented)
    margins = analyser.margins(cut)
    computed = []
    emissions = analyser.predictor._emissions
    monkeypatch.setattr(analyser.predictor, "_emissions", lambda ids, *more: (
        computed.append(len(ids.lengths)) or emissions(ids, *more)))
    assert analyses_with_margins(analyser, texts, entries, segmented) == [*zip(analyses, margins)]
    assert "x" in analyses[2].tags or segmented
    assert sum(computed) == sum(map(bool, cut.tokens())) > 2


def test_the_program_computes_no_sentence_twice(tmp_path, capsys, monkeypatch, run):
    computed = []
    batches = Predictor.batches

    def counted(*arguments, **more):
        for batch in batches(*arguments, **more):
            computed.extend(batch.numbers)
            yield batch

    monkeypatch.setattr(Predictor, "batches", counted)
    labels(tmp_path, capsys, "小林说。\n花开！\n", "--model", run, "--min_margin", "1e-9")
    assert sorted(computed) == [0, 1]


def test_a_texts_margin_is_that_of_its_two_best_analyses(run):
    lac = LAC(run)
    predictor = lac._predictor
    texts = ["小林说", "桥", "花开。说书！", "", " "]
    values = lac.margins(texts)
    assert values[3:] == [np.inf, np.inf]
    for text, value in zip(texts[:3], values):
        best_two = []
        for sentence in {"花开。说书！": ["花开。", "说书！"]}.get(text, [text]):
            emissions = predictor._emissions(predictor.lookup([lac.pieces(sentence)]), None, None)
            paths = sorted(all_scores(emissions[0], predictor._scores).values())
            best_two.append(paths[-1] - paths[-2])
        assert value == pytest.approx(min(best_two), abs=1e-4)


def test_the_given_words_of_segmented_text_are_not_in_doubt(run):
    lac = LAC(run)
    predictor = lac._predictor
    pieces = ["青石镇"] if lac._analyser.pieces.kind == "words" else ["青", "石", "镇"]
    emissions = predictor._emissions(predictor.lookup([pieces]), None, None)
    scores = sorted(
        score for path, score in all_scores(emissions[0], predictor._scores).items()
        if not any(predictor.tags[tag].endswith("-B") for tag in path[1:])
    )
    (margin,) = lac.margins(["青石镇"], segmented=True)
    assert margin == pytest.approx(scores[-1] - scores[-2], abs=1e-4)


def test_white_space_is_no_word_and_a_word_with_it_is_a_span_of_several():
    analysis = Analysis(
        [" ", "New York", "\u3000", "好", "x y"], ["w", "ns", "w", "a", "O"], [], [], [], []
    )
    assert to_line(words_as_tokens(analysis)) == "New York 好 x y\tns-B ns-I a-B O O"


@pytest.mark.parametrize("more, told", [
    (["--min_margin", "1"], "--min_margin needs --model"),
    (["--min_margin", "-1", "--model", "x"], "--min_margin must be 0 or more, not -1"),
    (["--min_margin", "nan", "--model", "x"], "--min_margin must be 0 or more, not nan"),
    (["--threads", "1"], "--threads needs --model: jieba's dictionary has no margins, device or"),
    (["--use_gpu"], "--use_gpu needs --model"),
    (["--batch_size", "8", "--min_margin", "1"], "--min_margin and --batch_size need --model"),
    (["--input", "raw"], "--input raw needs --model"),
    (["--model", "nowhere"], "nowhere: no tagger there"),
])
def test_flags_that_do_not_fit_are_told(tmp_path, capsys, more, told):
    (tmp_path / "text").write_text("好\n", encoding="utf-8")
    arguments = [str(tmp_path / "text"), "--output", str(tmp_path / "out.tsv"), *more]
    assert told in refusal_of(main, arguments, capsys)
    assert not (tmp_path / "out.tsv").exists()
