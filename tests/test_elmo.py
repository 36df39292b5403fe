"""ELMo in dynamic mode: LARK's values, an independent reference, and what must not leak."""

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, ELMo, InputError
from bilm.network.contextual import contextual_layers
from bilm.storage.tensors import weights_of
from tests.reference import lark, numpy_bilm, numpy_elmo
from tests.reference.elmos import pad, run, still
from tests.reference.embedded_words import EVEN_CONFIG, make_model
from tests.reference.kernel_problems import assert_promised_bits

CONFIG = BiLMConfig(vocab_size=30, projection_size=8, cell_size=12, dropout=0.3)
VARIANTS = ["elmo", "lark"]


@pytest.fixture(scope="module")
def trained():
    return BiLM.from_pretrained(lark.FOLDER / "checkpoint_trained")


@pytest.fixture
def bilm():
    paddle.seed(4)
    model = BiLM(CONFIG)
    for tensor in model.state_dict().values():
        tensor.set_value(tensor * 2 + 0.02)
    return model


@pytest.mark.smoke
def test_larks_encoder_is_reproduced(trained):
    golden = lark.golden()
    rows, lengths = pad(golden)
    elmo = still(ELMo(trained, variant="lark"), golden["elmo/w"], golden["elmo/gamma"])
    (found,) = run(elmo, rows, lengths)
    inside = np.arange(rows.shape[1]) < lengths[:, None]
    np.testing.assert_allclose(found[inside], golden["elmo/out"], atol=1e-5, rtol=0)
    assert not found[~inside].any()


@pytest.mark.smoke
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_both_variants_equal_the_numpy_reference(trained, variant, layer_norm):
    golden = lark.golden()
    rows, lengths = pad(golden)
    params = numpy_bilm.read_lark_folder(lark.FOLDER / "checkpoint_trained")
    weights, gamma = [0.4, -1.0, 0.8], [1.3]
    elmo = still(ELMo(trained, variant=variant, layer_norm=layer_norm), weights, gamma)
    (found,) = run(elmo, rows, lengths)
    for row, ids, length in zip(found, rows, lengths):
        layers = numpy_elmo.sentence_layers(params, ids[:length], variant)
        expected = numpy_elmo.mix(layers, np.array(weights), gamma[0], layer_norm)
        np.testing.assert_allclose(row[:length], expected, atol=1e-5, rtol=0)
    full = run(elmo, rows[1:2, :1])[0]  # without lengths
    np.testing.assert_allclose(full[0], found[1, :1], atol=1e-6)


def test_models_without_skip_connections_are_computed_so():
    paddle.seed(1)
    model = BiLM(BiLMConfig(**{**CONFIG.__dict__, "use_skip_connections": False}))
    params = {theirs: weights_of(model)[ours] for ours, theirs in lark.names().items()}
    ids = [5, 9, 3, 22]
    expected = numpy_elmo.sentence_layers(params, ids, use_skip_connections=False)
    found = ELMo(model).layers(paddle.to_tensor([ids]))[:, 0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5, rtol=0)


@pytest.mark.smoke
def test_a_token_is_unknown_to_the_states_before_it(bilm):
    bilm.eval()
    size, place = CONFIG.projection_size, 4
    ids = np.random.default_rng(0).integers(3, 30, (3, 9))
    changed = ids.copy()
    changed[:, place] = (changed[:, place] - 3 + 1) % 27 + 3
    elmo = ELMo(bilm)
    before, after = (elmo.layers(paddle.to_tensor(x)).numpy() for x in (ids, changed))
    forward, backward = np.split(before == after, [size], axis=-1)
    assert forward[:, :, :place].all()
    assert backward[:, :, place + 1 :].all()
    assert not forward[1:, :, place:].all(axis=-1).any()
    assert not backward[1:, :, : place + 1].all(axis=-1).any()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 11])
