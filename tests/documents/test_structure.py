"""Which module may import which, and what importing the package does: nothing.

The order is the one in CONTRIBUTING.md. Every import counts, also those inside functions.
"""

import ast
import os
import re
import subprocess
import sys
from typing import Dict, Iterator, NamedTuple

import pytest

import bilm
from tests.reference.places import ROOT
from tests.reference.programs import VERBS, module_of

TOPS = ("bilm", "lac", "tools")  # each may import from those before it
# The only functions that may import from a later floor.
EXCEPTIONS = {
    "bilm.network.config": {"BiLMConfig.from_pretrained"},
    "bilm.network.model": {"BiLM.from_pretrained", "BiLM.save_pretrained"},
    "bilm.text.vocabulary": {"Vocabulary.from_pretrained"},
}


class Import(NamedTuple):
    """A module that is imported, and the function around the import, such as "BiLM.forward"."""

    module: str
    function: str
    line: int


def module_name(path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): ast.parse(path.read_text("utf-8"))
    for package in TOPS for path in sorted((ROOT / package).rglob("*.py"))
}


def imports_of(node, modules=frozenset(SOURCES), function="") -> Iterator[Import]:
    """Yield what a tree imports; `from a import b` is a.b where that is a module, else a."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, function, child.lineno)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "a relative import"
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                yield Import(whole if whole in modules else child.module, function, child.lineno)
        else:
            named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            inner = ".".join(filter(None, (function, child.name))) if named else function
            yield from imports_of(child, modules, inner)


def own_imports(name) -> Iterator[Import]:
    """Yield what a module imports of this project, but for EXCEPTIONS."""
    for item in imports_of(SOURCES[name]):
        is_own = item.module.split(".")[0] in (*TOPS, "tests")
        if is_own and item.function not in EXCEPTIONS.get(name, ()):
            yield item


def floors() -> Dict[str, int]:
    """Return the floor of each module or package that CONTRIBUTING.md names, lowest first."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = re.search(r"```text\n(bilm/\n.*?)```", text, re.DOTALL).group(1)
    numbers, top = {}, ""
    for number, line in enumerate(block.splitlines()):
        names = re.split(r"  +", line.strip())[0]
        if not line.startswith(" "):
            top = names.rstrip("/")
            continue
        numbers.update((f"{top}.{name.strip().rstrip('/')}", number) for name in names.split(","))
    return numbers


def floor_of(name, numbers) -> int:
    """Return the floor of a module: that of the longest name that it begins with."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in numbers:
            return numbers[".".join(parts[:length])]
    raise AssertionError(f"{name} stands nowhere in CONTRIBUTING.md")


def run_python(program, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, env=environment, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_walk_finds_imports_everywhere():
    tree = ast.parse("import a.b\nif a:\n    from c import d, e\n"
                     "class C:\n    def f():\n        import g\n")
    assert list(imports_of(tree, {"c", "c.d"})) == [
        ("a.b", "", 1), ("c.d", "", 3), ("c", "", 3), ("g", "C.f", 6)]
    assert {"bilm", "bilm.network.model", "lac", "tools.segment"} <= SOURCES.keys()


def test_imports_point_from_tools_to_lac_to_bilm():
    wrong = []
    for name in SOURCES:
        allowed = TOPS[: TOPS.index(name.split(".")[0]) + 1]
        wrong += [f"{name}:{item.line} imports {item.module}" for item in own_imports(name)
                  if item.module.split(".")[0] not in allowed]
    assert not wrong, "\n".join(wrong)


def test_imports_point_to_the_same_floor_or_a_lower_one():
    numbers, wrong = floors(), []
    for name in SOURCES:
        if name.split(".")[0] == "tools" or name in ("bilm", "lac"):
            continue
        own = floor_of(name, numbers)
        for item in own_imports(name):
            if item.module not in ("bilm", "lac") and floor_of(item.module, numbers) > own:
                wrong.append(f"{name}:{item.line} imports {item.module}")
    assert not wrong, "\n".join(wrong)


def test_every_floor_is_there_and_every_exception_is_needed():
    parents = {name.rsplit(".", 1)[0] for name in SOURCES}
    assert floors().keys() <= SOURCES.keys() | parents
    for name, functions in EXCEPTIONS.items():
        inside = {item.function for item in imports_of(SOURCES[name])}
        assert functions <= inside, f"{name}: imports nothing in {functions - inside}"


def test_modules_are_imported_by_name_only_where_names_are_public():
    """Elsewhere `import_module` would hide an import from these tests."""
    users = {name for name, tree in SOURCES.items() for node in ast.walk(tree)
             if isinstance(node, ast.Name) and node.id == "import_module"
             and not name.startswith("tools.")}
    assert users == {
        "bilm.lazy_names", "bilm.commands.verbs", "lac.commands.verbs",
        "bilm.text.segmenters",  # other packages
    }


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: {item.module for item in own_imports(name)} & SOURCES.keys() - {name}
             for name in SOURCES}
    while leaves := [name for name, others in graph.items() if not others]:
        for name in leaves:
            del graph[name]
        for others in graph.values():
            others.difference_update(leaves)
    assert not graph


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


def test_every_verb_is_a_module_with_a_parser_and_a_main():
    for program, verb in VERBS:
        assert callable(module_of(program, verb).build_parser)
        assert callable(module_of(program, verb).main)
    for program in ("bilm", "lac"):
        files = {path.stem for path in (ROOT / program / "commands").glob("*.py")}
        verbs = {verb for name, verb in VERBS if name == program}
        assert files - verbs <= {"__init__", "verbs", "options"}


def test_tools_are_only_doors():
    paths = (ROOT / "tools").glob("*.py")
    wrong = [path.name for path in paths if len(path.read_text("utf-8").splitlines()) > 15]
    assert not wrong, "\n".join(wrong)
