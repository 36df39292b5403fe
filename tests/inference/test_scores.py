"""`bilm score`: probabilities of words against the whole model, written out by hand."""

import io
import json
import math

import numpy as np
import pytest

from bilm import BiLM, BiLMConfig, Vocabulary
from bilm.commands.score import main
from bilm.inference.perplexity import evaluate
from bilm.inference.scores import score_sentences
from bilm.program.running import run_main
from bilm.storage.models import load_model
from bilm.text.corpus import Corpus
from bilm.text.vocabulary import SPECIAL_TOKENS
from tests.reference import lark, numpy_bilm
from tests.reference.embedded_words import VOCABULARY, sentences_of
from tests.reference.refusals import refusal_of


def log_probabilities(model, direction, words):
    """Return log p of each word and of the border, in reading order, in float64 NumPy."""
    params = {theirs: model.state_dict()[ours].numpy().astype(np.float64)
              for ours, theirs in lark.names().items()}
    ids = VOCABULARY.encode(["<S>", *words, "</S>"])[:: 1 if direction == "forward" else -1]
    zero = [np.zeros((2, 1, size)) for size in (6, 10)]
    embedded = params["embedding_para"][ids[:-1]][None]
    top = numpy_bilm.run_direction(params, direction, embedded, *zero).layers[-1].outputs[0]
    logits = top @ params["softmax_weight"].T + params["softmax_bias"]
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits[np.arange(len(ids) - 1), ids[1:]]


@pytest.mark.smoke
def test_scores_are_the_models_probabilities(model):
    model.eval()
    sentences = [*sentences_of([3, 8, 1]), [], ["鸟", "我们"]]
    for words, score in zip(sentences, score_sentences(model, VOCABULARY, sentences, 2)):
        assert score.words == words
        forward = log_probabilities(model, "forward", words)
        backward = log_probabilities(model, "backward", words)
        np.testing.assert_allclose(score.forward, forward, atol=2e-5)
        np.testing.assert_allclose(score.backward[:-1], backward[:-1][::-1], atol=2e-5)
        np.testing.assert_allclose(score.backward[-1], backward[-1], atol=2e-5)


def test_the_sum_is_what_evaluation_finds(model, tmp_path):
    model.eval()
    sentences = sentences_of([4, 7, 2, 30])
    path = tmp_path / "text.txt"
    path.write_text("".join(" ".join(words) + "\n" for words in sentences), encoding="utf-8")
    totals = evaluate(model, Corpus([str(path)], VOCABULARY))
    scores = score_sentences(model, VOCABULARY, sentences)
    sums = [sum(part.sum() for part in parts) for parts in zip(*((s.forward, s.backward)
                                                              for s in scores))]
    np.testing.assert_allclose(-np.array(sums), totals.nats, rtol=1e-5)


def run(capsys, *arguments):
    main(list(map(str, arguments)))
    return capsys.readouterr().out


def test_a_table_or_json(folder, tmp_path, capsys, monkeypatch):
    text = "我们 鸟\n\n下雨\n"
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    table = run(capsys, tmp_path / "text.txt", "--model", folder)
    rows = [line.split("\t") for line in table.splitlines()]
    assert rows[0] == ["line", "place", "word", "known", "forward", "backward"]
    assert [row[:4] for row in rows[1:]] == [
        ["0", "1", "我们", "1"], ["0", "2", "鸟", "0"], ["0", "end", "", ""], ["0", "sum", "", ""],
        ["1", "end", "", ""], ["1", "sum", "", ""],
        ["2", "1", "下雨", "1"], ["2", "end", "", ""], ["2", "sum", "", ""],
    ]
    values = [float(row[4]) for row in rows[1:5]]
    assert all(value < 0 for value in values)
    assert math.isclose(sum(values[:3]), values[3], abs_tol=1e-5)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-8"))))
    objects = [json.loads(line) for line in
               run(capsys, "--model", folder, "--json", "-").splitlines()]
    assert [found["words"] for found in objects] == [["我们", "鸟"], [], ["下雨"]]
    assert objects[0]["known"] == [True, False]
    assert objects[0]["forward"]["words"] == [float(row[4]) for row in rows[1:3]]
    assert objects[0]["backward"]["sum"] == float(rows[4][5])


def test_a_model_of_one_direction_has_one_column(tmp_path, capsys):
    config = BiLMConfig(vocab_size=len(VOCABULARY), projection_size=4, cell_size=4,
                        bidirectional=False)
    BiLM(config).save_pretrained(tmp_path / "model", VOCABULARY)
    (tmp_path / "text.txt").write_text("我们\n", encoding="utf-8")
    table = run(capsys, tmp_path / "text.txt", "--model", tmp_path / "model")
    assert table.splitlines()[0] == "line\tplace\tword\tknown\tforward"
    assert table.splitlines()[1].count("\t") == 4


@pytest.mark.parametrize("arguments, message", [
    (["none.txt"], "none.txt: No such file"),
    (["--batch_size", "0"], "--batch_size must be at least 1"),
    (["--model", str(lark.FOLDER / "checkpoint_trained")], "has no vocab.txt"),
])
def test_bad_arguments_are_one_line(folder, capsys, arguments, message):
    assert message in refusal_of(main, ["--model", str(folder), *arguments], capsys)


def test_a_model_without_softmax_cannot_score(tmp_path, capsys):
    config = load_model(lark.FOLDER / "checkpoint_trained")[0].config
    words = Vocabulary([*SPECIAL_TOKENS, *(f"w{number}" for number in range(34))])
    BiLM(config, has_softmax=False).save_pretrained(tmp_path / "m", words)
    with pytest.raises(SystemExit):
        run_main(main, ["--model", str(tmp_path / "m")])
    assert "has no softmax: it gives word vectors, but predicts no words" in capsys.readouterr().err
