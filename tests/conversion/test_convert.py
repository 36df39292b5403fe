"""`bilm convert`, `inspect`, `compare`: what they do, print and refuse."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bilm import BiLM, InputError, Vocabulary
from bilm.commands.compare import main as compare_main
from bilm.commands.convert import main
from bilm.commands.inspect import main as inspect_main
from bilm.conversion import convert as convert_module
from bilm.conversion.convert import convert
from bilm.conversion.inspection import inspect
from bilm.conversion.numpy_model import run_layers
from bilm.storage.formats.known import FORMATS
from bilm.storage.pretrained import open_model
from bilm.storage.stored_model import MOMENT
from bilm.text.vocabulary import SPECIAL_TOKENS
from tests.reference import lark, numpy_bilm
from tests.reference.kernel_problems import error
from tests.reference.models import CHARACTER_OPTIONS, random_model, write
from tests.reference.refusals import refusal_of

TRAINED = lark.FOLDER / "checkpoint_trained"


def outputs(model, ids):
    return run_layers(model.config, model.tensors, ids)


@pytest.mark.smoke
@pytest.mark.parametrize("name", FORMATS)
def test_larks_checkpoint_converts_every_way_and_back(tmp_path, name):
    done = convert(TRAINED, tmp_path / "there", name)
    assert (done.source_format, done.num_tensors) == ("lark", 19)
    has_moments = FORMATS[name].has_moments
    assert done.num_moments == (19 if has_moments else 0)
    assert "NumPy" in done.differences and "Paddle" in done.differences
    assert max(done.differences.values()) < 1e-5
    assert ("the optimiser's moments" in done.lost) == (not has_moments)
    convert(tmp_path / "there", tmp_path / "back", "lark")
    expected = numpy_bilm.read_lark_folder(TRAINED)
    (tmp_path / "back/config.json").unlink()
    found = numpy_bilm.read_lark_folder(tmp_path / "back")
    for variable in (v for v in expected if has_moments or not v.endswith("_moment_0")):
        if name == "hdf5" and variable.endswith(".b_0"):
            np.testing.assert_allclose(found[variable], expected[variable], atol=3e-7)
        else:
            np.testing.assert_array_equal(found[variable], expected[variable])



def test_weights_alone_are_converted(tmp_path):
    source = write(tmp_path / "source", random_model(vocabulary=True, moments=True), "bilm")
    done = convert(source, tmp_path / "small", "bilm", weights_only=True, dtype="float16")
    assert (done.num_tensors, done.num_moments, done.lost) == (19, 0, [])
    assert not (tmp_path / "small/training").exists()
    assert BiLM.from_pretrained(tmp_path / "small").config == BiLM.from_pretrained(source).config


def test_lark_files_are_larks_byte_for_byte(tmp_path):
    convert(TRAINED, tmp_path / "out", "lark")
    for path in (tmp_path / "out").iterdir():
        if path.name != "config.json":
            assert path.read_bytes() == (TRAINED / path.name).read_bytes(), path.name
    left = {*os.listdir(TRAINED)} - {*os.listdir(tmp_path / "out")}
    assert left == {"concat_1.tmp_0", "concat_2.tmp_0", "reduce_mean_0.tmp_0", "learning_rate_0"}


@pytest.mark.smoke
def test_a_model_of_any_format_runs_in_paddle(tmp_path):
    ids = np.random.default_rng(0).integers(0, 37, (2, 6))
    expected = outputs(open_model(TRAINED), ids)
    import paddle

    for name in FORMATS:
        convert(TRAINED, tmp_path / name, name, verify=False)
        layers = BiLM.from_pretrained(tmp_path / name)(paddle.to_tensor(ids))[0].numpy()
        np.testing.assert_allclose(layers, expected, atol=1e-5)


WITHOUT = """
import sys
sys.modules["paddle"] = sys.modules["torch"] = None
from bilm.commands.convert import main
from bilm.commands.inspect import main as inspect
from bilm.storage.formats.known import FORMATS
for name in FORMATS:
    main([sys.argv[1], sys.argv[2] + name, "--to", name])
    inspect([sys.argv[2] + name])
