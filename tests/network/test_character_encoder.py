"""The character encoder against a NumPy reimplementation of bilm-tf's."""

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, ELMo, InputError, elmo_encoder
from bilm.inference.embedder import Embedder
from bilm.storage.tensors import weights_of
from bilm.text.characters import character_ids, pad_characters
from tests.reference import lark, numpy_elmo
from tests.reference.elmos import run, still
from tests.reference.models import CHARACTER_OPTIONS
from tests.reference.static_programs import static_programs

SENTENCES = [["我们", "去", "公园", "看", "花"], ["a", "<S>", "𠮷野家"], ["很长" * 30], []]


def config(options=None, **settings):
    sizes = {"vocab_size": 5, "projection_size": 6, "cell_size": 9, **settings}
    return BiLMConfig(char_cnn={**CHARACTER_OPTIONS, **(options or {})}, **sizes)


def make(*arguments, **settings):
    paddle.seed(2)
    model = BiLM(config(*arguments, **settings), has_softmax=False)
    for name, tensor in model.state_dict().items():
        if name.startswith("character_encoder"):  # biases that are not zero
            shift = np.random.default_rng(len(name)).normal(size=tensor.shape, scale=0.2)
            tensor.set_value(tensor + shift.astype(np.float32))
    model.eval()
    return model


def as_bilm_tf(model):
    """Return the encoder's weights by bilm-tf's names, and the zero row of character 0."""
    ours = {name.split(".", 1)[1]: array for name, array in weights_of(model).items()
            if name.startswith("character_encoder")}
    found = {"char_embed": ours["embedding.weight"].copy()}
    found["char_embed"][0] = 0
    size = CHARACTER_OPTIONS["embedding"]["dim"]
    for name, array in ours.items():
        kind, number = (name.split("_") + [""])[:2]
        if kind == "filter":
            part = "W" if name.endswith("weight") else "b"
            shape = (1, -1, size, array.shape[-1]) if part == "W" else (-1,)
            found[f"CNN/{part}_cnn_{number}"] = array.reshape(shape)
        elif kind == "highway":
            part = name.split("_", 2)[2].replace("_weight", "").replace("_bias", "")
            letter = "W" if name.endswith("weight") else "b"
            found[f"CNN_high_{number}/{letter}_{part}"] = array
        elif kind == "projection":
            found[f"CNN_proj/{'W' if name.endswith('weight') else 'b'}_proj"] = array
    return found


def test_words_become_rows_of_bytes_between_marks():
    rows = character_ids(["ab", "我", "<S>", "</S>", "x" * 99])
    assert rows.shape == (5, 50)
    assert rows[0, :5].tolist() == [259, 98, 99, 260, 261]
    assert rows[1, :6].tolist() == [259, 231, 137, 146, 260, 261]
    assert rows[2, :4].tolist() == [259, 257, 260, 261]
    assert rows[3, :4].tolist() == [259, 258, 260, 261]
    assert rows[4].tolist() == [259] + [121] * 48 + [260]
    for word, row in zip(["ab", "我", "<S>", "</S>", "x" * 99], rows):
        assert row.tolist() == numpy_elmo.word_to_characters(word)


@pytest.mark.smoke
@pytest.mark.parametrize("options", [
    {}, {"activation": "tanh"}, {"n_highway": 0}, {"filters": [[3, 6]]}, {"n_highway": 1},
])
def test_word_vectors_equal_the_numpy_reference(options):
    model = make(options)
    weights = as_bilm_tf(model)
    assert ("CNN_proj/W_proj" in weights) == (options.get("filters") is None)
    activation = np.tanh if options.get("activation") == "tanh" else lambda x: np.maximum(x, 0)
    num_highway = options.get("n_highway", 2)
    words = [word for sentence in SENTENCES for word in sentence]
    found = model.embed(paddle.to_tensor(character_ids(words)[None])).numpy()[0]
    for word, vector in zip(words, found):
        ids = numpy_elmo.word_to_characters(word)
        expected = numpy_elmo.encode_characters(weights, ids, activation, num_highway)
        np.testing.assert_allclose(vector, expected, atol=1e-5, rtol=0, err_msg=word)


@pytest.mark.parametrize("skip", [False, True])
def test_elmo_over_characters_equals_the_numpy_reference(skip, tmp_path):
    model = make(use_skip_connections=skip)
    weights = as_bilm_tf(model)
    lstm = {theirs: array for ours, theirs in lark.names().items()
            for array in [weights_of(model).get(ours)] if array is not None}
    model.save_pretrained(tmp_path / "model")
    found = Embedder(tmp_path / "model").embed(SENTENCES)
    for sentence, layers in zip(SENTENCES[:3], found):
        vectors = np.stack([
            numpy_elmo.encode_characters(
                weights, numpy_elmo.word_to_characters(word), lambda x: np.maximum(x, 0), 2
            )
            for word in ["<S>", *sentence, "</S>"]
        ])
        expected = numpy_elmo.run_layers(lstm, vectors, "elmo", use_skip_connections=skip)[:, 1:-1]
        np.testing.assert_allclose(layers, expected, atol=1e-5, rtol=0)
    assert found[3].shape == (3, 0, 12)


