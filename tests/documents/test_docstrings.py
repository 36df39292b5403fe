"""Docstrings name the errors that can come, and nothing that is not there; examples run."""

import ast
import doctest
import re
from importlib import import_module

import pytest

from tests.reference.places import ROOT

ARGS = re.compile(r"^Args:\n((?:    .*\n|\n)*)", re.MULTILINE)
SOURCES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
    for package in ("bilm", "lac") for path in sorted((ROOT / package).rglob("*.py"))
}


def public(tree, prefix=""):
    """Yield (name, node) of each public class, function and method."""
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")


PUBLIC = {f"{path}: {name}": node for path, tree in SOURCES.items() for name, node in public(tree)}


def member(node, *names):
    return next((item for item in node.body
                 if isinstance(item, ast.FunctionDef) and item.name in names), None)


def documented(node):
    """Return the names in the section Args of a docstring."""
    text = "".join(ARGS.findall((ast.get_docstring(node) or "") + "\n"))
    return re.findall(r"^    \*{0,2}(\w+)(?: \(.*?\))?: ", text, re.MULTILINE)


def parameters(function):
    taken = function.args
    single = [item for item in (taken.vararg, taken.kwarg) if item]
    return {item.arg for item in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs, *single)}


def raised(node):
    """Yield the names of the exceptions that a function raises, not those of functions in it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
            name = ast.unparse(child.exc.func).rpartition(".")[2]
            if name[0].isupper():  # others are functions that make an exception
                yield name
        if not isinstance(child, (ast.FunctionDef, ast.Lambda)):
            yield from raised(child)


def test_the_sources_are_found():
    assert len(PUBLIC) > 300


def test_errors_are_named():
    """By the docstring of each public function, and of each class for what making one raises."""
    unnamed = []
    for name, node in PUBLIC.items():
        is_class = isinstance(node, ast.ClassDef)
        function = member(node, "__init__", "__post_init__") if is_class else node
        if function is None or function.name == "main":  # programs print errors of what they call
            continue
        text = ast.get_docstring(node) or ""
        unnamed += [f"{name}: {error}" for error in raised(function) if error not in text]
    assert not unnamed, "\n".join(unnamed)


def test_classes_document_no_argument_that_they_do_not_take():
    """That functions do not is looked at by ruff (DOC102), which passes over classes."""
    wrong = []
    for name, node in PUBLIC.items():
        makes = member(node, "__init__") if isinstance(node, ast.ClassDef) else None
        if makes is not None:
            strange = set(documented(node)) - parameters(makes)
            wrong += [f"{name}: {argument}" for argument in sorted(strange)]
    assert not wrong, "\n".join(wrong)


def test_docstrings_hold_no_markup_by_mistake():
    """A token like <S> stands in backticks or in a block, as it would be HTML otherwise."""
    wrong = []
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = re.sub(r"`[^`]*`|\n\n(    .*\n?)+", "", ast.get_docstring(node) or "")
                if tags := re.findall(r"</?[A-Za-z]+>", text):
                    wrong.append(f"{path}: {' '.join(tags)} in {text.splitlines()[0]!r}")
    assert not wrong, "\n".join(wrong)


EXAMPLES = [path for path, tree in SOURCES.items() if any(
    ">>> " in (ast.get_docstring(node) or "") for node in ast.walk(tree)
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
)]


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_in_docstrings_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = import_module(path[: -len(".py")].replace("/", "."))
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted and not result.failed


def test_the_names_that_are_used_most_have_an_example():
    with_example = {name.rpartition(": ")[2] for name, node in PUBLIC.items()
                    if ">>> " in (ast.get_docstring(node) or "")}
    assert with_example >= {
        "BiLM", "BiLMConfig", "ELMo", "Embedder", "Vocabulary", "elmo_encoder", "convert", "LAC",
        "LinearChainCRF", "TagScheme",
    }


def test_public_functions_are_annotated():
    """Every parameter and every result."""
    wrong = []
    for name, node in PUBLIC.items():
        functions = [node] if isinstance(node, ast.FunctionDef) else [member(node, "__init__")]
        for function in filter(None, functions):
            taken = function.args
            items = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg]
            bare = [item.arg for item in items if item and item.annotation is None
                    and item.arg not in ("self", "cls")]
            if function.returns is None and function.name != "__init__":
                bare.append("its result")
            wrong += [f"{name}: {what}" for what in bare]
    assert not wrong, "\n".join(wrong)


def test_no_variable_is_called_found():
    """A name says what a value is, not that it was found; fields of interfaces may be called so."""
    wrong = []
    for path, tree in SOURCES.items():
        fields = {item.target for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
                  for item in node.body if isinstance(item, ast.AnnAssign)}
        wrong += [f"{path}:{node.lineno}" for node in ast.walk(tree)
                  if isinstance(node, ast.Name) and node.id == "found"
                  and isinstance(node.ctx, ast.Store) and node not in fields]
    assert not wrong, "\n".join(wrong)
