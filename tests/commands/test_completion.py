"""Completion in the shell: every verb, flag and choice."""

import shlex
import shutil
import subprocess

import pytest

from bilm.program.completion import SHELLS, script
from tests.reference.programs import PROGRAMS, parser_of, run, shown_flags

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_script_names_every_verb_flag_and_choice(capsys, program, shell):
    status, text, _ = run(capsys, program, "completion", shell)
    assert status == 0
    assert text == script(PROGRAMS[program], shell) + "\n"
    for verb in PROGRAMS[program].purposes:
        assert verb in text
        parser = parser_of(program, verb)
        choices = [str(choice) for action in parser.actions for choice in action.choices or ()]
        for word in [*(flag.lstrip("-") for flag in shown_flags(parser)), *choices]:
            assert word in text


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def complete_in_bash(folder, program, *words):
    """Return what bash offers, in a folder, for the last one of some words."""
    line = " ".join(map(shlex.quote, (program, *words)))
    code = f"{script(PROGRAMS[program], 'bash')}\nCOMP_WORDS=({line})\n" \
           f"COMP_CWORD={len(words)}\n_shtab_{program}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash"], input=code, capture_output=True, text=True, cwd=folder,
                          check=True)
    assert done.stderr == ""
    return done.stdout.split()


@needs_bash
@pytest.mark.parametrize("program", PROGRAMS)
def test_bash_takes_the_script(program):
    text = script(PROGRAMS[program], "bash")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@needs_bash
@pytest.mark.parametrize("words, offered", [
    (["bilm", ""], [*PROGRAMS["bilm"].purposes]), (["lac", ""], [*PROGRAMS["lac"].purposes]),
    (["bilm", "pretrain", "--hid"], ["--hidden_size"]),
    (["bilm", "pretrain", "--optim", "ada"], ["adagrad", "adam"]),
    (["bilm", "pretrain", "--use_gpu", ""], ["True", "False"]),
    (["bilm", "completion", ""], [*SHELLS]),
    (["bilm", "inspect", "mod"], ["model.npz"]), (["bilm", "inspect", "che"], ["checkpoints"]),
    (["bilm", "segment", "a.txt", "--output", "c"], ["checkpoints"]),
    (["bilm", "segment", "a.txt", "--output", "mod"], []),
    (["lac", "tag", "--format", "co"], ["conll"]), (["lac", "train", "--elmo", "m"], ["model.npz"]),
])
def test_completion_in_bash(tmp_path, words, offered):
    (tmp_path / "model.npz").touch()
    (tmp_path / "checkpoints").mkdir()
    assert complete_in_bash(tmp_path, *words) == offered
