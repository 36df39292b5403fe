"""The Embedder: the right vectors, whatever the batch, the length and the unknown words."""

import numpy as np
import paddle
import pytest

from bilm import ELMo, InputError
from bilm.inference import batching
from bilm.inference import embedder as embedder_module
from bilm.inference.embedder import Embedder
from bilm.storage.tensors import weights_of
from bilm.text.vocabulary import SPECIAL_TOKENS
from tests.reference import lark, numpy_elmo
from tests.reference.embedded_words import (
    CONFIG,
    EVEN_CONFIG,
    VOCABULARY,
    WORDS,
    make_model,
    sentences_of,
)
from tests.reference.kernel_problems import assert_promised_bits


@pytest.fixture
def limit_tokens(monkeypatch):
    """A function that limits the tokens of a batch, and with them the windows."""
    def limit_tokens(tokens):
        for module in (batching, embedder_module):
            monkeypatch.setattr(module, "BATCH_TOKENS", tokens)

    return limit_tokens


@pytest.fixture
def small_windows(limit_tokens):
    limit_tokens(7)


def reference(model, sentence, variant="elmo"):
    params = {theirs: weights_of(model)[ours] for ours, theirs in lark.names().items()}
    ids = VOCABULARY.encode(sentence)
    return numpy_elmo.sentence_layers(params, ids, variant)


@pytest.mark.smoke
@pytest.mark.parametrize("variant", ["elmo", "lark"])
def test_vectors_equal_the_numpy_reference(model, folder, variant):
    sentences = sentences_of([4, 0, 9, 1, 4])
    found = Embedder(folder, variant=variant).embed(sentences)
    assert [layers.shape for layers in found] == [(3, len(s), 12) for s in sentences]
    for sentence, layers in zip(sentences, found):
        if sentence:
            expected = reference(model, sentence, variant)
            np.testing.assert_allclose(layers, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", ["elmo", "lark"])
@pytest.mark.parametrize("length", [5, 6, 12, 13, 14, 15, 40])
def test_long_sentences_run_in_windows_with_the_same_values(folder, limit_tokens, variant, length):
    sentences = sentences_of([length, 3])
    limit_tokens(7)
    found = Embedder(folder, variant=variant).embed(sentences)
    limit_tokens(4096)
    expected = Embedder(folder, variant=variant).embed(sentences)
    for first, second in zip(found, expected):
        np.testing.assert_allclose(first, second, atol=1e-6, rtol=0)


def test_a_long_sentence_comes_in_pieces_of_bounded_size(folder, small_windows):
    (sentence,) = sentences_of([40])
    pieces = list(Embedder(folder).pieces([sentence]))
    assert [piece.start for piece in pieces] == [0, 6, 13, 20, 27, 34]
    assert max(piece.vectors.shape[1] for piece in pieces) == 7
    assert sum(piece.vectors.shape[1] for piece in pieces) == 40


@pytest.mark.smoke
@pytest.mark.parametrize("count", [7, 13, 32])
def test_a_sentence_has_the_same_vectors_in_every_company(tmp_path, count):
    make_model(EVEN_CONFIG).save_pretrained(tmp_path, VOCABULARY)
    embedder = Embedder(tmp_path)
    sentences = sentences_of([6] * count)
    found = embedder.embed(sentences)
    order = np.random.default_rng(1).permutation(count)
    again = embedder.embed([sentences[number] for number in order])
    for place, number in enumerate(order):  # of the same shape
        assert_promised_bits(again[place], found[number])
    (alone,) = embedder.embed(sentences[3:4])
    np.testing.assert_allclose(alone, found[3], atol=1e-6, rtol=0)


def test_layers_are_chosen_or_mixed(model, folder, tmp_path):
    sentences = sentences_of([5, 1])
    whole = Embedder(folder).embed(sentences)
    elmo = ELMo(model)
    elmo.eval()
    elmo.mixes[0].weights.set_value(np.array([0.3, -1, 0.5], np.float32))
    elmo.mixes[0].gamma.set_value(np.array([1.7], np.float32))
    elmo.save_mixes(tmp_path)
    for name, expected in (
        ("top", [layers[-1] for layers in whole]),
        ("average", [layers.mean(axis=0) for layers in whole]),
    ):
        for found, wanted in zip(Embedder(folder, layers=name).embed(sentences), expected):
            np.testing.assert_allclose(found, wanted, atol=1e-6)
    mixed = Embedder(folder, layers="mix", mix_from=tmp_path).embed(sentences)
    ids = VOCABULARY.encode(sentences[0])
    np.testing.assert_allclose(mixed[0], elmo(paddle.to_tensor([ids]))[0][0].numpy(), atol=1e-6)


@pytest.mark.parametrize("windows", [False, True])
def test_a_mix_with_layer_norm_is_that_of_elmo(model, folder, tmp_path, limit_tokens, windows):
    if windows:
        limit_tokens(7)
    elmo = ELMo(model, layer_norm=True)
    elmo.eval()
    elmo.save_mixes(tmp_path)
    sentences = sentences_of([11, 2])
    found = Embedder(folder, layers="mix", mix_from=tmp_path).embed(sentences)
    for sentence, vectors in zip(sentences, found):
        ids = VOCABULARY.encode(sentence)
        expected = elmo(paddle.to_tensor([ids]))[0][0].numpy()
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["elmo", "lark"])
@pytest.mark.parametrize("windows", [False, True])
def test_a_stateful_embedder_goes_on_where_it_was(model, folder, limit_tokens, variant, windows):
    from bilm.network.contextual import contextual_layers

    if windows:
        limit_tokens(5)
    sentences = sentences_of([9, 2, 0, 9])
    sentences[3] = sentences[0]
    embedder = Embedder(folder, stateful=True, variant=variant)
    found = embedder.embed(sentences[:2]) + embedder.embed(sentences[2:])
    state = None
    model.eval()
    for sentence, layers in zip(sentences, found):
        if not sentence:
            continue
        borders = variant == "elmo"
        tokens = ["<S>", *sentence, "</S>"] if borders else sentence
        ids = paddle.to_tensor([VOCABULARY.encode(tokens)])
        expected, state = contextual_layers(model, ids, None, variant, state)
        expected = expected.numpy()[:, 0]
        expected = expected[:, 1:-1] if borders else expected
        np.testing.assert_allclose(layers, expected, atol=5e-6)  # other batches of rows
    assert np.abs(found[0] - found[3]).max() > 1e-3
    embedder.set_state({})
    np.testing.assert_array_equal(embedder.embed(sentences[:1])[0], found[0])


