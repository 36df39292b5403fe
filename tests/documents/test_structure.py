"""Which module may import which, and what importing the package does: nothing."""

import ast
import os
import subprocess
import sys
from importlib import import_module

import pytest

import bilm
from bilm.program.running import VERBS as BILM_VERBS
from lac.commands.verbs import VERBS as LAC_VERBS
from tests.reference.places import ROOT

VERBS = {**{f"lac {verb}": entry for verb, entry in LAC_VERBS.items()}, **BILM_VERBS}
LEVELS = ("bilm", "lac", "tools")  # each may import from those before it
LIGHT = (
    "bilm", "bilm.text.characters", "bilm.storage.checkpoint", "bilm.program.running", "bilm.conversion.comparison", "bilm.program.completion",
    "bilm.network.config", "bilm.conversion.convert", "bilm.text.corpus", "bilm.pictures.curves", "bilm.inference.embedder", "bilm.inference.vectors_of_files",
    "bilm.errors", "bilm.inference.perplexity", "bilm.program.json_output", "bilm.files", "bilm.storage.formats.bilm_tf",
    "bilm.storage.stored_model", "bilm.storage.formats.known", "bilm.storage.formats.lark", "bilm.storage.formats.lod_tensor",
    "bilm.storage.formats.native", "bilm.storage.formats.pdparams", "bilm.storage.safetensors_file",
    "bilm.storage.side_files", "bilm.storage.formats.tables", "bilm.storage.formats.torch_state", "bilm.inference.sampling",
    "bilm.hardware", "bilm.conversion.inspection", "bilm.training.metrics", "bilm.network.mixes", "bilm.conversion.numpy_model",
    "bilm.program.options", "bilm.program.parser", "bilm.pictures.drawing", "bilm.pictures.runs", "bilm.training.prefetch",
    "bilm.storage.pretrained", "bilm.storage.ready_models", "bilm.inference.scores", "bilm.text.segmentation", "bilm.text.segmenters",
    "bilm.text.sentences", "bilm.text.shards", "bilm.training.train", "bilm.training.options", "bilm.inference.vector_file",
    "bilm.conversion.verify", "bilm.text.vocabulary", "bilm.text.vocabulary_builder", "bilm.conversion.vocabulary_transfer", "lac",
    "lac.commands.verbs", "lac.completion", "lac.network.config", "lac.confusion", "lac.convert", "lac.customization",
    "lac.evaluate", "lac.export", "lac.lookup", "lac.model_folder", "lac.training.outcome", "lac.plot",
    "lac.serving.server", "lac.serving.answers", "lac.serving.limits", "lac.silver_labels",
    "lac.span_scores", "lac.tag_files", "lac.tag_names", "lac.tag_schemes", "lac.tagged_files",
    "lac.tagging", "lac.training.train", "lac.training.options", "lac.network.viterbi", "lac.width",
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
    assert {"bilm", "bilm.network.model", "lac", "tools.segment"} <= SOURCES.keys()


def test_imports_point_from_tools_to_lac_to_bilm():
    wrong = []
    for name, tree in SOURCES.items():
        allowed = LEVELS[: LEVELS.index(name.split(".")[0]) + 1]
        for imported in imports_of(name, ast.walk(tree)):
            package = imported.split(".")[0]
            if package in (*LEVELS, "tests") and package not in allowed:
                wrong.append(f"{name} imports {imported}")
    assert not wrong, "\n".join(wrong)


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


def test_every_verb_has_a_program():
    wrong = []
    for verb, (module, purpose) in VERBS.items():
        last = SOURCES[module].body[-1]
        is_guarded = isinstance(last, ast.If) and ast.unparse(last.test) == "__name__ == '__main__'"
        if not (callable(getattr(import_module(module), "main", None)) and purpose and is_guarded):
            wrong.append(verb)
    assert not wrong, "\n".join(wrong)


def test_tools_are_only_doors():
    paths = (ROOT / "tools").glob("*.py")
    wrong = [path.name for path in paths if len(path.read_text("utf-8").splitlines()) > 15]
    assert not wrong, "\n".join(wrong)
