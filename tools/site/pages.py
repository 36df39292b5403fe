"""What mkdocs.yml adds to the guides in docs/: pages from the top of the repository, the reference.

- README.md, CONTRIBUTING.md and the like become pages, and every public module of bilm and lac
  becomes one, which mkdocstrings fills from the docstrings.
- A link that leads out of docs/, which works on GitHub, leads to the page made of its target; to
  the target's text, copied, where there is no page. Of a folder without README.md only the name
  stays. One that leads nowhere is a warning.
- A name in a docstring, such as `BiLM.embed`, leads to what it names.
"""

import ast
import posixpath
import re
from html import escape
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
PACKAGES = ("bilm", "lac")
# file of the repository: page of the site
TOP_PAGES = {
    "README.md": "index.md",
    "README.zh.md": "zh/index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "data.md",
    "data/models/README.md": "models.md",
}
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_CODE = re.compile(r"<code>([A-Za-z_][\w.]*)</code>")
_PARAGRAPH = re.compile(r"<(p|li)>.*?</\1>", re.DOTALL)
_FENCED = re.compile(r"(^ *```.*?^ *```\s*$)", re.DOTALL | re.MULTILINE)


def public_modules():
    """Return {module name: file} of all modules that other programs may import."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    found = {}
    for file in files:
        parts = file.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = file
    return found


MODULES = public_modules()
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in MODULES.items()}


def reference_page(module):
    """Return the page of a module, such as reference/bilm.model.md."""
    return f"reference/{module}.md"


def _summary(tree):
    return ast.get_docstring(tree).split("\n\n")[0].replace("\n", " ")


def _public_names(package):
    """Yield what `from package import ...` offers, and the module that holds it."""
    for statement in TREES[package].body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_HOME_OF":
            yield from ast.literal_eval(statement.value).items()


def reference_index():
    """Return the reference's first page: the public names, then all modules."""
    lines = ["# Reference", "", "Made from the docstrings."]
    for package in PACKAGES:
        lines += ["", f"## {package}", "", _summary(TREES[package]), "",
                  f"`from {package} import ...` offers:", ""]
        lines += [f"- [`{name}`]({home}.md#{home}.{name})" for name, home in
                  sorted(_public_names(package))]
        lines += ["", "| module | |", "|---|---|"]
        lines += [f"| [`{name}`]({name}.md) | {_summary(tree)} |" for name, tree in TREES.items()
                  if name.startswith(package + ".")]
    return "\n".join(lines) + "\n"


def on_config(config):
    """Add the modules to the navigation."""
    for package in PACKAGES:
        pages = [{name: reference_page(name)} for name in MODULES if name.split(".")[0] == package]
        config.nav[-1]["Reference"].append({package: pages})
    return config


def on_files(files, config):
    """Add the pages that are not in docs/."""
    for source, page in TOP_PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "reference/index.md", content=reference_index()))
    for name in MODULES:
        files.append(File.generated(config, reference_page(name), content=f"::: {name}\n"))
    return files


def _destination(target, config, files):
    """Return the site's page or file for a path in the repository, or None."""
    path = ROOT / target
    if path.is_dir() and (path / "README.md").is_file():
        return _destination(f"{target}/README.md", config, files)
    if target.startswith("docs/"):
        return target[len("docs/"):]
    if target in TOP_PAGES:
        return TOP_PAGES[target]
    for name, file in MODULES.items():
        if file == path or file == path / "__init__.py":
            return reference_page(name)
    if not path.is_file():
        return None
    copy = f"files/{target}" + ".txt" * target.endswith(".md")  # not a page any more
    if files.get_file_from_path(copy) is None:
        files.append(File.generated(config, copy, abs_src_path=str(path)))
    return copy


def on_page_markdown(markdown, page, config, files):
    """Turn links that lead through the repository into links of the site."""
    here = page.file.src_uri
    source = {page: source for source, page in TOP_PAGES.items()}.get(here, f"docs/{here}")

    def moved(match):
        text, target, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        found = _destination(target, config, files)
        if found is not None:
            found = posixpath.relpath(found, posixpath.dirname(here) or ".")
            return f"[{text}]({found}{anchor})"
        # one that leads nowhere stays, for mkdocs to complain about
        return text if (ROOT / target).is_dir() else match[0]

    if here.startswith("reference/"):
        return markdown
    parts = _FENCED.split(markdown)
    parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


def _definitions():
    """Return {"Class", "function" or "Class.method": modules that define one}."""
    found = {}
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found.setdefault(node.name, []).append(module)
                for member in getattr(node, "body", ()):
                    if isinstance(member, ast.FunctionDef):
                        found.setdefault(f"{node.name}.{member.name}", []).append(module)
    return found


DEFINITIONS = _definitions()


def resolve(name, module):
    """Return the full name of what a docstring of `module` calls `name`; None: not ours."""
    for prefix in (name, name.rpartition(".")[0], ".".join(name.split(".")[:-2])):
        rest = name[len(prefix) + 1:]
        if prefix in MODULES and (not rest or prefix in DEFINITIONS.get(rest, ())):
            return name
    homes = DEFINITIONS.get(name, [])
    home = module if module in homes else homes[0] if len(homes) == 1 else None
    return f"{home}.{name}" if home else None


def on_page_content(html, page, config, files):
    """Make references of the names in docstrings."""
    module = page.file.src_uri[len("reference/"):-len(".md")]
    if module not in MODULES:
        return html

    def linked(match):
        full = resolve(match[1], module)
        if full is None:
            return match[0]
        return f'<autoref identifier="{escape(full)}" optional>{match[0]}</autoref>'

    return _PARAGRAPH.sub(lambda paragraph: _CODE.sub(linked, paragraph[0]), html)
