"""Docstrings say what the code does, the site is built from them, and documents agree."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):\n((?:    .*\n|\n)*)", re.MULTILINE)
SOURCES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
    for package in ("bilm", "lac") for path in sorted((ROOT / package).rglob("*.py"))
}


def sections(node):
    """Return {section: [names that it documents]} of a docstring."""
    found = {}
    for section, text in SECTION.findall((ast.get_docstring(node) or "") + "\n"):
        found[section] = re.findall(r"^    (\*{0,2}[\w.]+)(?: \(.*?\))?: ", text, re.MULTILINE)
    return found


def public(tree, prefix=""):
    """Yield (name, node) of each public class, function and method."""
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")


PUBLIC = {f"{path}: {name}": node for path, tree in SOURCES.items() for name, node in public(tree)}
CLASSES = {name: node for name, node in PUBLIC.items() if isinstance(node, ast.ClassDef)}


def parameters(function):
    """Return the names of a function's parameters as a docstring writes them, without self."""
    taken = function.args
    names = [item.arg for item in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    names += [f"*{taken.vararg.arg}"] if taken.vararg else []
    names += [f"**{taken.kwarg.arg}"] if taken.kwarg else []
    return {name for name in names if name not in ("self", "cls") and name.strip("*")[0] != "_"}


def member(node, *names):
    return next((item for item in node.body
                 if isinstance(item, ast.FunctionDef) and item.name in names), None)


def fields_of(node):
    return {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)
            and not item.target.id.startswith("_")}


def raised(node):
    """Yield the names of the exceptions that a function raises, not those of functions in it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
            name = ast.unparse(child.exc.func).rpartition(".")[2]
            if name[0].isupper():  # others are functions that make an exception
                yield name
        if not isinstance(child, (ast.FunctionDef, ast.Lambda)):
            yield from raised(child)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_documents_what_it_takes_and_holds(name):
    node, documented = CLASSES[name], sections(CLASSES[name])
    makes = member(node, "__init__")
    if "Args" in documented:
        taken = parameters(makes) if makes else fields_of(node)
        assert set(documented["Args"]) == taken
    if "Attributes" in documented and makes is None and "Args" not in documented:
        assert set(documented["Attributes"]) >= fields_of(node)


@pytest.mark.parametrize("name", PUBLIC)
def test_errors_are_named(name):
    node = PUBLIC[name]
    function = member(node, "__init__", "__post_init__") if isinstance(node, ast.ClassDef) else node
    if function is None or function.name == "main":  # programs print the errors of what they call
        return
    text = ast.get_docstring(node)
    assert [error for error in raised(function) if error not in text] == []


@pytest.mark.parametrize("path", SOURCES)
def test_docstrings_hold_no_markup_by_mistake(path):
    """A token like <S> stands in backticks or in a block, as it would be HTML otherwise."""
    for node in ast.walk(SOURCES[path]):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = re.sub(r"`[^`]*`|\n\n(    .*\n?)+", "", ast.get_docstring(node) or "")
            assert not re.findall(r"</?[A-Za-z]+>", text), text.splitlines()[0]


@pytest.mark.parametrize("name", [
    str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))])
def test_documents_hold_no_markup_by_mistake(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```|`[^`\n]*`|^    .*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"</?(?!details|summary)[A-Za-z]+>", text)


def test_the_site_is_built_without_warnings(tmp_path):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/reference/bilm.embed.html").read_text(encoding="utf-8")
    assert 'id="bilm.embed.Embedder.embed"' in page
    assert 'href="bilm.pretrained.html#bilm.pretrained"' in page  # of `bilm.pretrained`
