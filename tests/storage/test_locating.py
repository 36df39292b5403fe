"""Where a model is and in which format: found once, and no file is opened twice for it."""

import json
import subprocess
import sys

import pytest

from bilm import BiLM, BiLMConfig, InputError, Vocabulary
from bilm.commands.compare import main as compare
from bilm.conversion.convert import convert
from bilm.conversion.inspection import inspect
from bilm.storage.formats import torch_state
from bilm.storage.formats.known import FORMATS, locate
from bilm.storage.formats.tables import to_format
from bilm.storage.pretrained import load_vocabulary, open_model, read_config
from tests.reference.models import random_model, write

COUNTING = """
import json, sys
from collections import Counter
from pathlib import Path
from bilm.storage.pretrained import open_model, read_config
opened = Counter()
sys.addaudithook(lambda event, details: opened.update([str(details[0])] if event == "open" else []))
for path in sys.argv[1:]:
    for read in (open_model, read_config):
        opened.clear()
        read(path)
        print(json.dumps({Path(name).name: count for name, count in opened.items()
                          if name.startswith(path)}))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model in each format, by its name."""
    folder, model = tmp_path_factory.mktemp("models"), random_model(vocabulary=True)
    return {name: write(folder / name, model, name) for name in FORMATS}


@pytest.fixture
def pickled(tmp_path):
    torch = pytest.importorskip("torch")
    model = random_model(vocabulary=True)
    arrays = to_format(torch_state.table(model.config), model.tensors)
    torch.save({name: torch.from_numpy(array) for name, array in arrays}, tmp_path / "elmo.pt")
    (tmp_path / "vocab.txt").write_text(model.vocabulary.to_text(), encoding="utf-8")
    return tmp_path


@pytest.mark.smoke
@pytest.mark.parametrize("use", [
    BiLM.from_pretrained,
    BiLMConfig.from_pretrained,
    Vocabulary.from_pretrained,
    inspect,
    lambda path: convert(path, path.with_name("converted"), "bilm"),
], ids=["BiLM", "BiLMConfig", "Vocabulary", "inspect", "convert"])
def test_a_file_of_pytorch_is_loaded_once(pickled, monkeypatch, use):
    import torch

    calls, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **more: calls.append(1) or load(*args, **more))
    use(pickled)
    assert len(calls) == 1
    compare([str(pickled), str(pickled)])
    assert len(calls) == 3


def test_no_file_is_opened_twice(folders):
    done = subprocess.run([sys.executable, "-c", COUNTING, *map(str, folders.values())],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(counts) == 2 * len(folders)
    for name, opened in zip(folders, counts[::2]):
        expected = {"params": 2} if name == "lark-combined" else {}  # its first bytes, then it
        assert {file: count for file, count in opened.items() if count > 1} == expected, name
        assert opened["vocab.txt"] == 1
    assert all(count == 1 for opened in counts[1::2] for file, count in opened.items()
               if file != "params")
    of_ours = dict(zip(folders, counts[1::2]))["bilm"]
    assert of_ours == {"config.json": 1, "model.safetensors": 1}  # the latter's header


def test_a_located_model_is_not_looked_for_again(folders):
    for name, path in folders.items():
        located = locate(path)
        assert (located.format, located.path, located.folder) == (name, path, path)
        assert locate(located) is located
        assert locate(path, name).format == name
        assert read_config(located) == open_model(located).config
        assert load_vocabulary(located).words[3] == "词0"


def test_files_lie_in_the_folder_that_has_the_rest(folders):
    for name, file in (("lark-combined", "params"), ("hdf5", "weights.hdf5"),
                       ("pdparams", "model.pdparams")):
        located = locate(folders[name] / file)
        assert located.weights == located.path == folders[name] / file
        assert located.folder == folders[name]
        model = open_model(located)
        assert model.vocabulary is None  # it may be that of another file
        with pytest.raises(InputError, match=f"{file}: has no vocab.txt"):
            load_vocabulary(located)
