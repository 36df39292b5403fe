"""Docstrings say what the code does, the site is built from them, and documents agree."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reference.places import ROOT

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
    """Return the public fields of a class, those aside whose help text stands beside them."""
    return {
        item.target.id for item in node.body
        if isinstance(item, ast.AnnAssign) and not item.target.id.startswith("_")
        and not _has_help(item.value)
    }


def _has_help(value):
    """Return whether a field is made by `option`, or by a group's partial of it."""
    name = ast.unparse(value.func) if isinstance(value, ast.Call) else ""
    return name == "option" or name.startswith("_")


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
    if makes is not None:
        assert set(documented.get("Args", ())) == parameters(makes)
    else:
        assert set(documented.get("Args", documented.get("Attributes", ()))) >= fields_of(node)


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


def glossary(name, pattern):
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = [line for line in text.splitlines() if line.startswith("- ")]
    found = [re.fullmatch(pattern, line) for line in entries]
    assert all(found), [line for line, match in zip(entries, found) if not match]
    return [match.groupdict() for match in found]


def test_both_glossaries_have_the_same_terms():
    links = r" ?(?P<links>\[[^\]]+\]\([^)]+\)(?:(?:, |、)\[[^\]]+\]\([^)]+\))*)"
    english = glossary("docs/glossary.md", rf"- \*\*(?P<en>.+?)\*\* \((?P<zh>.+?)\): .+\.{links}")
    chinese = glossary("docs/zh/glossary.md", rf"- \*\*(?P<zh>.+?)\*\*（(?P<en>.+?)）：.+。{links}")
    assert len(english) >= 60
    terms = [[(entry["en"], entry["zh"]) for entry in each] for each in (english, chinese)]
    assert terms[0] == terms[1]
    assert len({en for en, _ in terms[0]}) == len(english)
    places = [[re.findall(r"[\w./-]+(?=\))", entry["links"]) for entry in each]
              for each in (english, chinese)]
    assert [[Path(place).name for place in one] for one in places[0]] == [
        [Path(place).name for place in one] for one in places[1]]


def test_the_version_is_the_same_everywhere():
    from bilm import __version__

    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [__version__]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = changes.split("\n## ")[1]
    assert newest.startswith(("[Unreleased]", f"[{__version__}]"))
    assert __version__ in newest


def test_the_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= allowed
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    for version in versions[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", version)


def test_forms_and_citation_are_yaml():
    yaml = pytest.importorskip("yaml")
    forms = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.name for form in forms] == ["bug.yml", "config.yml", "feature.yml"]
    for form in forms:
        content = yaml.safe_load(form.read_text(encoding="utf-8"))
        if form.name != "config.yml":
            assert {"name", "description", "body"} <= content.keys()
            kinds = {"markdown", "input", "textarea", "checkboxes", "dropdown"}
            assert {item["type"] for item in content["body"]} <= kinds
            ids = [item["id"] for item in content["body"] if item["type"] != "markdown"]
            assert len(ids) == len(set(ids))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "references"} <= citation.keys()
