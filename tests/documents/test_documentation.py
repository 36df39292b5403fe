"""The site is built, documents agree, and forms can be read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reference.places import ROOT


def test_documents_hold_no_markup_by_mistake():
    wrong = []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = re.sub(r"^ *```.*?^ *```|`[^`\n]*`|^    .*?$", "", path.read_text(encoding="utf-8"),
                      flags=re.DOTALL | re.MULTILINE)
        tags = re.findall(r"</?(?!details|summary)[A-Za-z]+>", text)
        wrong += [f"{path.relative_to(ROOT)}: {tag}" for tag in tags]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/reference/bilm.inference.embedder.html").read_text(encoding="utf-8")
    assert 'id="bilm.inference.embedder.Embedder.embed"' in page
    assert 'href="bilm.storage.pretrained.html#bilm.storage.pretrained"' in page  # in prose


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