assert not any(module.startswith(("paddle.", "torch.")) for module in sys.modules)
"""


@pytest.mark.smoke
def test_neither_paddle_nor_pytorch_is_needed(tmp_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(TRAINED), str(tmp_path) + "/"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("largest difference of outputs: NumPy") == len(FORMATS)


def test_words_are_carried_over(tmp_path):
    words = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(34))]
    (tmp_path / "v.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    convert(TRAINED, tmp_path / "out", "torch", vocab_path=tmp_path / "v.txt")
    convert(tmp_path / "out", tmp_path / "back", "lark")
    assert Vocabulary.load(tmp_path / "back/vocab.txt").words == tuple(words)
    assert open_model(tmp_path / "back").vocabulary.words == tuple(words)


def test_clips_are_told_where_the_source_does_not_tell_them(tmp_path):
    convert(TRAINED, tmp_path / "out", "bilm", cell_clip=2.0, projection_clip=0.0)
    config = open_model(tmp_path / "out").config
    assert (config.cell_clip, config.projection_clip) == (2.0, 0.0)
    with pytest.raises(InputError, match="cell_clip is 2.0 there; leave out the other value, 3.0"):
        convert(tmp_path / "out", tmp_path / "again", "torch", cell_clip=3.0)


def test_half_precision_is_verified_as_it_is_stored(tmp_path):
    for name in ("bilm", "lark", "torch", "hdf5"):
        done = convert(TRAINED, tmp_path / name, name, dtype="float16")
        for array in open_model(tmp_path / name).tensors.values():
            assert array.dtype == np.float16
        assert max(done.differences.values()) < 1e-2


def new_words(tmp_path, words):
    (tmp_path / "new.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return tmp_path / "new.txt"


def test_rows_move_to_another_vocabulary_by_word(tmp_path):
    model = random_model(vocabulary=True, moments=True)
    folder = write(tmp_path / "m", model, "bilm")
    path = new_words(tmp_path, ["</S>", "词4", "<S>", "新", "<UNK>", "词0"])
    done = convert(folder, tmp_path / "out", "bilm", new_vocab_path=path)
    assert done.words == "5 words kept their rows, 1 new ones got the mean row"
    found = open_model(tmp_path / "out")
    assert (found.config.vocab_size, found.config.bos_id, found.config.eos_id) == (6, 2, 0)
    rows = [1, 7, 0, None, 2, 3]
    for name in ("embedding.weight", "softmax.weight", "softmax.bias"):
        old, new = model.tensors[name], np.asarray(found.tensors[name])
        old_moments = model.moments[name + MOMENT]
        new_moments = np.asarray(found.moments[name + MOMENT])
        for number, row in enumerate(rows):
            wanted = old.mean(axis=0) if row is None else old[row]
            np.testing.assert_allclose(new[number], wanted, rtol=1e-6)
            wanted = np.ones_like(new_moments[number]) if row is None else old_moments[row]
            np.testing.assert_array_equal(new_moments[number], wanted)
    np.testing.assert_array_equal(np.asarray(found.tensors["forward_layers.0.bias"]),
                                  model.tensors["forward_layers.0.bias"])


def test_rows_cannot_move_without_words(tmp_path):
    path = new_words(tmp_path, SPECIAL_TOKENS)
    with pytest.raises(InputError, match="give the old one, --vocab"):
        convert(TRAINED, tmp_path / "out", "bilm", new_vocab_path=path)
    model = random_model(char_cnn=CHARACTER_OPTIONS, softmax=False, vocabulary=True)
    folder = write(tmp_path / "m", model, "bilm")
    with pytest.raises(InputError, match="reads characters and has no softmax"):
        convert(folder, tmp_path / "out", "bilm", new_vocab_path=path)


@pytest.mark.smoke
def test_a_wrong_result_is_found_and_removed(tmp_path, monkeypatch):
    def wrong(folder, model, progress):
        array = np.array(model.tensors["softmax.bias"])
        array[0] += 1
        tensors = {**model.tensors, "softmax.bias": array}
        FORMATS["bilm"].write(folder, model._replace(tensors=tensors), progress)

    broken = FORMATS["bilm"]._replace(write=wrong)
    monkeypatch.setattr(convert_module, "FORMATS", {**FORMATS, "bilm": broken})
    with pytest.raises(InputError, match="not what was read: softmax.bias has other values"):
        convert(TRAINED, tmp_path / "out", "bilm")
    assert not any(tmp_path.iterdir())


def test_other_outputs_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(convert_module, "compare_outputs", lambda *_: ({"Paddle": 1e-3}, 1e-5))
    with pytest.raises(InputError, match="computes something else than the source"):
        convert(TRAINED, tmp_path / "out", "torch")
    assert not any(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    broken = FORMATS["lark"]._replace(write=full)
    monkeypatch.setattr(convert_module, "FORMATS", {**FORMATS, "lark": broken})
    with pytest.raises(InputError, match="out: cannot be written: No space left on device"):
        convert(TRAINED, tmp_path / "out", "lark")
    assert not any(tmp_path.iterdir())


def test_a_target_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(InputError, match="out is there already"):
        convert(TRAINED, tmp_path / "out", "lark")
    (tmp_path / "out/mine").unlink()
    convert(TRAINED, tmp_path / "out", "lark")  # an empty folder is as good as none


def test_the_command_tells_what_it_did(tmp_path, capsys):
    main([str(TRAINED), str(tmp_path / "a"), "--to", "hdf5"])
    output, error = capsys.readouterr()
    assert output.startswith("lark -> hdf5: 19 tensors, 0 moments, 0.0 MB in ")
    assert "verified: every tensor read back; largest difference of outputs: NumPy " in output
    assert error == "warning: hdf5 cannot hold the optimiser's moments\n"
    main([str(tmp_path / "a"), str(tmp_path / "b"), "--to", "bilm", "--no-verify", "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    assert report["source_format"] == "hdf5" and report["differences"] == {}


@pytest.mark.parametrize("arguments, message", [
    (["none", "out", "--to", "bilm"], "none: no biLM there"),
    ([str(TRAINED), "out", "--to", "bilm", "--vocab", "none.txt"], "none.txt: No such file"),
    ([str(TRAINED), "out", "--to", "bilm", "--cell_clip", "-1"], "cell_clip must be 0"),
    ([str(TRAINED), "out", "--to", "bilm", "--from", "hdf5"], "is no hdf5 model"),
    ([str(TRAINED), "out", "--to", "bilm", "--from", "torch"], "is no torch model"),
])
def test_bad_arguments_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refusal_of(main, arguments, capsys)
    assert not os.listdir()


@pytest.mark.smoke
def test_inspection_tells_what_is_there_and_what_is_missing(tmp_path, capsys):
    found = inspect(TRAINED, sha=True)
    assert (found["format"], found["gate_order"], found["vocabulary"]) == ("lark", "cifo", None)
    assert found["config"]["cell_size"] == 14
    assert found["parameters"] == sum(w.size for w in lark.weights("checkpoint_trained").values())
    assert [line.split(":")[0] for line in found["missing"]] == ["no vocabulary"]
    biases = [w[28:42] for name, w in lark.weights("checkpoint_trained").items()
              if name.endswith(".bias") and "layers" in name]
    assert found["forget_bias"] == pytest.approx(np.mean(biases))
    convert(TRAINED, tmp_path / "torch", "torch", verify=False)
    other = inspect(tmp_path / "torch", sha=True)
    assert other["gate_order"] == "ifco"
    assert other["tensors"] == found["tensors"]  # with equal checksums, under our names
    folder = write(tmp_path / "m", random_model(softmax=False), "hdf5")
    inspect_main([str(folder)])
    text = capsys.readouterr().out
    assert "missing     no softmax: evaluation, scores and generation need one" in text
    assert "missing     no optimiser moments" in text
    inspect_main([str(folder), "--json", "-"])
    assert json.loads(capsys.readouterr().out)["format"] == "hdf5"


def test_models_are_compared_across_formats(tmp_path, capsys):
    convert(TRAINED, tmp_path / "a", "torch", verify=False)
    compare_main([str(TRAINED), str(tmp_path / "a")])
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict == "equal: largest difference 0.000e+00, allowed 0"
    model = open_model(TRAINED)
    changed = np.array(model.tensors["softmax.bias"])
    changed[3] += 0.5
    tensors = {**model.tensors, "softmax.bias": changed}
    folder = write(tmp_path / "b", model._replace(tensors=tensors, moments={}), "bilm")
    with pytest.raises(SystemExit) as exit_:
        compare_main([str(TRAINED), str(folder), "--json", "-", "--tolerance", "0.4"])
    assert exit_.value.code == 1
    found = {d["name"]: d for d in json.loads(capsys.readouterr().out)["tensors"]}
    assert found["softmax.bias"]["absolute"] == pytest.approx(0.5, rel=1e-5)
    assert found["softmax.weight"]["absolute"] == 0
    assert "softmax.bias.moment_0" not in found  # only one of them has moments
    other = write(tmp_path / "c", random_model(cell_clip=1.0), "bilm")
    with pytest.raises(SystemExit):
        compare_main([str(folder), str(other)])
    text = capsys.readouterr().out
    assert "differs     cell_clip: 3.0 and 1.0" in text
    assert "shapes (37, 8) and (11, 4)" in text
    with pytest.raises(InputError, match="--tolerance must not be negative, not nan"):
        compare_main(["a", "b", "--tolerance", "nan"])


@pytest.mark.parametrize("settings", [
    {}, {"bidirectional": False}, {"num_layers": 3, "use_skip_connections": False},
    {"char_cnn": CHARACTER_OPTIONS, "projection_size": 6},
    {"cell_clip": 0.2, "projection_clip": 0.1},
], ids=str)
def test_the_numpy_model_is_the_model(tmp_path, settings):
    import paddle

    from bilm.conversion.verify import _some_ids

    model = random_model(**settings)
    folder = write(tmp_path / "m", model, "bilm")
    ids = _some_ids(model.config)
    layers = BiLM.from_pretrained(folder)(paddle.to_tensor(ids))[0].numpy()
    assert error(outputs(model, ids), layers) < 1e-5


def test_larks_training_goes_on(tmp_path, capsys):
    """From LARK's folder and from what it converts to: the same losses, with the moments."""
    from bilm.commands.pretrain import main as pretrain

    words = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(34))]
    (tmp_path / "v.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    random = np.random.default_rng(0)
    (tmp_path / "text.txt").write_text("".join(
        " ".join(random.choice(words[3:], random.integers(2, 9))) + "\n" for _ in range(200)))
    convert(TRAINED, tmp_path / "ours", "bilm", vocab_path=tmp_path / "v.txt")
    convert(TRAINED, tmp_path / "hdf5", "hdf5")

    def losses(source, *more):
        run = tmp_path / f"run-{source.name}"
        pretrain(["--load_dir", str(source), "--train_path", str(tmp_path / "text.txt"),
                  "--para_save_dir", str(run), "--max_steps", "5", "--batch_size", "4",
                  "--num_steps", "6", "--log_interval", "1", *more])
        lines = (run / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    vocab = ["--vocab_path", str(tmp_path / "v.txt")]
    straight = losses(TRAINED, *vocab)
    assert capsys.readouterr().err == ""
    assert losses(tmp_path / "ours") == straight
    without = losses(tmp_path / "hdf5", *vocab)
    assert "hdf5 has no moments of Adagrad: the optimiser starts anew" in capsys.readouterr().err
    assert without[0] == pytest.approx(straight[0], abs=1e-5)
    assert abs(without[-1] - straight[-1]) > 1e-4
    run = tmp_path / "run-checkpoint_trained"
    pretrain(["--resume", "--para_save_dir", str(run), "--max_steps", "6"])  # it is a run now
    assert (run / "latest").read_text() == "step_00000006\n"


def test_a_model_without_softmax_goes_on_with_a_new_one(tmp_path, capsys):
    from bilm.commands.pretrain import main as pretrain

    model = random_model(softmax=False, vocabulary=True, moments=True)
    folder = write(tmp_path / "m", model, "lark")
    (tmp_path / "text.txt").write_text("词1 词2 词3\n词4 词0\n" * 40, encoding="utf-8")
    pretrain(["--load_dir", str(folder), "--train_path", str(tmp_path / "text.txt"),
              "--para_save_dir", str(tmp_path / "run"), "--max_steps", "2", "--batch_size", "2"])
    assert "has no softmax: it is initialised, and has to be learned" in capsys.readouterr().err
    found = open_model(tmp_path / "run")
    assert "softmax.weight" in found.tensors
    change = np.abs(np.asarray(found.tensors["forward_layers.0.input_weight"])
                    - model.tensors["forward_layers.0.input_weight"]).max()
    assert 0 < change < 1  # it went on from there


def test_a_second_softmax_is_lost_and_the_rest_is_a_model(tmp_path):
    folder = write(tmp_path / "m", random_model(share_softmax=False), "bilm")
    for name in ("lark", "lark-combined", "lark-npz", "hdf5"):
        for verify in (True, False):
            target = tmp_path / f"{name}{verify}"
            done = convert(folder, target, name, verify=verify)
            assert "backward_softmax.bias, backward_softmax.weight" in done.lost
            assert open_model(target).config.share_softmax
