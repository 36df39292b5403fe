"""Which module may import which, and what importing the package does: nothing."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import bilm
from bilm.cli import VERBS as BILM_VERBS
from lac.cli import VERBS as LAC_VERBS

ROOT = Path(__file__).parents[1]
VERBS = {**{f"lac {verb}": entry for verb, entry in LAC_VERBS.items()}, **BILM_VERBS}
LEVELS = ("bilm", "lac", "tools")  # each may import from those before it
LIGHT = (
    "bilm", "bilm.characters", "bilm.checkpoint", "bilm.cli", "bilm.comparison",
    "bilm.completion", "bilm.config", "bilm.convert", "bilm.corpus", "bilm.curves",
    "bilm.embed", "bilm.embed_files", "bilm.errors", "bilm.evaluate", "bilm.figures",
    "bilm.files", "bilm.formats.bilm_tf", "bilm.formats.canonical", "bilm.formats.known",
    "bilm.formats.lark", "bilm.formats.lod_tensor", "bilm.formats.native",
    "bilm.formats.pdparams", "bilm.formats.safetensors_file", "bilm.formats.side_files",
    "bilm.formats.tables", "bilm.formats.torch_state", "bilm.generate", "bilm.hardware",
    "bilm.inspection", "bilm.metrics", "bilm.mixes", "bilm.numpy_model", "bilm.options",
    "bilm.parser", "bilm.pictures", "bilm.plot", "bilm.prefetch", "bilm.pretrained",
    "bilm.ready_models", "bilm.runs", "bilm.score", "bilm.segmentation", "bilm.segmenters",
    "bilm.sentences", "bilm.shards", "bilm.train", "bilm.training_options", "bilm.vector_file",
    "bilm.verify", "bilm.vocabulary", "bilm.vocabulary_builder", "bilm.vocabulary_transfer",
    "lac", "lac.cli", "lac.completion", "lac.config", "lac.confusion", "lac.convert",
    "lac.customization", "lac.evaluate", "lac.export", "lac.lookup", "lac.model_folder",
    "lac.outcome", "lac.plot", "lac.serve", "lac.serving.answers", "lac.serving.limits",
    "lac.silver_labels", "lac.span_scores", "lac.tag_files", "lac.tag_names", "lac.tag_schemes",
    "lac.tagged_files", "lac.tagging", "lac.train", "lac.training_options", "lac.viterbi",
    "lac.width",
)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): ast.parse(path.read_text("utf-8"))
    for package in LEVELS for path in sorted((ROOT / package).rglob("*.py"))
}


def imports_of(name, statements):
    """Yield the modules that import statements name; `from a import b` names a and a.b."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{name}: relative import"
            yield statement.module
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)


def run_when_imported(tree):
    """Yield the nodes of a module except those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from run_when_imported(node)


def run_python(program, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, env=environment, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_walk_finds_imports_everywhere():
    tree = ast.parse("import a.b\nif a:\n    from c import d\ndef f():\n    import e\n")
    assert list(imports_of("t", ast.walk(tree))) == ["a.b", "c", "c.d", "e"]
    assert list(imports_of("t", run_when_imported(tree))) == ["a.b", "c", "c.d"]
    assert {"bilm", "bilm.model", "lac", "tools.segment"} <= SOURCES.keys()


@pytest.mark.parametrize("name", SOURCES)
def test_imports_point_from_tools_to_lac_to_bilm(name):
    level = LEVELS.index(name.split(".")[0])
    for imported in imports_of(name, ast.walk(SOURCES[name])):
        package = imported.split(".")[0]
        assert package != "tests"
        if package in LEVELS:
            assert LEVELS.index(package) <= level, f"{name} imports {imported}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name: {other for other in imports_of(name, run_when_imported(tree)) if other in SOURCES}
        for name, tree in SOURCES.items()
    }
    while leaves := [name for name, others in graph.items() if not others]:
        for name in leaves:
            del graph[name]
        for others in graph.values():
            others.difference_update(leaves)
    assert not graph


@pytest.mark.smoke
def test_light_modules_import_without_paddle(tmp_path):
    program = (
        "import sys\nfrom importlib import import_module\nsys.modules['paddle'] = None\n"
        f"for name in {LIGHT!r}: import_module(name)\n"
        "print([name for name in sys.modules if name.startswith('paddle.')])"
    )
    assert run_python(program, tmp_path) == "[]\n"


@pytest.mark.smoke
def test_importing_the_package_does_nothing(tmp_path):
    program = (
        "import os, sys, threading, logging, warnings\n"
        "def state():\n"
        "    return (dict(os.environ), threading.active_count(), list(logging.root.handlers),\n"
        "            logging.root.level, list(warnings.filters), os.listdir())\n"
        "before = state()\n"
        "import bilm, lac\n"
        "assert state() == before\n"
        "print(sorted({'paddle', 'numpy', 'jieba', 'tqdm'} & set(sys.modules)))"
    )
    assert run_python(program, tmp_path) == "[]\n"


@pytest.mark.smoke
def test_every_public_name_resolves(tmp_path):
    program = (
        "import bilm, lac\n"
        "for package in (bilm, lac):\n"
        "    for name in package.__all__:\n"
        "        assert getattr(package, name).__name__ == name\n"
        "        assert name in dir(package)\n"
    )
    run_python(program, tmp_path)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'bilm' has no attribute 'BiLSTM'"):
        bilm.BiLSTM  # noqa: B018


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_program(verb):
    module, purpose = VERBS[verb]
    assert callable(import_module(module).main)
    assert purpose
    guarded = [node for node in SOURCES[module].body if isinstance(node, ast.If)]
    assert ast.unparse(guarded[-1].test) == "__name__ == '__main__'"


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.py")), ids=lambda p: p.name)
def test_tools_are_only_doors(path):
    assert len(path.read_text("utf-8").splitlines()) <= 15