def test_masked_places_are_zero_vectors_of_characters():
    model = make()
    masked = paddle.zeros([1, 1, 50], dtype="int64")
    weights = as_bilm_tf(model)
    expected = numpy_elmo.encode_characters(
        weights, [0] * 50, lambda x: np.maximum(x, 0), 2
    )
    np.testing.assert_allclose(model.embed(masked).numpy()[0, 0], expected, atol=1e-6)


def test_sentences_become_rows_of_equal_length():
    rows, lengths = pad_characters(SENTENCES)
    assert (rows.shape, lengths.tolist()) == ((4, 5, 50), [5, 3, 1, 0])
    np.testing.assert_array_equal(rows[1, :3], character_ids(SENTENCES[1]))
    assert not rows[1, 3:].any()
    with pytest.raises(InputError, match="must be a list of words"):
        pad_characters(["我们"])


@pytest.mark.smoke
def test_static_equals_dynamic():
    model = make()
    rows, lengths = pad_characters(SENTENCES)
    (expected,) = run(still(ELMo(model)), rows, lengths)
    weights = weights_of(model)
    with static_programs() as (main, startup, exe):
        word_ids = paddle.static.data("word", [None, None, 50], "int64")
        counts = paddle.static.data("lengths", [None], "int64")
        out = elmo_encoder(word_ids, lengths=counts, config=model.config, dropout=0.0)
        exe.run(startup)
        names = {**lark.names(), **{n: n for n in weights if n.startswith("character")}}
        for ours, array in weights.items():
            variable = paddle.static.global_scope().find_var(names[ours])
            variable.get_tensor().set(array, paddle.CPUPlace())
        (found,) = exe.run(main, feed={"word": rows, "lengths": lengths}, fetch_list=[out])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_all_parts_are_trained():
    model = make()
    model.train()
    ids = paddle.to_tensor(character_ids(SENTENCES[0])[None])
    (model.embed(ids) ** 2).sum().backward()
    for name, parameter in model.character_encoder.named_parameters():
        assert np.abs(parameter.grad.numpy()).sum() > 0, name
    assert not model.character_encoder.embedding.weight.grad.numpy()[0].any()


def test_many_words_are_convolved_in_parts_with_the_same_result():
    model = make()
    words = [f"w{number}" for number in range(700)]
    ids = paddle.to_tensor(character_ids(words)[None])
    whole = model.embed(ids).numpy()
    with paddle.no_grad():
        np.testing.assert_allclose(model.embed(ids).numpy(), whole, atol=1e-6)


@pytest.mark.parametrize("options, message", [
    ({"embedding": {}}, r"char_cnn.embedding must be \{'dim': a positive number\}, not \{\}"),
    ({"filters": []}, "char_cnn.filters must be pairs of a width"),
    ({"filters": [[51, 2]]}, "char_cnn.filters must be pairs of a width"),
    ({"activation": "gelu"}, "char_cnn.activation must be 'relu' or 'tanh', not 'gelu'"),
    ({"max_characters_per_token": 2}, "max_characters_per_token must be at least 3, not 2"),
    ({"n_characters": 300}, "n_characters must be 261 or 262, not 300"),
    ({"n_highway": -1}, "n_highway must be a number of layers, not -1"),
    ({"kernel": 3, "dilation": 2}, "char_cnn has unknown keys: dilation, kernel"),
])
def test_bad_options_are_told(options, message):
    with pytest.raises(InputError, match=message):
        config(options)


def test_the_configuration_survives_json():
    assert BiLMConfig.from_json(config().to_json()) == config()


@pytest.mark.parametrize("ids, message", [
    (np.zeros((1, 2), np.int64), r"axes \(batch, steps, characters\)"),
    (np.full((1, 2, 50), 262), "id 262 in row 0, step 0 is not in the 262 characters"),
])
def test_bad_character_ids_are_told(ids, message):
    with pytest.raises(InputError, match=message):
        run(ELMo(make()), ids)


def test_words_cannot_be_predicted_without_a_softmax(tmp_path):
    from bilm.storage.models import load_language_model

    with pytest.raises(InputError, match="the model has no softmax"):
        make().softmax_of(0)
    make().save_pretrained(tmp_path / "m")
    with pytest.raises(InputError, match="reads characters; this works"):
        load_language_model(tmp_path / "m")
