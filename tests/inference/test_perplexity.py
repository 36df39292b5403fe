"""Perplexity against NumPy, and what the evaluation program prints, writes and warns of."""

import json
import math

import numpy as np
import paddle
import pytest

from bilm.commands.evaluate import main
from bilm.errors import InputError
from bilm.inference import batching, perplexity
from bilm.inference.perplexity import Totals, evaluate, summarise, unigram_perplexity
from bilm.network.config import BiLMConfig
from bilm.network.model import BiLM
from bilm.program.running import run_main
from bilm.storage.tensors import weights_of
from bilm.text.corpus import Corpus
from bilm.text.vocabulary import BOS, EOS
from tests.reference import lark, numpy_bilm
from tests.reference.plain_windows import plain_windows, rows_of
from tests.reference.words import WORDS

DIRECTIONS = ("forward", "backward")
LONG = 300  # words, more than the steps that are computed at once


def small_model(vocabulary, **settings):
    paddle.seed(3)
    sizes = {"projection_size": 6, "cell_size": 10, "cell_clip": 0.4, "projection_clip": 0.1}
    model = BiLM(BiLMConfig(len(vocabulary), dropout=0.3, **sizes, **settings))
    # weights so large that the clips bite, but not so large that rounding errors grow with time
    for tensor in model.state_dict().values():
        tensor.set_value(tensor * 2 + 0.05)
    model.eval()
    return model


@pytest.fixture
def model(vocabulary):
    return small_model(vocabulary)


@pytest.fixture(scope="module")
def sentences():
    random = np.random.default_rng(4)
    lengths = [*random.integers(1, 13, 24), LONG, 1]
    return [random.choice([*WORDS, "狮子"], length).tolist() for length in lengths]


@pytest.fixture
def corpus(tmp_path, vocabulary, sentences):
    text = "\n".join(" ".join(words) for words in sentences)
    (tmp_path / "text").write_text(text, encoding="utf-8")
    return Corpus(str(tmp_path / "text"), vocabulary)


def numpy_nats(model, direction, inputs, targets):
    """Return the summed nats of one sequence of ids, from a zero state, in float64."""
    weights = {name: array.astype(np.float64) for name, array in weights_of(model).items()}
    params = {lark_name: weights[name] for name, lark_name in lark.names().items()
              if name in weights}
    config = model.config
    state = (np.zeros((config.num_layers, 1, size))
             for size in (config.projection_size, config.cell_size))
    embedded = params["embedding_para"][inputs][None]
    result = numpy_bilm.run_direction(
        params, DIRECTIONS[direction], embedded, *state, config.cell_clip, config.projection_clip
    )
    separate = direction == 1 and not config.share_softmax
    name = "backward_softmax" if separate else "softmax"
    logits = result.layers[-1].outputs @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return numpy_bilm.cross_entropy(logits, np.array(targets)[None])[0].sum()


def expected_nats(model, vocabulary, sentences):
    """Return the nats of each direction, sentence by sentence, from zero states."""
    nats = np.zeros(model.config.num_directions)
    for words in sentences:
        ids = vocabulary.encode([BOS, *words, EOS])
        for direction in range(len(nats)):
            nats[direction] += numpy_nats(model, direction, ids[:-1], ids[1:])
            ids.reverse()
    return nats


@pytest.mark.smoke
@pytest.mark.parametrize("settings", [{}, {"share_softmax": False}, {"bidirectional": False}],
                         ids=str)
def test_nats_are_those_of_numpy(vocabulary, corpus, sentences, settings):
    model = small_model(vocabulary, **settings)
    totals = evaluate(model, corpus)
    expected = expected_nats(model, vocabulary, sentences)
    np.testing.assert_allclose(totals.nats, expected, rtol=1e-7)
    words = sum(map(len, sentences))
    unknown = sum(words.count("狮子") for words in sentences)
    assert totals[1:] == (words + len(sentences), words, unknown, len(sentences))
    perplexity = math.exp(expected.sum() / len(expected) / (words + len(sentences)))
    assert summarise(totals)["perplexity"] == pytest.approx(perplexity, rel=1e-7)