@pytest.mark.smoke
def test_unknown_words_get_the_mean_of_their_known_characters(model, folder):
    sentence = ["我们", "天人", "我鸟", "鸟鱼"]
    embedder = Embedder(folder, unknown="characters")
    (found,) = embedder.embed([sentence])
    table = weights_of(model)["embedding.weight"]
    row = {word: table[VOCABULARY.encode([word])[0]] for word in (*WORDS, "<UNK>")}
    expected = [row["我们"], (row["天"] + row["人"]) / 2, row["我"], row["<UNK>"]]
    np.testing.assert_allclose(found[0, :, : CONFIG.projection_size], expected, atol=1e-6)
    (plain,) = Embedder(folder).embed([sentence])
    np.testing.assert_allclose(
        plain[0, 1:, : CONFIG.projection_size], [row["<UNK>"]] * 3, atol=1e-6)
    assert np.abs(found[2, 0] - plain[2, 0]).max() > 1e-4  # the states see it, too


@pytest.mark.parametrize("options, message", [
    ({"layers": "first"}, "layers must be one of all, top, mix, average, not 'first'"),
    ({"layers": "mix"}, "layers 'mix' and mix_from"),
    ({"mix_from": "."}, "layers 'mix' and mix_from"),
    ({"variant": "x"}, "variant must be one of elmo, lark"),
    ({"unknown": "x"}, "unknown must be one of unk, characters"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"vocab_path": __file__}, "expected one word"),
])
def test_bad_options_are_told(folder, options, message):
    with pytest.raises(InputError, match=message):
        Embedder(folder, **options)


def test_a_mix_of_another_kind_is_told(model, folder, tmp_path):
    ELMo(model, variant="lark").save_mixes(tmp_path)
    with pytest.raises(InputError, match="variant lark, not elmo; pass --variant lark"):
        Embedder(folder, layers="mix", mix_from=tmp_path)
    ELMo(model, num_mixes=2).save_mixes(tmp_path)
    with pytest.raises(InputError, match="expected one mix of 3 layers, found those of 3, 3"):
        Embedder(folder, layers="mix", mix_from=tmp_path)


def test_larks_folder_needs_a_vocabulary(tmp_path):
    with pytest.raises(InputError, match="has no vocab.txt; name the file with --vocab_path"):
        Embedder(lark.FOLDER / "checkpoint_trained")
    words = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(34))]
    (tmp_path / "v.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    embedder = Embedder(lark.FOLDER / "checkpoint_trained", vocab_path=tmp_path / "v.txt")
    assert embedder.embed([["w3", "w9"]])[0].shape == (3, 2, 16)


def test_a_string_is_no_list_of_words(folder):
    for wrong, message in (
        (["我们"], "sentence 0 must be a list of words, not the string '我们'"),
        ("我们", "expected a list of sentences, found the string '我们'"),
        ([["我们"], ["好", 3]], "sentence 1: a word must be a string, not 3"),
    ):
        with pytest.raises(InputError, match=message):
            Embedder(folder).embed(wrong)
    assert len(Embedder(folder).embed(iter([iter(["我们"])]))) == 1
    sentence = ("我们", "下雨")
    assert Embedder(folder).embed((sentence,))[0].shape == (3, 2, 12)