def test_neighbours_and_their_order_change_no_bit(variant, rows):
    random = np.random.default_rng(rows)
    elmo = ELMo(make_model(EVEN_CONFIG), variant=variant, layer_norm=True)
    still(elmo, [0.1, 0.5, -0.2], [1.1])
    vocab_size = EVEN_CONFIG.vocab_size
    ids, lengths = random.integers(3, vocab_size, (rows, 7)), random.integers(0, 8, rows)
    lengths[0] = 7
    (found,) = run(elmo, ids, lengths)
    np.testing.assert_array_equal(run(elmo, ids, lengths)[0], found)
    order = random.permutation(rows)
    assert_promised_bits(run(elmo, ids[order], lengths[order])[0], found[order])
    others = random.integers(3, vocab_size, ids.shape)
    others[0] = ids[0]
    other_lengths = random.integers(0, 8, rows)
    other_lengths[0] = 7
    assert_promised_bits(run(elmo, others, other_lengths)[0][0], found[0])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_padded_batch_is_its_sentences_one_by_one(bilm, variant, layer_norm):
    random = np.random.default_rng(2)
    elmo = still(ELMo(bilm, variant=variant, layer_norm=layer_norm), [0.1, 0.5, -0.2], [1.1])
    ids, lengths = random.integers(3, 30, (5, 9)), np.array([9, 1, 0, 4, 8])
    (found,) = run(elmo, ids, lengths)
    assert np.isfinite(found).all()
    for row, length in enumerate(lengths):
        assert not found[row, length:].any()
        if length:
            alone = run(elmo, ids[row : row + 1, :length])[0][0]
            np.testing.assert_allclose(found[row, :length], alone, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_without_tokens_give_zeros(bilm, variant):
    (found,) = run(still(ELMo(bilm, variant=variant)), np.full((2, 3), 5), [0, 0])
    assert found.shape == (2, 3, 16)
    assert not found.any()


def test_state_is_carried_only_when_it_is_passed_in(bilm):
    bilm.eval()
    ids = paddle.to_tensor(np.random.default_rng(0).integers(3, 30, (1, 8)))
    elmo = ELMo(bilm)
    np.testing.assert_array_equal(elmo.layers(ids).numpy(), elmo.layers(ids).numpy())
    first, state = contextual_layers(bilm, ids)
    second, _ = contextual_layers(bilm, ids, state=state)
    assert not (first == second).numpy()[1:].all(axis=-1).any()


def test_each_mix_has_weights_of_its_own(bilm):
    elmo = still(ELMo(bilm, num_mixes=2))
    ids = paddle.to_tensor([[5, 6, 7]])
    layers = elmo.layers(ids).numpy()
    elmo.mixes[1].weights.set_value(np.array([50.0, 0, 0], np.float32))
    average, first = elmo(ids)
    np.testing.assert_allclose(average.numpy(), layers.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(first.numpy(), layers[0], atol=1e-6)
    weights = elmo.mix_weights()
    np.testing.assert_allclose(weights[0].shares, [1 / 3] * 3, rtol=1e-6)
    np.testing.assert_allclose(weights[1].shares, [1, 0, 0], atol=1e-6)
    assert weights[0].gamma == 1.0


def test_layers_0_is_the_word_vector_twice(bilm):
    ids = paddle.to_tensor([[5, 6, 7]])
    rows = bilm.embedding.weight.numpy()[[5, 6, 7]]
    for variant in VARIANTS:
        found = ELMo(bilm, variant=variant).layers(ids)[0, 0].numpy()
        np.testing.assert_array_equal(found, np.concatenate([rows, rows], axis=-1))


def test_dropout_acts_on_the_mix_or_as_in_lark_on_the_lstm_layers(bilm):
    ids = paddle.to_tensor(np.random.default_rng(0).integers(3, 30, (8, 20)))
    plain = still(ELMo(bilm))(ids)[0].numpy()
    elmo = ELMo(bilm)
    elmo.train()
    mixed = elmo(ids)[0].numpy()
    kept = mixed != 0
    assert 0.4 < kept.mean() < 0.6
    np.testing.assert_allclose(mixed[kept], 2 * plain[kept], rtol=1e-5)
    larks = ELMo(bilm, variant="lark")
    larks.mixes[0].weights.set_value(np.array([50.0, 0, 0], np.float32))
    larks.train()
    found = larks(ids)[0].numpy()  # of the token layer, which is never dropped
    np.testing.assert_allclose(found, larks.layers(ids)[0].numpy(), atol=1e-6)
    larks.mixes[0].weights.set_value(np.array([0, 50.0, 0], np.float32))
    assert 0.4 < (np.abs(larks(ids)[0].numpy()) > 1e-15).mean() < 0.6


def test_the_bilms_own_dropout_is_off(bilm):
    bilm.train()
    elmo = ELMo(bilm, dropout=0.0, trainable=True)
    elmo.train()
    ids = [[4, 8, 15, 16, 23]]
    np.testing.assert_array_equal(run(elmo, ids)[0], run(elmo, ids)[0])


def train_a_step(elmo):
    elmo.train()
    optimizer = paddle.optimizer.SGD(0.1, parameters=elmo.parameters())
    ids = paddle.to_tensor(np.random.default_rng(0).integers(0, 30, (4, 30)))
    loss = (elmo(ids)[0] ** 2).sum()
    loss.backward()
    optimizer.step()


def test_a_frozen_bilm_stays_as_it_is_and_the_mix_learns(bilm):
    elmo, before = ELMo(bilm, dropout=0.0), weights_of(bilm)
    train_a_step(elmo)
    for name, array in weights_of(bilm).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert elmo.layers(paddle.to_tensor([[5]])).stop_gradient  # no backward pass
    assert elmo.mix_weights()[0].gamma != 1.0
    assert len(set(elmo.mix_weights()[0].shares.tolist())) == 3


def test_a_trainable_bilm_is_tuned_except_its_softmax(bilm):
    elmo, before = ELMo(bilm, dropout=0.0, trainable=True), weights_of(bilm)
    train_a_step(elmo)
    for name, array in weights_of(bilm).items():
        assert np.array_equal(array, before[name]) == name.startswith("softmax"), name


def test_l2_is_what_the_optimiser_adds_to_the_mix_weights(bilm):
    elmo = still(ELMo(bilm, l2_coef=0.25), [0.4, -0.2, 0.8], [1.0])
    elmo(paddle.to_tensor([[5, 6]]))[0].sum().backward()
    gradient, weights = elmo.mixes[0].weights.grad.numpy(), elmo.mixes[0].weights.numpy()
    paddle.optimizer.SGD(1.0, parameters=elmo.mixes.parameters()).step()
    expected = weights - gradient - 0.25 * weights
    np.testing.assert_allclose(elmo.mixes[0].weights.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_of_a_tuned_bilm_are_those_of_small_steps(bilm, variant, layer_norm):
    elmo = ELMo(bilm, dropout=0.0, trainable=True, variant=variant, layer_norm=layer_norm)
    random = np.random.default_rng(1)
    ids, lengths = paddle.to_tensor(random.integers(3, 30, (2, 4))), paddle.to_tensor([4, 2])
    target = paddle.to_tensor(random.normal(size=(2, 4, 16)).astype(np.float32))

    def loss():
        return (elmo(ids, lengths)[0] * target).sum()

    loss().backward()
    for parameter in (elmo.mixes[0].weights, bilm.forward_layers[1].recurrent_weight,
                      bilm.backward_layers[0].bias):
        value, gradient = parameter.numpy().copy(), parameter.grad.numpy()
        step = np.sign(gradient).astype(np.float32) * 1e-3
        parameter.set_value(value + step)
        above = float(loss())
        parameter.set_value(value - step)
        change = (above - float(loss())) / 2
        parameter.set_value(value)
        np.testing.assert_allclose(change, np.abs(gradient).sum() * 1e-3, rtol=2e-2)


def test_mixes_are_saved_and_loaded_to_the_bit(bilm, tmp_path):
    elmo = ELMo(bilm, num_mixes=2, layer_norm=True)
    random = np.random.default_rng(0)
    for mix in elmo.mixes:
        mix.weights.set_value(random.normal(size=3).astype(np.float32))
        mix.gamma.set_value(random.normal(size=1).astype(np.float32))
    elmo.save_mixes(tmp_path / "mixes")
    again = ELMo(bilm, num_mixes=2, layer_norm=True)
    again.load_mixes(tmp_path / "mixes")
    for first, second in zip(elmo.mixes, again.mixes):
        np.testing.assert_array_equal(first.weights.numpy(), second.weights.numpy())
        np.testing.assert_array_equal(first.gamma.numpy(), second.gamma.numpy())
    with pytest.raises(InputError, match="the mixes are of another kind"):
        ELMo(bilm, num_mixes=2).load_mixes(tmp_path / "mixes")
    with pytest.raises(InputError, match="no layer mix there: expected mixes.json"):
        again.load_mixes(tmp_path)
    (tmp_path / "mixes" / "mixes.json").write_text('{"variant": "elmo"}')
    with pytest.raises(InputError, match="mixes.json: not a file of layer mixes"):
        again.load_mixes(tmp_path / "mixes")


@pytest.mark.smoke
@pytest.mark.parametrize("ids, lengths, message", [
    ([[3, 4], [5, 37]], None, "id 37 in row 1, step 1 is not in the vocabulary of 37 words"),
    ([[3, -1]], None, "id -1 in row 0, step 1"),
    ([[3, 4]], [3], "length 3 of row 0 is not between 0 and 2"),
    ([[3, 4]], [-1], "length -1 of row 0"),
    ([[3, 4]], [2, 2], r"lengths must have the shape \[1\], not \[2\]"),
    ([3, 4], None, r"axes \(batch, steps\), not the shape \[2\]"),
    ([[3.0, 4.0]], None, "must be of type int64"),
])
def test_bad_input_is_told_with_its_place(trained, ids, lengths, message):
    with pytest.raises(InputError, match=message):
        run(ELMo(trained), ids, lengths)


def test_arrays_are_no_tensors(trained):
    elmo, ids = ELMo(trained), np.array([[3, 4]])
    with pytest.raises(InputError, match="token ids must be a paddle.Tensor, not ndarray"):
        elmo(ids)
    with pytest.raises(InputError, match="lengths must be a paddle.Tensor, not list"):
        elmo(paddle.to_tensor(ids), [2])


@pytest.mark.parametrize("options, message", [
    ({"variant": "bert"}, "variant must be one of elmo, lark"),
    ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ({"num_mixes": 0}, "num_mixes must be at least 1"),
])
def test_bad_options_are_told(trained, options, message):
    with pytest.raises(InputError, match=message):
        ELMo(trained, **options)


def test_elmos_that_share_a_bilm_agree_on_training_it(bilm):
    ELMo(bilm, trainable=True)
    ELMo(bilm, num_mixes=2, trainable=True)
    with pytest.raises(InputError, match="in an ELMo with trainable=True already"):
        ELMo(bilm)
    assert not any(p.stop_gradient for p in bilm.parameters())


@pytest.mark.smoke
@pytest.mark.parametrize("shape", [[None, None], [2, None], [None, 5]], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_traced_layer_computes_the_same(bilm, variant, shape, tmp_path):
    elmo = still(ELMo(bilm, variant=variant, layer_norm=True))

    class First(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.elmo = elmo

        def forward(self, token_ids, lengths):
            return self.elmo(token_ids, lengths)[0]

    layer = First()
    layer.eval()
    specs = [paddle.static.InputSpec(shape, "int64"), paddle.static.InputSpec(shape[:1], "int64")]
    traced = paddle.jit.to_static(layer, input_spec=specs, full_graph=True)
    paddle.jit.save(traced, str(tmp_path / "layer"))
    loaded = paddle.jit.load(str(tmp_path / "layer"))
    ids, lengths = np.random.default_rng(0).integers(3, 30, (2, 5)), np.array([5, 3])
    (expected,) = run(elmo, ids, lengths)
    found = loaded(paddle.to_tensor(ids), paddle.to_tensor(lengths)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_another_kind_of_model_is_refused(bilm, tmp_path):
    with pytest.raises(InputError, match="ELMo needs a BiLM, not Linear"):
        ELMo(paddle.nn.Linear(2, 2))
    with pytest.raises(InputError, match="no biLM there"):
        BiLM.from_pretrained(tmp_path)


def test_a_folder_of_other_things_is_not_replaced(bilm, tmp_path):
    bilm.save_pretrained(tmp_path / "model")
    bilm.save_pretrained(tmp_path / "model")
    (tmp_path / "model/thesis.tex").touch()
    with pytest.raises(InputError, match="would be replaced, but is no model folder: .*thesis.tex"):
        bilm.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model/thesis.tex").exists()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_no_rows_or_no_steps_give_no_vectors(bilm, variant, shape):
    elmo = still(ELMo(bilm, variant=variant))
    for lengths in (None, np.zeros(shape[0], np.int64)):
        (found,) = run(elmo, np.zeros(shape, np.int64), lengths)
        assert found.shape == (*shape, 16)


def test_other_borders_than_larks_are_used():
    config = BiLMConfig(**{**CONFIG.__dict__, "bos_id": 7, "eos_id": 9})
    paddle.seed(2)
    model = BiLM(config)
    params = {theirs: weights_of(model)[ours] for ours, theirs in lark.names().items()}
    expected = numpy_elmo.sentence_layers(params, [5, 6], bos=7, eos=9)
    found = ELMo(model).layers(paddle.to_tensor([[5, 6]]))[:, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.smoke
def test_a_saved_model_is_the_same_model(bilm, tmp_path, vocabulary):
    bilm.save_pretrained(tmp_path / "model")
    again = BiLM.from_pretrained(tmp_path / "model")
    assert again.config == bilm.config
    assert not again.training
    for name, array in weights_of(again).items():
        np.testing.assert_array_equal(array, weights_of(bilm)[name])
    assert BiLMConfig.from_pretrained(tmp_path / "model") == CONFIG


def test_a_model_of_one_direction_gives_half_the_features():
    paddle.seed(0)
    model = BiLM(BiLMConfig(**{**CONFIG.__dict__, "bidirectional": False}))
    for variant in VARIANTS:
        (found,) = run(still(ELMo(model, variant=variant)), [[3, 4, 5]])
        assert found.shape == (1, 3, 8)


@pytest.mark.smoke
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_word_in_pieces_has_the_mean_of_their_vectors(bilm, variant):
    ids = np.array([[5, 6, 7, 8], [9, 4, 0, 0], [3, 3, 3, 0]])
    lengths = [4, 2, 3]
    pieces = np.full((3, 4, 3), -1)
    pieces[:, :, 0] = ids
    elmo = still(ELMo(bilm, variant=variant))
    np.testing.assert_array_equal(run(elmo, pieces, lengths)[0], run(elmo, ids, lengths)[0])
    pieces[0, 1] = [10, 11, 12]
    (found,) = run(elmo, pieces, lengths)
    table = bilm.embedding.weight.numpy()
    changed = table.copy()
    changed[6] = (table[10] + table[11] + table[12]) / 3
    bilm.embedding.weight.set_value(changed)
    np.testing.assert_allclose(found, run(elmo, ids, lengths)[0], atol=1e-6)
    pieces[2, 0, 1] = -2
    with pytest.raises(InputError, match="id -2 in row 2, step 0 is not in the vocabulary"):
        run(elmo, pieces, lengths)
