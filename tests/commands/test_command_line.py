"""The manners of `bilm` and `lac`: help, suggestions, errors, exit statuses, completion."""

import ast
import json
import os
import shlex
import struct
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

from bilm.commands import compare
from bilm.commands import segment as segment_command
from bilm.commands import vocab as vocab_command
from bilm.errors import InputError, suggestion
from bilm.program.parser import Parser
from tests.reference.places import ROOT
from tests.reference.programs import PROGRAMS, VERBS, module_of, parser_of, run, shown_flags

IS_CHECKOUT = (ROOT / "tools").is_dir()  # else the tests of an installed package
OTHERS = ["bilm.kernels.__main__"]
OTHERS += ["benchmark.main", "benchmark.scaling"] * IS_CHECKOUT
OTHERS += ["classify", "classify_static", "finetune_lm", "similarity"] * IS_CHECKOUT

pytestmark = pytest.mark.smoke


def subprocess_of(code, *arguments, **settings):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings},
    )


@pytest.fixture
def broken(monkeypatch):
    """A function that lets a verb raise an exception."""
    def let_raise(program, verb, error):
        def main(_arguments):
            raise error

        monkeypatch.setattr(module_of(program, verb), "main", main)

    return let_raise


@pytest.mark.parametrize("program, verb", VERBS)
def test_help_has_groups_defaults_and_examples_that_can_be_parsed(capsys, program, verb):
    status, text, error = run(capsys, program, verb, "--help")
    parser = parser_of(program, verb)
    assert (status, error) == (0, "")
    assert text.startswith(f"usage: {program} {verb} ")
    assert text.endswith("\n".join(["examples:", *(f"  {line}" for line in parser.examples), ""]))
    for action in parser.actions:
        assert action.help, f"{action.dest} has no help"
    ours = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert ours[-2:] == ["general:", "examples:"] and len(ours) > 2
    assert not {"options:", "optional arguments:", "positional arguments:"} & set(ours)
    for example in parser.examples:
        words = shlex.split(example, comments=True)
        start = words.index(program)
        assert words[start + 1] == verb
        end = words.index(">") if ">" in words else len(words)
        parser.parse_args(words[start + 2 : end])