@pytest.mark.parametrize("batch_size, num_steps", [(1, 20), (3, 7), (50, 4)])
def test_stateful_nats_are_those_of_numpy_over_each_rows_stream(
    model, corpus, sentences, batch_size, num_steps
):
    expected, steps = np.zeros(2), 0
    for row in filter(None, rows_of(plain_windows(sentences, batch_size, num_steps))):
        columns = [corpus.vocabulary.encode(column) for column in zip(*row)]
        expected[0] += numpy_nats(model, 0, *columns[:2])
        expected[1] += numpy_nats(model, 1, *columns[2:])
        steps += len(row)
    totals = evaluate(model, corpus, batch_size, stateful=True, num_steps=num_steps)
    np.testing.assert_allclose(totals.nats, expected, rtol=1e-7)
    assert totals[1:] == evaluate(model, corpus)[1:]
    assert totals.tokens == steps


@pytest.mark.smoke
def test_batches_change_rounding_only(model, corpus, monkeypatch):
    expected = evaluate(model, corpus)
    monkeypatch.setattr(batching, "SORTED_SENTENCES", 7)
    for batch_size in (1, 2, 5, 100):
        totals = evaluate(model, corpus, batch_size)
        np.testing.assert_allclose(totals.nats, expected.nats, rtol=1e-7)
        assert totals[1:] == expected[1:]


@pytest.mark.parametrize("steps", [1, 5, LONG + 1])
def test_a_long_sentence_in_windows_is_one_pass(model, corpus, monkeypatch, steps):
    expected = evaluate(model, corpus)
    monkeypatch.setattr(perplexity, "BATCH_TOKENS", steps)
    np.testing.assert_allclose(evaluate(model, corpus, 4).nats, expected.nats, rtol=1e-7)


def test_parts_add_up_to_the_whole(model, corpus):
    parts = [evaluate(model, corpus, batch_size=4, first=first, stride=3) for first in range(3)]
    whole = evaluate(model, corpus, batch_size=4)
    for values, expected in zip(zip(*parts), whole):
        np.testing.assert_allclose(sum(values), expected, rtol=1e-12)
    assert len({totals.tokens for totals in parts}) == 3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stateful", [True, False])
def test_evaluation_has_no_dropout_and_gives_the_mode_back(model, corpus, training, stateful):
    expected = evaluate(model, corpus, stateful=stateful).nats
    model.train() if training else model.eval()
    assert evaluate(model, corpus, stateful=stateful).nats.tolist() == expected.tolist()
    assert {layer.training for layer in model.sublayers(include_self=True)} == {training}


def test_the_mode_is_given_back_after_an_error(model, corpus, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"\xff" + text.read_bytes()[1:])  # of the same size: the corpus looks at it
    model.train()
    with pytest.raises(InputError, match="line 1: not UTF-8"):
        evaluate(model, corpus)
    assert model.training


def test_progress_counts_sentences_or_tokens(model, corpus, sentences):
    done = []
    evaluate(model, corpus, 4, progress=done.append)
    assert sum(done) == len(sentences)
    done.clear()
    totals = evaluate(model, corpus, 4, stateful=True, progress=done.append)
    assert sum(done) == totals.tokens


def test_the_summary_has_the_documented_figures():
    totals = Totals(np.array([30.0, 50.0]), tokens=20, words=16, unknown=4, sentences=4)
    assert summarise(totals) == {
        "forward": {"nats": 30.0, "tokens": 20, "perplexity": math.exp(1.5)},
        "backward": {"nats": 50.0, "tokens": 20, "perplexity": math.exp(2.5)},
        "perplexity": math.exp(2.0),
        "tokens": 40,
        "oov_rate": 0.25,
        "sentences": 4,
    }
    forward_only = summarise(totals._replace(nats=np.array([30.0])))
    assert "backward" not in forward_only
    assert (forward_only["perplexity"], forward_only["tokens"]) == (math.exp(1.5), 20)


def test_unigram_perplexity_is_that_of_counts_plus_one(tmp_path, corpus, vocabulary, sentences):
    (tmp_path / "train").write_text("今天 天气 狮子 老虎\n\n天气 天气 很\n", encoding="utf-8")
    train = Corpus(str(tmp_path / "train"), vocabulary)
    counts = {"今天": 1, "天气": 3, "<UNK>": 2, "很": 1, EOS: 2}
    total = 9 + len(vocabulary)
    nats = [
        -math.log((counts.get(word if word in vocabulary else "<UNK>", 0) + 1) / total)
        for words in sentences for word in (*words, EOS)
    ]
    expected = math.exp(math.fsum(nats) / len(nats))
    assert unigram_perplexity(train, corpus) == pytest.approx(expected, rel=1e-12)


