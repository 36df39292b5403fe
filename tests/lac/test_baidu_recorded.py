"""What LAC 2.1.2 itself computed: with its models, which the registry has, and without them.

tests/fixtures/README.md says how it was recorded.
"""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lac import LAC
from lac.analysis import Token, analysis_of, with_entries
from lac.convert import import_baidu
from lac.customization import Customization
from lac.ranking import ranks_of_words
from lac.tag_schemes import TagScheme
from tests.reference import baidu_lac
from tests.reference.places import FIXTURES, ROOT

SCHEME = TagScheme("suffix")
UNREACHABLE = ("from versions: none", "Read timed out", "Connection")  # what pip says then


def recorded(name):
    with gzip.open(FIXTURES / f"baidu-lac/{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def blocks(tested):
    """Return (language, code) of the blocks of docs/baidu_lac.md with a mark."""
    page = (ROOT / "docs/baidu_lac.md").read_text(encoding="utf-8")
    return re.findall(rf"<!-- tested: {tested} -->\n```(sh|python)\n(.*?)```", page, re.DOTALL)


@pytest.mark.smoke
def test_user_dictionaries_change_words_types_and_ranks_as_in_lac():
    changed = 0
    for each in recorded("customization"):
        customization = Customization(each["entries"])
        for text in each["texts"]:
            tokens = [Token(piece) for piece in text["pieces"]]
            plain = analysis_of(tokens, text["tags"], SCHEME, "baidu")
            matches = customization.find_as_baidu(text["text"])
            analysis = with_entries(plain, matches, SCHEME, "baidu")
            assert [analysis.words, analysis.tags] == text["lac"], (each["entries"], text)
            ranks = ranks_of_words(analysis, text["pieces"], text["piece_ranks"])
            assert ranks == text["ranks"], (each["entries"], text)
            changed += analysis.words != plain.words
    assert changed > 100


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Return the folder of the package, installed as docs/baidu_lac.md says."""
    ((_, recipe),) = blocks("package")
    folder = tmp_path_factory.mktemp("package")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    path = f"{folder / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["sh", "-eu", "-c", recipe], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PATH": path, "PYTHONPATH": ""}, check=False)
    if done.returncode and any(reason in done.stderr for reason in UNREACHABLE):
        pytest.skip(f"the registry cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder / "baidu/LAC"


@pytest.fixture(scope="module")
def models(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    for mode in baidu_lac.MODES:
        import_baidu(package / f"{mode}_model", folder / mode)
    return {mode: LAC(folder / mode, threads=1) for mode in baidu_lac.MODES}


def assert_as_in_lac(models, wanted):
    texts = [each["text"] for each in wanted]
    for each, analysis, words, ranked in zip(
        wanted, models["lac"].run(texts), models["seg"].run(texts), models["rank"].rank(texts)
    ):
        assert analysis == each["lac"]
        assert words[0] == each["seg"]
        assert ranked == [*each["lac"], each["ranks"]]


@pytest.mark.slow
def test_imported_models_give_what_lac_gives(models):
    wanted = recorded("golden")
    assert len(wanted) > 300
    assert_as_in_lac(models, wanted)
    assert models["lac"].run("") == [[], []]


@pytest.mark.slow
def test_imported_models_with_user_dictionaries_give_what_lac_gives(models):
    for each in recorded("customization"):
        for model in models.values():
            model.load_customization(each["entries"])
        assert_as_in_lac(models, each["texts"])
    for model in models.values():
        model.load_customization([])


@pytest.mark.slow
def test_the_pieces_are_those_that_lacs_models_read(models):
    texts = [text for each in recorded("customization") for text in each["texts"]]
    cut = models["lac"].stored.pieces().cut
    assert [cut(text["text"]) for text in texts] == [text["pieces"] for text in texts]


@pytest.mark.slow
def test_the_page_works_with_the_package(package):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
                   "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    printed = ""
    for language, code in blocks("imported"):
        command = ["sh", "-eu", "-c"] if language == "sh" else [sys.executable, "-c"]
        done = subprocess.run([*command, code], cwd=package.parents[1], env=environment, text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert printed.count("every tensor read back") == 3
    assert "['小明', '去', '北京', '看花', '。'] ['PER', 'v', 'LOC', 'v', 'w']" in printed
    assert "'春天', '花', '开'" in printed and "'SEASON'" in printed  # of the user dictionary
