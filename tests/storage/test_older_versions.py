"""What version 0.1 wrote is read to the bit, and its runs go on as they went on then.

The bits of trained values belong to a processor and its libraries, so what is computed is compared
within a tolerance; what is read, and what a resumed run starts from, is compared to the bit.
"""

import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

FOLDER = next(
    path for top in Path(__file__).parents if (path := top / "fixtures/version-0.1").is_dir()
)
observe = SimpleNamespace(**runpy.run_path(str(FOLDER / "observations.py")))

# Values that differ by 3e-7 when training goes on differ by less than a tenth of this in the end.
TOLERANCE = 1e-4
# Of what counts words, in which a single other tag is seen.
RATES = ("precision", "recall", "f1")
# Dev figures of taggers in training: of gold words then, from raw text now.
ONLY_THEN = ("tag_accuracy", "unknown_word_accuracy", *RATES)
ONLY_NOW = ("word_f1", "unknown_word_recall", *RATES)
# Figures of taggers on gold words that mean the same then and now.
SAME_SCORES = ("precision", "recall", "f1", "types", "sentences")
# What a run that is resumed to its present step and saved may have changed.
NEW_AT_RESUME = (
    "options", "total_steps", "operators", "best", "stale", "evaluated", "scored_from",
)

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def expected():
    return json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "expected.npz") as found:
        return dict(found)


@pytest.fixture
def copy(tmp_path):
    """The folders of version 0.1, to write in."""
    return shutil.copytree(FOLDER, tmp_path / "version-0.1")


def assert_close(found, wanted, where=""):
    """Compare JSON values: figures within the tolerance, all others exactly."""
    assert type(found) is type(wanted), where
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for name, value in wanted.items():
            assert_close(found[name], value, f"{where}/{name}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for number, values in enumerate(zip(found, wanted)):
            assert_close(*values, f"{where}/{number}")
    elif isinstance(wanted, float):
        is_rate = where.rpartition("/")[2] in RATES
        limit = {"abs": 0.05} if is_rate else {"rel": TOLERANCE}
        assert found == pytest.approx(wanted, **limit), where
    else:
        assert found == wanted, where


def without(names, lines):
    return [{name: value for name, value in line.items() if name not in names} for line in lines]


def training_files(path):
    """Return the arrays of a checkpoint by file, with their bytes in place of their values."""
    return {
        file.relative_to(path).as_posix(): {
            name: (array.dtype, array.shape, array.tobytes())
            for name, array in load_file(file).items()
        }
        for file in path.rglob("*.safetensors")
    }


def kept_state(path):
    state = observe.state_of(path)
    return {key: value for key, value in state.items() if key not in NEW_AT_RESUME}


def test_every_weight_is_read_to_the_bit(expected):
    assert observe.weights(FOLDER) == expected["weights"]


@pytest.mark.parametrize("name", observe.TRAININGS)
def test_a_run_that_is_resumed_starts_from_what_was_saved(copy, name):
    before = observe.checkpoint(FOLDER, name, observe.TRAININGS[name][1])
    after = observe.save_again(copy, name)
    assert observe.state_of(after) != observe.state_of(before)  # it was written anew
    assert training_files(after) == training_files(before)
    assert kept_state(after) == kept_state(before)


@pytest.mark.parametrize("name", observe.TRAININGS)
def test_a_resumed_run_goes_on_as_it_did(copy, expected, arrays, name):
    _, start, end = observe.TRAININGS[name]
    observe.resume(copy, name)
    path = observe.checkpoint(copy, name, end)
    operators = observe.operators(path)
    found, wanted = observe.metrics(copy, name), expected["resumed"][f"{name}/{operators}"]
    past = observe.metrics(FOLDER, name)
    assert found[: len(past)] == past  # to the bit: these are lines of version 0.1
    assert len(past) < len(found)
    only_now, only_then = (ONLY_NOW, ONLY_THEN) if name.startswith("tagger") else ((), ())
    assert_close(without(only_now, found[len(past):]), without(only_then, wanted[len(past):]))
    for part, values in observe.trained(path).items():
        np.testing.assert_allclose(
            values, arrays[f"resumed/{name}/{operators}/{part}"], rtol=0, atol=TOLERANCE
        )


def test_vectors_are_the_same(arrays):
    found = observe.vectors(FOLDER)
    assert found.keys() == {name for name in arrays if not name.startswith("resumed/")}
    for name, values in found.items():
        np.testing.assert_allclose(values, arrays[name], rtol=0, atol=TOLERANCE, err_msg=name)


def test_tags_are_the_same(expected):
    assert observe.tags(FOLDER) == expected["tags"]


def test_scores_are_the_same(copy, expected, tmp_path):
    now = observe.scores(copy, tmp_path / "scores.json", "--input", "segmented")
    then = expected["scores"]
    for name, program in observe.SCORED.items():
        if program == "lac":
            now[name], then[name] = (
                {key: scores[name][key] for key in SAME_SCORES} for scores in (now, then))
    assert_close(now, then)


def test_a_finished_run_is_drawn(copy):
    pytest.importorskip("matplotlib")
    observe.call(copy, "lac", "plot", "tagger", "--output", "curves.svg")
    picture = (copy / "curves.svg").read_text("utf-8")
    assert "types of words: tagger, test data, 72 words" in picture
    assert "dev F1, precision, recall" in picture
