"""Taggers that get ELMo when they are trained further: at first it changes nothing."""

from functools import partial

import numpy as np
import paddle
import pytest

from bilm.storage.run_folder import RunFolder
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from lac import LAC
from lac.convert import import_baidu
from lac.layer_cache import LayerCache
from lac.model_folder import read_tagger
from lac.prediction import tensors_of
from lac.pretrained import load_tagger
from lac.training.options import TaggerOptions
from lac.training.run import train
from lac.training.setup import set_up
from tests.reference import baidu_lac
from tests.reference.models import random_model, write
from tests.reference.taggers import trained, write_text

LINES = (
    "小明 在 北京 看 花 ，\tPER-B v-B PER-B v-B n-B w-B",
    "春天 来 了 ，\tn-B v-B v-B w-B",
    "小明 看花 来了\tPER-B v-B v-B",
    "花 在 a1\tn-B v-B n-B",
)
TEXTS = ["小明在北京看花，", "春天来了", " 花a1雪", "，"]
WORDS = [*baidu_lac.CHARACTERS, "春天", "小明", "北京", "看花", "来了", "a1"]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Return taggers without ELMo: of Baidu's layout, and one whose GRU is Paddle's."""
    folder = tmp_path_factory.mktemp("bases")
    package = baidu_lac.write_package(folder / "LAC")
    for mode in ("lac", "rank"):
        import_baidu(package / f"{mode}_model", folder / mode)
    write_text(folder, LINES)
    return {"lac": folder / "lac", "rank": folder / "rank",
            "own": trained(folder, max_epochs=1, pieces="characters")}


def options(folder, base, segmenter, **changes):
    """Return options of a run that goes on from a tagger with a biLM over words or pieces."""
    model = random_model(3, vocab_size=len(WORDS) + 3, projection_size=6, cell_size=10)
    model = model._replace(vocabulary=Vocabulary([*SPECIAL_TOKENS, *WORDS]),
                           segmentation=segmenter and {"segmenter": segmenter})
    path = str(write_text(folder, LINES))
    return TaggerOptions(
        train_path=path, dev_path=path, save_dir=str(folder / "run"), threads=1, max_epochs=1,
        load_pretraining_params=str(base), elmo=str(write(folder / "bilm", model, "bilm")),
        batch_size=2, **changes,
    )


def emissions(tagger, ids, layers=None):
    tagger.eval()
    with paddle.no_grad():
        return tagger(*tensors_of(ids, with_elmo=layers is None), elmo_layers=layers).numpy()


@pytest.mark.parametrize("base, segmenter, reads", [
    ("lac", None, "words"), ("lac", "dictionary", "pieces"), ("own", "characters", "pieces"),
    ("own", None, "words"),
])
@pytest.mark.parametrize("variant", ["elmo", "lark"])
@pytest.mark.parametrize("finetune", [False, True])
def test_before_the_first_step_scores_are_those_without_elmo(
    bases, tmp_path, base, segmenter, reads, variant, finetune
):
    chosen = options(tmp_path, bases[base], segmenter, variant=variant, finetune_elmo=finetune)
    without, stored = load_tagger(bases[base])
    pieces = [stored.pieces().cut(text) for text in TEXTS]
    expected = emissions(without, stored.lookup()(pieces))
    with RunFolder(chosen.save_dir, "--save_dir") as folder:
        setup = set_up(chosen, folder)
    tagger, lookup = setup.trainer.tagger, setup.analyser.predictor.lookup
    assert (tagger.config.elmo_variant, tagger.config.elmo_reads) == (variant, reads)
    assert (setup.dev_cache is None) == finetune
    ids = lookup(pieces)
    close = partial(np.testing.assert_allclose, atol=1e-6, rtol=0)  # measured: the same bits
    close(emissions(tagger, ids), expected)
    cache = LayerCache(tagger.elmo, lookup, pieces, 100, str(tmp_path), None)
    layers = paddle.to_tensor(cache.layers(range(len(pieces))))
    close(emissions(tagger, ids, layers), expected)
    for parameter in tagger.gru_layers[0].parameters():
        parameter.set_value(parameter + 0.1)  # ELMo is heard as soon as its rows are not zero
    other = lookup([[*reversed(each)] for each in pieces])
    assert (emissions(tagger, ids) != emissions(tagger, ids._replace(elmo=other.elmo))).any()


@pytest.mark.slow
@pytest.mark.parametrize("base, segmenter, finetune", [
    ("lac", None, False), ("lac", "dictionary", True), ("rank", "dictionary", False),
])
def test_an_imported_tagger_is_trained_further_with_elmo(
    bases, tmp_path, base, segmenter, finetune
):
    chosen = options(tmp_path, bases[base], segmenter, finetune_elmo=finetune)
    outcome = train(chosen)
    before, after = read_tagger(bases[base]), read_tagger(chosen.save_dir)
    assert (after.tags, after.words) == (before.tags, before.words)
    assert after.config.convention == "baidu"
    inputs = "gru_layers.0.forward_direction.input_weight"
    elmo_rows = after.weights[inputs][: 2 * 6]
    assert elmo_rows.any(axis=-1).all()  # learned
    assert 0 <= outcome.dev["f1"] <= 1
    lac = LAC(chosen.save_dir, threads=1)
    assert ["".join(words) for words, _ in lac.run(TEXTS)] == TEXTS
    if base == "rank":
        words, types, ranks = lac.rank(TEXTS[0])
        assert len(words) == len(types) == len(ranks)
        for name, array in before.ranker.items():
            np.testing.assert_array_equal(after.ranker[name], array, err_msg=name)
