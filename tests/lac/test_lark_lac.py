"""A tagger of LARK's LAC demo, imported, against what the original computed."""

import shutil

import numpy as np
import paddle
import pytest

from bilm.errors import InputError
from bilm.storage.formats.lod_tensor import read_tensor, write_tensor
from lac import LAC
from lac.commands.convert import main
from lac.convert import import_lark
from lac.network.viterbi import best_paths
from lac.pretrained import load_tagger
from tests.reference.places import FIXTURES, LARK_LAC
from tests.reference.refusals import refusal_of


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lark") / "tagger"
    import_lark(LARK_LAC / "checkpoint", folder)
    return folder


@pytest.fixture(scope="module")
def golden():
    with np.load(LARK_LAC / "golden.npz") as arrays:
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


def copy_of_the_demo(folder, **changes):
    """Copy the demo's folder with some variables changed."""
    shutil.copytree(LARK_LAC / "checkpoint", folder)
    for name, change in changes.items():
        file = next(path for path in folder.iterdir() if path.name.replace(".", "_") == name)
        array = change(np.asarray(read_tensor(file)))
        with open(file, "wb") as stream:
            write_tensor(stream, array)
    return folder


@pytest.mark.parametrize("changes, told", [
    ({"fc_8_w_0": lambda array: array[:, :8]}, "expected"),
    ({"word_emb": lambda array: array[:35]}, "word_emb has 35 rows, but embedding_para 37"),
])
def test_tensors_that_do_not_fit_are_refused_and_nothing_is_left(tmp_path, changes, told):
    with pytest.raises(InputError, match=told):
        import_lark(copy_of_the_demo(tmp_path / "demo", **changes), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_words_and_tags_come_with_their_files(tmp_path, capsys):
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("<S>\n</S>\n<UNK>\n" + "".join(f"词{n}\n" for n in range(34)), "utf-8")
    (tmp_path / "tags.txt").write_text("".join(f"{n}\tt{n}\n" for n in range(9)), "utf-8")
    main([str(LARK_LAC / "checkpoint"), str(tmp_path / "out"), "--to", "lac", "--vocab",
          str(vocabulary), "--tags", str(tmp_path / "tags.txt")])
    assert "37 words, 9 tags; every tensor read back" in capsys.readouterr().out
    words, tags = LAC(tmp_path / "out").run("词1词2")
    assert "".join(words) == "词1词2"
    assert set(tags) <= {f"t{n}" for n in range(9)}


@pytest.mark.parametrize("more, told", [
    (["--dtype", "float16"], "--to lac goes without --dtype float16"),
    (["--tags", "nowhere"], "nowhere"),
    (["--vocab", "nowhere"], "nowhere"),
])
def test_bad_arguments_are_one_line(tmp_path, capsys, more, told):
    arguments = [str(LARK_LAC / "checkpoint"), str(tmp_path / "out"), "--to", "lac", *more]
    assert told in refusal_of(main, arguments, capsys)
    assert not (tmp_path / "out").exists()


def test_folders_that_are_no_tagger_are_told(tmp_path, imported, capsys):
    bilm = FIXTURES / "lark-bilm/checkpoint_init"
    for source, told in ((bilm, "no complete tagger of LARK's LAC demo: missing"),
                         (tmp_path, "no folder of LARK's LAC demo")):
        assert told in refusal_of(main, [str(source), str(tmp_path / "o"), "--to", "lac"], capsys)
    with pytest.raises(InputError, match="takes ids only; import it again with --vocab"):
        LAC(imported)


def test_other_conversions_are_those_of_bilm_convert(tmp_path, capsys):
    source = FIXTURES / "lark-bilm/checkpoint_init"
    main([str(source), str(tmp_path / "out"), "--to", "bilm"])
    assert "verified: every tensor read back" in capsys.readouterr().out