SEGMENTATION = {"segmenter": "jieba", "version": "0.42.1", "options": {"hmm": True}}


@pytest.fixture
def folder(corpus_folder, vocabulary, model, monkeypatch):
    """`corpus_folder` with a model, trained on text segmented as SEGMENTATION tells."""
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "5")  # set by the program where it is not set
    model.save_pretrained(corpus_folder / "model", vocabulary, SEGMENTATION)
    return corpus_folder


def arguments(folder, data="dev"):
    return ["--threads", "1", "--model", str(folder / "model"),
            "--data", f"{folder}/{data}/sentence_file_*"]


def loaded(folder, data="dev"):
    from bilm.storage.models import load_model

    model, checkpoint = load_model(folder / "model")
    return model, Corpus(str(folder / data), checkpoint.vocabulary)


@pytest.mark.smoke
def test_the_program_writes_and_prints_the_figures(folder, capsys):
    train = f"{folder}/train/*"
    main([*arguments(folder), "--json", str(folder / "figures.json"), "--unigram", train])
    printed, warnings = capsys.readouterr()
    figures = json.loads((folder / "figures.json").read_text("utf-8"))
    model, corpus = loaded(folder)
    expected = summarise(evaluate(model, corpus))
    expected["unigram_perplexity"] = unigram_perplexity(Corpus(train, corpus.vocabulary), corpus)
    assert figures == expected
    assert warnings == ""
    assert printed.splitlines() == [
        *(f"{name}: perplexity {expected[name]['perplexity']:.4f} "
          f"over {expected[name]['tokens']} tokens" for name in DIRECTIONS),
        f"perplexity {expected['perplexity']:.4f}, OOV rate 0.00%, 20 sentences",
        f"unigram model: perplexity {expected['unigram_perplexity']:.4f}",
    ]


def test_the_program_prints_nothing_but_json_when_asked(folder, capsys):
    main([*arguments(folder), "--data", f"{folder}/train", "--json", "-", "--stateful",
          "--num_steps", "3", "--batch_size", "2", "--use_gpu", "False"])
    model, dev = loaded(folder)
    both = Corpus([f"{folder}/dev", f"{folder}/train"], dev.vocabulary)
    expected = summarise(evaluate(model, both, 2, stateful=True, num_steps=3))
    assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize("unknown, warns", [(1, False), (2, True)])
def test_many_unknown_words_give_a_warning(folder, capsys, unknown, warns):
    words = ["狮子"] * unknown + ["天气"] * (20 - unknown)  # 5 % and 10 %
    (folder / "dev" / "sentence_file_0").write_text(" ".join(words), encoding="utf-8")
    main([*arguments(folder), "--json", "-"])
    output, error = capsys.readouterr()
    assert json.loads(output)["oov_rate"] == unknown / 20
    assert ("10.0% of the words are unknown" in error) == bool(error) == warns


@pytest.mark.parametrize("changes, warning", [
    ({}, None),
    ({"counts": {"sentences": 20}}, None),
    ({"version": "0.40"}, 'version: "0.42.1" and "0.40"'),
    ({"options": {"hmm": False}}, "options.hmm: true and false"),
])
def test_other_segmentation_than_in_training_gives_a_warning(folder, capsys, changes, warning):
    path = folder / "dev" / "segmentation.json"
    path.write_text(json.dumps({**SEGMENTATION, **changes}), encoding="utf-8")
    main(arguments(folder))
    error = capsys.readouterr().err
    if warning is None:
        assert error == ""
    else:
        assert error == (f"warning: {folder}/dev was segmented differently than the model's "
                         f"training text: {warning}\n")


@pytest.mark.parametrize("change, message", [
    (["--batch_size", "0"], "--batch_size must be at least 1, not 0"),
    (["--num_steps", "-3"], "--num_steps must be at least 1, not -3"),
    (["--data", "nowhere_*"], "no corpus file matches 'nowhere_*'"),
    (["--model", "nowhere"], "nowhere: no biLM there"),
])
def test_bad_arguments_are_one_line_and_status_2(folder, capsys, change, message):
    with pytest.raises(SystemExit) as exit_:
        run_main(main, [*arguments(folder), *change])
    assert exit_.value.code == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def test_a_folder_without_vocabulary_cannot_be_evaluated(folder, model):
    model.save_pretrained(folder / "model")
    with pytest.raises(InputError, match="model: has no vocab.txt; name the file with"):
        main(arguments(folder))
