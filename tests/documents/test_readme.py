"""The README's commands work, and its two languages hold the same ones."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.reference.places import ROOT

BLOCK = re.compile(r"(?:<!-- tested: (\w+).*? -->\n)?```(sh|python)\n(.*?)```", re.DOTALL)
# Paddle's own remarks about the number of threads and about a compiler cache
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT),
               "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def blocks(name):
    return BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))


def without_comments(code):
    return [line.split("#")[0].rstrip() for line in code.splitlines()
            if line.strip() and not line.startswith("#")]


def test_every_block_says_whether_it_is_tested():
    assert [tested for tested, _, _ in blocks("README.md")] == [
        "install", "yes", "serve", "install", "no", "yes", "yes"]


def test_both_languages_have_the_same_commands():
    english, chinese = (
        [without_comments(code) for _, _, code in blocks(name)]
        for name in ("README.md", "README.zh.md")
    )
    assert english == chinese


def figures_of(name):
    """Return the numbers in the text of a document, those in code and addresses aside."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|\]\([^)]*\)|`[^`]*`", "", text, flags=re.DOTALL)
    found = re.findall(r"(?<![\w.])\d[\d,.]*(?:e-?\d+)?", text)
    return Counter(number.rstrip(".,").replace(",", "") for number in found)


@pytest.mark.parametrize("english, chinese", [
    ("README.md", "README.zh.md"),
    *((f"docs/{name}.md", f"docs/zh/{name}.md") for name in (
        "integrating", "converting", "parity", "scaling", "reliability", "serving",
        "baidu_lac")),
])
def test_both_languages_have_the_same_figures(english, chinese):
    assert figures_of(english) == figures_of(chinese)
    assert english != "README.md" or len(figures_of(english)) > 30


def test_readmes_are_short():
    for name in ("README.md", "README.zh.md"):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 200


def run_block(language, code, folder):
    command = {"sh": ["sh", "-eu", "-c", code], "python": [sys.executable, "-c", code]}
    result = subprocess.run(command[language], cwd=folder, env=ENVIRONMENT, capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("name", [
    "integrating", "lac", "parity", "converting", "serving", "command_line", "scaling",
    "baidu_lac",
])
def test_the_documents_of_both_languages_have_the_same_code(name):
    english, chinese = (
        [without_comments(code) for _, _, code in blocks(f"docs/{part}{name}.md")]
        for part in ("", "zh/")
    )
    assert english == chinese


def test_links_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "data/README.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_tour_works(tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(ROOT / "data", tmp_path / "data")
    pages = ("README.md", "docs/integrating.md", "docs/lac.md")
    printed = ""
    runs = {"yes": True, "onnx": bool(find_spec("onnx") and find_spec("onnxruntime"))}
    for tested, language, code in [block for page in pages for block in blocks(page)]:
        if runs.get(tested):
            printed += run_block(language, code, tmp_path)
    assert "(3, 128) (2, 128)" in printed  # of docs/integrating.md
    assert "云栖小镇" in printed  # of docs/lac.md
    assert (tmp_path / "exported-onnx/model.onnx").is_file() == runs["onnx"]
    assert (tmp_path / "figures.json").is_file() and (tmp_path / "curve.png").is_file()
    assert (tmp_path / "run/latest").read_text() == "step_00000300\n"


@pytest.mark.slow
def test_the_recipes_of_converting_work(tmp_path):
    shutil.copytree(ROOT / "tests/fixtures", tmp_path / "tests/fixtures")
    assigned = "lark=tests/fixtures/lark-bilm/checkpoint_trained\n"
    for tested, language, code in blocks("docs/converting.md"):
        needed = {"torch": ["torch"], "onnx": ["torch", "onnxscript"]}.get(tested, [])
        if tested and all(find_spec(name) for name in needed):
            printed = run_block(language, assigned * (language == "sh") + code, tmp_path)
            assert ("verified: every tensor read back" in printed) == ("convert" in code)
    assert (tmp_path / "from-allennlp/model.safetensors").is_file()
    assert (tmp_path / "elmo.onnx").is_file() == bool(find_spec("onnxscript"))


@pytest.mark.slow
def test_run_sh_trains_and_the_perplexity_falls(tmp_path):
    result = subprocess.run(
        ["sh", str(ROOT / "run.sh"), "--max_steps", "60", "--para_save_dir", str(tmp_path / "run")],
        env={**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no GPU is visible" in result.stdout
    found = [float(value) for value in re.findall(r"  perplexity (\S+)", result.stdout)]
    assert len(found) == 12
    assert found[-1] < found[0] / 4


def test_the_sample_is_what_the_tools_make_of_it(tmp_path):
    from bilm.text.segment_files import segment_files
    from bilm.text.vocabulary_builder import build_vocabulary

    for part in ("train", "dev"):
        segment_files([str(ROOT / f"data/raw/{part}.txt")], tmp_path / part, lines_per_shard=250)
        shards = sorted((tmp_path / part).glob("sentence_file_*"))
        assert [shard.name for shard in shards] == sorted(
            shard.name for shard in (ROOT / "data" / part).glob("sentence_file_*"))
        for shard in shards:
            assert shard.read_bytes() == (ROOT / "data" / part / shard.name).read_bytes()
    build_vocabulary([f"{ROOT}/data/train/sentence_file_*"], tmp_path / "vocabulary.txt", 2)
    expected = (ROOT / "data/vocabulary.txt").read_bytes()
    assert (tmp_path / "vocabulary.txt").read_bytes() == expected


def test_the_sample_is_varied():
    """No two sentences share 60 % of the words of the shorter one."""
    marks = set("，。？！“”《》、：；")
    sentences = [
        set(line.split()) - marks
        for shard in sorted((ROOT / "data").glob("*/sentence_file_*"))
        for line in shard.read_text(encoding="utf-8").splitlines()
    ]
    assert len(sentences) >= 600
    for number, first in enumerate(sentences):
        for second in sentences[:number]:
            assert len(first & second) < 0.6 * min(len(first), len(second)), first & second