@pytest.mark.parametrize("module", OTHERS)
def test_other_programs_have_the_same_manners(capsys, monkeypatch, module):
    for folder in ("tools", "examples"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    parser = import_module(module).build_parser()
    assert parser.prog.startswith(("python -m bilm.", "python tools/", "python examples/"))
    assert parser.examples
    for arguments, status in ((["--help"], 0), (["--version"], 0), (["--vresion"], 2)):
        with pytest.raises(SystemExit) as exit_:
            parser.parse_args(arguments)
        assert exit_.value.code == status
    assert "did you mean --version?" in capsys.readouterr().err


@pytest.mark.parametrize("program, verb", VERBS)
def test_versions(capsys, program, verb):
    version = import_module("bilm").__version__
    assert run(capsys, program, "--version") == (0, f"{program} {version}\n", "")
    assert run(capsys, program, verb, "--version") == (0, f"{program} {verb} {version}\n", "")


@pytest.mark.parametrize("program, verb", VERBS)
def test_every_flag_is_suggested_where_a_letter_is_missing(capsys, program, verb):
    for flag in shown_flags(parser_of(program, verb)):
        if len(flag) > 5:
            wrong = flag[:-2] + flag[-1]
            status, out, error = run(capsys, program, verb, wrong, "1")
            assert (status, out) == (2, "")
            assert error.startswith(f"error: unknown option {wrong}; did you mean --")
            assert error.endswith(f"? `{program} {verb} --help` lists all\n")
            assert error.count("\n") == 1


@pytest.mark.parametrize("program, verb", VERBS)
def test_every_choice_is_checked(program, verb, capsys):
    for action in parser_of(program, verb).actions:
        if action.choices and action.option_strings:
            right = str(next(iter(action.choices)))
            _, _, error = run(capsys, program, verb, action.option_strings[0], right + "x")
            assert f"invalid choice: '{right}x', none of " in error and error.count("\n") == 1
            assert f"did you mean {right}?" in error or len(right) < 3


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("word, told", [
    ("{verb}x", "unknown verb '{verb}x'; did you mean {verb}? `{program} --help` lists all"),
    ("xyz", "unknown verb 'xyz'; `{program} --help` lists all"),
    ("--vers", "unknown option '--vers'; did you mean --version? `{program} --help` lists all"),
])
def test_verbs_are_suggested_and_listed(capsys, program, word, told):
    names = {"program": program, "verb": "evaluate"}
    assert run(capsys, program, word.format(**names)) == (2, "", f"error: {told.format(**names)}\n")
    status, text, _ = run(capsys, program)
    assert status == 0 and text == run(capsys, program, "--help")[1]
    for verb, purpose in PROGRAMS[program].purposes.items():
        assert f"\n  {verb:<11} {purpose}\n" in text
    assert text.endswith(f"\nexample:\n  {PROGRAMS[program].example}\n")


@pytest.mark.parametrize("error, status, told", [
    (InputError("no such thing"), 2, "error: no such thing"),
    (MemoryError(), 2, "error: out of memory: no memory left; lower the batch or the model"),
    (FileNotFoundError(2, "No such file", "a.txt"), 2, "error: a.txt: No such file"),
    (TypeError("one\ntwo"), 1, "error: internal: TypeError: one two; --debug shows where it "
     "happened, please report it"),
    (ValueError("C++ Traceback\n0 x\n---\nError Message Summary:\n----\nWrong shape\n"), 1,
     "error: internal: ValueError: Wrong shape; --debug shows where it happened, please report it"),
    (KeyboardInterrupt(), 130, ""),
    (BrokenPipeError(), 141, ""),
])
def test_exit_status_and_one_line(capsys, broken, error, status, told):
    broken("bilm", "inspect", error)
    assert run(capsys, "bilm", "inspect", "x") == (status, "", told + "\n" if told else "")


@pytest.mark.parametrize("program, verb", VERBS)
def test_an_internal_error_is_one_line_and_debug_adds_the_traceback(capsys, broken, program, verb):
    broken(program, verb, KeyError("key"))
    line = ("error: internal: KeyError: 'key'; --debug shows where it happened, please report it\n")
    assert run(capsys, program, verb) == (1, "", line)
    status, out, error = run(capsys, program, verb, "--debug")
    assert (status, out) == (1, "")
    assert error.startswith("Traceback (most recent call last):\n") and error.endswith(line)
    assert ", in main\n" in error


@pytest.mark.parametrize("program, verb", VERBS)
def test_debug_leaves_nothing_among_the_values(program, verb):
    parser = Parser("p", "d")
    parser.add_argument("--x")
    assert vars(parser.parse_args(["--debug", "--x", "1"])) == {"x": "1"}
    assert "--debug" in shown_flags(parser_of(program, verb))


def test_what_is_near():
    known = ["--train_path", "--test_path", "--batch_size"]
    assert suggestion("--train", known) == "; did you mean --train_path?"
    assert suggestion("-batch-size", known) == "; did you mean --batch_size?"
    assert suggestion("--te", known) == suggestion("--frobnicate", known) == ""
    assert suggestion("pre", ["prefix", "pretrain"]) == "; did you mean prefix or pretrain?"


@pytest.mark.parametrize("arguments, told", [
    (["--alpha", "1", "--", "--other"], None), (["--alpha=1", "--word", "- --x y"], None),
    (["--alpha", "-1.5"], None), (["--alhpa=1"], "unknown option --alhpa; did you mean --alpha?"),
    (["-alpha", "1"], "unknown option -alpha; did you mean --alpha?"),
    (["--alpha"], "expected one"), (["--alp", "1"], "unknown option --alp; did you mean --alpha?"),
    (["a", "b"], "unrecognized arguments: b"),
])
def test_what_counts_as_an_unknown_option(capsys, arguments, told):
    parser = Parser("p", "d")
    for name, settings in (("--alpha", {"type": float}), ("--word", {}), ("rest", {"nargs": "?"})):
        parser.add_argument(name, **settings)
    try:
        parser.parse_args(arguments)
        assert told is None
    except SystemExit as exit_:
        assert exit_.code == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1


def test_no_help_version_mistake_or_completion_needs_paddle():
    code = (
        "import sys\nfrom contextlib import suppress\n"
        "from bilm.commands import verbs as b\nfrom lac.commands import verbs as l\n"
        "for main, verbs in ((b.main, b.VERBS.purposes), (l.main, l.VERBS.purposes)):\n"
        "    for verb in verbs:\n"
        "        for flag in ('--help', '--version', '--hepl'):\n"
        "            with suppress(SystemExit): main([verb, flag])\n"
        "    main(['completion', 'bash'])\n"
        "print([name for name in ('paddle', 'matplotlib', 'torch') if name in sys.modules])"
    )
    done = subprocess_of(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n[]\n")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "raw.txt"
    path.write_text("今天天气很好。我们去公园。\n", encoding="utf-8")
    return str(path)


def has_flag(program, verb, flag):
    return flag in shown_flags(parser_of(program, verb))


def test_which_verbs_have_figures_and_progress():
    without_figures = {("bilm", "plot"), ("lac", "plot"), ("lac", "tag"), ("lac", "label"),
                       ("lac", "export"), ("lac", "serve"),
                       ("bilm", "completion"), ("lac", "completion")}
    assert {verb for verb in VERBS if not has_flag(*verb, "--json")} == without_figures
    without_progress = without_figures - {("lac", "tag")} | {
        ("bilm", "generate"), ("bilm", "inspect"), ("bilm", "compare"), ("lac", "score")}
    assert {verb for verb in VERBS if not has_flag(*verb, "--quiet")} == without_progress


def test_json_goes_to_a_file_or_alone_to_stdout(capsys, text, tmp_path):
    def segment(name, *more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jieba's
            segment_command.main([text, "--output", str(tmp_path / name), "--workers", "1", *more])
        return capsys.readouterr().out

    both = segment("a", "--json", str(tmp_path / "counts.json"))
    assert both.startswith("2 sentences, ")
    figures = json.loads((tmp_path / "counts.json").read_text("utf-8"))
    assert figures["sentences"] == 2
    assert json.loads(segment("b", "--json", "-")) == figures


@pytest.mark.parametrize("path, told", [("{}", "is a folder"), ("{}/no/f", "no such folder")])
@pytest.mark.parametrize("program, verb", [v for v in VERBS if has_flag(*v, "--json")])
def test_a_json_file_that_cannot_be_written_is_told_first(
    capsys, tmp_path, program, verb, path, told
):
    status, out, error = run(capsys, program, verb, "--json", path.format(tmp_path))
    assert (status, out) == (2, "")
    assert told in error and error.count("\n") == 1


def test_every_bar_can_be_hidden():
    """Each is hidden where stderr is no terminal, by disable=None or by a look at it."""
    packages = [Path(import_module(program).__file__).parent for program in PROGRAMS]
    paths = [path for folder in [*packages, ROOT / "tools"] for path in folder.rglob("*.py")]
    assert len(paths) > 50
    for path in paths:
        source = path.read_text("utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "tqdm":
                settings = [keyword.arg for keyword in node.keywords]
                assert "disable" in settings or "sys.stderr.isatty()" in source, path


def output_on_a_terminal(text, tmp_path, *more):
    """Return what `bilm vocab` writes to a stderr that is a terminal."""
    pty = pytest.importorskip("pty")
    import fcntl
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    subprocess_of("from bilm.commands.verbs import main; main()", "vocab", text, "--output",
                  str(tmp_path / "v.txt"), *more, stderr=follower)
    os.close(follower)
    try:
        return os.read(leader, 1 << 16).decode()
    except OSError:  # nothing was written
        return ""
    finally:
        os.close(leader)


def test_a_bar_shows_on_a_terminal_only_and_can_be_silenced(text, tmp_path, capsys):
    assert "B/s" in output_on_a_terminal(text, tmp_path)
    assert output_on_a_terminal(text, tmp_path, "--quiet") == ""
    vocab_command.main([text, "--output", str(tmp_path / "v.txt")])
    printed = capsys.readouterr()
    assert printed.err == "" and "vocabulary size" in printed.out


def test_a_warning_is_one_line_whatever_the_root_logger_does():
    code = ("import logging; logging.basicConfig()\n"
            "from bilm.program.running import run_main\n"
            "run_main(lambda _: logging.getLogger('lac').warning('be careful'), [])")
    assert subprocess_of(code).stderr == "warning: be careful\n"


def test_a_closed_pipe_ends_quietly():
    code = "from bilm.commands.verbs import main; main()"
    for arguments in (["completion", "bash"], ["--help"], ["--version"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess_of(code, *arguments, stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess_of("from bilm.commands.verbs import main; main()", "--help", stdout=full)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


def test_two_models_that_differ_are_status_1(capsys, monkeypatch):
    monkeypatch.setattr(compare, "open_model", lambda path: path)
    monkeypatch.setattr(compare, "other_differences", lambda *_: ["num_layers: 1 and 2"])
    monkeypatch.setattr(compare, "compare", lambda *_: [])
    assert run(capsys, "bilm", "compare", "a", "b")[0] == 1


@pytest.mark.skipif(not IS_CHECKOUT, reason="the documents are part of a checkout")
def test_the_documents_of_both_languages_tell_the_same():
    english, chinese = ((ROOT / "docs" / part / "command_line.md").read_text("utf-8")
                        for part in ("", "zh"))
    for text_ in (english, chinese):
        for word in ("`0`", "`1`", "`2`", "`130`", "`141`", "--quiet", "--json", "--debug",
                     "completion zsh", "--version"):
            assert word in text_
    codes = [[line for line in text_.splitlines() if line.startswith(("bilm ", "lac "))]
             for text_ in (english, chinese)]
    assert codes[0] == codes[1] != []
