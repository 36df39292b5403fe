"""Docstrings name the errors that can come, and nothing that is not there."""

import ast
import re

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
