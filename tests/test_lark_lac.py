"""A tagger of LARK's LAC demo, imported, against what the original computed."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from lac.convert import import_lark
from lac.pretrained import load_tagger
from lac.viterbi import best_paths

FIXTURES = Path(__file__).parent / "fixtures/lark-lac"


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lark") / "tagger"
    import_lark(FIXTURES / "checkpoint", folder)
    return folder


@pytest.fixture(scope="module")
def golden():
    with np.load(FIXTURES / "golden.npz") as arrays:
        return dict(arrays)


def padded(flat, lengths):
    rows = np.zeros((len(lengths), max(lengths)), np.int64)
    for row, values in zip(rows, np.split(flat.reshape(-1), np.cumsum(lengths)[:-1])):
        row[: len(values)] = values
    return paddle.to_tensor(rows)


@pytest.mark.smoke
def test_emissions_paths_and_likelihoods_are_larks(imported, golden):
    tagger, stored = load_tagger(imported)
    lengths = golden["lens"].reshape(-1).astype(np.int64)
    ids, counts = padded(golden["ids"], lengths), paddle.to_tensor(lengths)
    with paddle.no_grad():
        emissions = tagger(ids, counts, ids)
        nats = tagger.crf(emissions, padded(golden["target"], lengths), counts).numpy()
    rows = emissions.numpy()
    flat = np.concatenate([row[:length] for row, length in zip(rows, lengths)])
    np.testing.assert_allclose(flat, golden["emission"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(nats, golden["neg_log_likelihood"].reshape(-1), rtol=1e-4)
    assert nats.mean() == pytest.approx(float(golden["avg_cost"].reshape(())), rel=1e-4)
    assert not stored.config.constrained_decoding
    paths = best_paths(rows, lengths, tagger.crf.scores())
    assert np.concatenate(paths).tolist() == golden["decode"].reshape(-1).tolist()
