"""`bilm generate`: what is drawn has the model's probabilities."""

import json
from collections import Counter

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig
from bilm.commands.generate import main
from bilm.inference.sampling import Sampling, generate
from bilm.inference.scores import score_sentences
from bilm.program.running import run_main
from bilm.text.vocabulary import SPECIAL_TOKENS
from tests.reference.embedded_words import VOCABULARY, WORDS
from tests.reference.refusals import refusal_of


@pytest.fixture(scope="module")
def sharp():
    """A model with clear preferences, so that sentences end."""
    paddle.seed(3)
    model = BiLM(BiLMConfig(vocab_size=len(VOCABULARY), projection_size=6, cell_size=10))
    model.softmax.bias.set_value(
        np.random.default_rng(0).normal(size=len(VOCABULARY)).astype(np.float32)
    )
    model.eval()
    return model


@pytest.mark.smoke
def test_the_same_seed_draws_the_same_sentences(sharp):
    first = generate(sharp, VOCABULARY, num_sentences=5, seed=7)
    assert first == generate(sharp, VOCABULARY, num_sentences=5, seed=7)
    assert first != generate(sharp, VOCABULARY, num_sentences=5, seed=8)
    assert first[:2] == generate(sharp, VOCABULARY, num_sentences=2, seed=7)
    drawn = {word for sentence in first for word in sentence.words}
    assert drawn and not drawn & set(SPECIAL_TOKENS)


@pytest.mark.parametrize("backward", [False, True])
def test_first_words_come_as_often_as_the_model_says(sharp, backward):
    sentences = generate(sharp, VOCABULARY, num_sentences=4000, max_words=1, backward=backward)
    counts = Counter(sentence.words[0] if sentence.words else "end" for sentence in sentences)
    scores = score_sentences(sharp, VOCABULARY, [[word] for word in WORDS] + [[]])
    place = 1 if backward else 0
    chances = np.exp([(score.forward, score.backward)[place][0] for score in scores])
    chances /= chances.sum()  # <UNK> and the other border are left out
    for word, chance in zip([*WORDS, "end"], chances):
        deviation = np.sqrt(4000 * chance * (1 - chance))
        assert abs(counts[word] - 4000 * chance) < 5 * deviation + 1, word


@pytest.mark.parametrize("backward", [False, True])
def test_greedy_words_are_the_likeliest(sharp, backward):
    given = ["我们"]
    (sentence,) = generate(sharp, VOCABULARY, given, max_words=2,
                           sampling=Sampling(temperature=0), backward=backward)
    longer = [[word, *given] if backward else [*given, word] for word in WORDS]
    *scores, ending = score_sentences(sharp, VOCABULARY, [*longer, given])
    # of the word that is added, or of the border that could stand in its place
    chances = [score.backward[0] if backward else score.forward[1] for score in scores]
    chances.append(ending.backward[-1] if backward else ending.forward[-1])
    assert sentence.words == [*longer, given][int(np.argmax(chances))]


def test_top_k_and_top_p_cut_off_unlikely_words(sharp):
    scores = score_sentences(sharp, VOCABULARY, [[word] for word in WORDS] + [[]])
    chances = np.exp([score.forward[0] for score in scores])
    names = np.array([*WORDS, "end"])[np.argsort(-chances)]
    chances = np.sort(chances / chances.sum())[::-1]

    def drawn(**options):
        found = generate(sharp, VOCABULARY, num_sentences=600, max_words=1,
                         sampling=Sampling(**options))
        return {sentence.words[0] if sentence.words else "end" for sentence in found}

    assert drawn(top_k=3) == set(names[:3])
    assert drawn(top_p=float(chances[:4].sum() - 1e-4)) == set(names[:4])
    assert drawn(temperature=1e-3) == {names[0]}


def test_sentences_are_cut_at_the_largest_number_of_words(sharp):
    for max_words in (1, 4):
        for sentence in generate(sharp, VOCABULARY, num_sentences=30, max_words=max_words):
            assert len(sentence.words) <= max_words
            assert sentence.is_complete or len(sentence.words) == max_words


def test_the_command_prints_sentences(folder, capsys):
    arguments = ["--model", str(folder), "--num_sentences", "3", "--max_words", "5", "--seed", "1"]
    main([*arguments, "--prefix", "我们 明天"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.startswith("我们 明天") for line in lines)
    main([*arguments, "--prefix", "下雨", "--backward", "--json", "-"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(sentence["words"][-1] == "下雨" for sentence in found)


@pytest.mark.parametrize("arguments, message", [
    (["--prefix", "我们 鸟 鱼"], "not among the words that the model knows: 鸟, 鱼"),
    (["--prefix", "我们 </S>"], "not among the words that the model knows: </S>"),
    (["--top_p", "0"], "top_p in (0, 1], not 0 and 0.0"),
    (["--top_k", "-1"], "top_k must not be negative"),
    (["--temperature", "-1"], "temperature must be a number from 0 on, not -1.0"),
    (["--num_sentences", "0"], "num_sentences must be at least 1"),
    (["--max_words", "0"], "max_words must be at least 1"),
    (["--seed", "-1"], "--seed must not be negative, not -1"),
])
def test_bad_arguments_are_one_line(folder, capsys, arguments, message):
    assert message in refusal_of(main, ["--model", str(folder), *arguments], capsys)


def test_a_model_of_one_direction_has_no_backward(tmp_path, capsys):
    config = BiLMConfig(vocab_size=len(VOCABULARY), projection_size=4, cell_size=4,
                        bidirectional=False)
    BiLM(config).save_pretrained(tmp_path / "model", VOCABULARY)
    with pytest.raises(SystemExit):
        run_main(main, ["--model", str(tmp_path / "model"), "--backward"])
    assert "the model has no backward direction" in capsys.readouterr().err
