"""A file of vectors that was interrupted goes on to the same bytes, or says why it cannot."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, ELMo, InputError
from bilm.inference import vector_file
from bilm.inference.embedder import Embedder
from bilm.inference.vectors_of_files import embed_lines
from bilm.text.lines import Lines
from tests.reference.embedded_words import VOCABULARY, WORDS
from tests.reference.vector_files import content, embed, numbered_text

EMBED = (
    "import sys; from bilm.inference import vector_file\n"
    "vector_file.SECONDS_BETWEEN_NOTES = 0.05\n"
    "from bilm.commands.verbs import main\n"
    "main(['embed', *sys.argv[1:]])\n"
)


def start(folder, text, out, *options):
    arguments = [sys.executable, "-c", EMBED, text, out, "--model", folder, *options]
    return subprocess.Popen([str(a) for a in arguments], stderr=subprocess.PIPE, text=True)


def finish(process):
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error


def stop_in_the_middle(process, out, signal_number):
    """Send the signal when some batches are noted."""
    note = out.with_name(out.name + ".partial.progress")
    deadline = time.monotonic() + 120
    while not note.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(signal_number)
    _, error = process.communicate(timeout=120)
    assert not out.exists()
    return error


@pytest.mark.slow
@pytest.mark.parametrize("stateful", [False, True])
def test_ten_thousand_sentences_killed_and_resumed(folder, tmp_path, stateful):
    lines, options = (1_000, ["--stateful"]) if stateful else (10_000, [])
    text = numbered_text(tmp_path / "text.txt", lines)
    whole, killed = tmp_path / "whole.hdf5", tmp_path / "killed.hdf5"
    finish(start(folder, text, whole, *options))
    stop_in_the_middle(start(folder, text, killed, *options), killed, signal.SIGKILL)
    note = tmp_path / "killed.hdf5.partial.progress"
    for _ in range(2):
        noted = note.stat().st_mtime_ns
        process = start(folder, text, killed, *options, "--resume")
        while note.stat().st_mtime_ns == noted:  # it goes on from there
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()
    finish(start(folder, text, killed, *options, "--resume"))
    expected, found = content(whole), content(killed)
    assert found.keys() == expected.keys() and len(found) == lines + 1
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert whole.read_bytes() == killed.read_bytes()


@pytest.mark.parametrize("signal_number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_a_signal_keeps_what_is_done(folder, tmp_path, signal_number, status):
    text, out = numbered_text(tmp_path / "text.txt", 10_000), tmp_path / "out.hdf5"
    process = start(folder, text, out)
    error = stop_in_the_middle(process, out, signal_number)
    assert process.returncode == status
    assert "interrupted after " in error and "with --resume goes on" in error
    assert "Traceback" not in error
    finish(start(folder, text, out, "--resume"))
    assert len(content(out)) == 10_001


def partial(folder, text, out):
    stop_in_the_middle(start(folder, text, out), out, signal.SIGKILL)


@pytest.mark.smoke
def test_only_the_same_text_model_and_options_are_resumed(folder, tmp_path):
    text, out = numbered_text(tmp_path / "text.txt", 10_000), tmp_path / "out.hdf5"
    partial(folder, text, out)
    with pytest.raises(InputError, match="out.hdf5.partial is there, of a run that was interrupt"):
        embed(folder, text, out)
    for change in (["--layers", "top"], ["--dtype", "float16"], ["--batch_size", "7"],
                   ["--unknown", "characters"], ["--stateful"], ["--variant", "lark"]):
        with pytest.raises(InputError, match="belongs to a different text, model or option"):
            embed(folder, text, out, "--resume", *change)
    with open(text, "a", encoding="utf-8") as file:
        file.write("人\n")
    with pytest.raises(InputError, match="belongs to a different text, model or option"):
        embed(folder, text, out, "--resume")


@pytest.mark.slow
def test_a_note_of_another_file_is_never_taken(folder, tmp_path):
    """Killed, its file removed by hand, begun again and killed before the first note, resumed."""
    text, out = numbered_text(tmp_path / "text.txt", 10_000), tmp_path / "out.hdf5"
    partial(folder, text, out)
    note, filled = (tmp_path / f"out.hdf5.partial{end}" for end in (".progress", ""))
    old_note = note.read_bytes()
    filled.unlink()
    slow = EMBED.replace("0.05", "99")  # no note until the end
    process = subprocess.Popen(
        [sys.executable, "-c", slow, str(text), str(out), "--model", str(folder)])
    while not filled.exists() or filled.stat().st_size < 100_000:
        time.sleep(0.01)
    assert not note.exists()
    process.kill()
    process.wait()
    finish(start(folder, text, out, "--resume"))
    whole = tmp_path / "whole.hdf5"
    finish(start(folder, text, whole))
    assert out.read_bytes() == whole.read_bytes()
    note.write_bytes(old_note)  # beside a file that it was not written for
    filled.write_bytes(whole.read_bytes())
    out.unlink()
    with pytest.raises(InputError, match="belongs to another file; remove out.hdf5.partial and"):
        embed(folder, text, out, "--resume")


@pytest.mark.parametrize("content", [b"", b"x" * 50, None, {"batches": "1"},
                                     {"batches": "x", "inode": "1", "fingerprint": "y"}])
def test_a_damaged_note_is_told(folder, tmp_path, content):
    from safetensors.numpy import save

    text, out = numbered_text(tmp_path / "text.txt", 10_000), tmp_path / "out.hdf5"
    partial(folder, text, out)
    damaged = content if isinstance(content, bytes) else save({}, content)
    (tmp_path / "out.hdf5.partial.progress").write_bytes(damaged)
    with pytest.raises(InputError, match="damaged .*; remove out.hdf5.partial and out.hdf5.part"):
        embed(folder, text, out, "--resume")


def test_a_note_that_says_too_much_is_found_out(folder, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save

    text, out = numbered_text(tmp_path / "text.txt", 10_000), tmp_path / "out.hdf5"
    partial(folder, text, out)
    note = tmp_path / "out.hdf5.partial.progress"
    with safe_open(note, "numpy") as file:
        about = file.metadata()
    note.write_bytes(save({}, {**about, "batches": "9999"}))
    with pytest.raises(InputError, match=r"counts 9999 batches, but the text has \d+;"):
        embed(folder, text, out, "--resume")
    assert not out.exists()


def test_a_truncated_partial_file_is_told(folder, tmp_path):
    text, out = numbered_text(tmp_path / "text.txt", 10_000), tmp_path / "out.hdf5"
    partial(folder, text, out)
    with open(tmp_path / "out.hdf5.partial", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(InputError, match="out.hdf5.partial: damaged .*; remove out.hdf5.partial"):
        embed(folder, text, out, "--resume")


def test_a_signal_during_the_end_leaves_the_whole_file(folder, text, tmp_path, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(vector_file, "remove_leftovers", interrupted)
    out = tmp_path / "out.hdf5"
    with pytest.raises(KeyboardInterrupt):
        embed(folder, text, out)
    assert sorted(os.listdir(tmp_path)) == ["out.hdf5", "text.txt"]
    monkeypatch.undo()
    embed(folder, text, out, "--resume")  # nothing is left to do


def test_another_model_or_mix_is_not_resumed(folder, tmp_path):
    text, out = numbered_text(tmp_path / "text.txt", 10_000), tmp_path / "out.hdf5"
    partial(folder, text, out)
    paddle.seed(99)
    config = BiLMConfig(vocab_size=len(WORDS) + 3, projection_size=6, cell_size=10)
    BiLM(config).save_pretrained(tmp_path / "other", VOCABULARY)
    with pytest.raises(InputError, match="belongs to a different text, model or option"):
        embed(tmp_path / "other", text, out, "--resume")
    prints = set()
    for weight in (0.0, 1.0):
        elmo = ELMo(BiLM.from_pretrained(folder))
        elmo.mixes[0].gamma.set_value(np.array([weight], np.float32))
        elmo.save_mixes(tmp_path / "mix")
        prints.add(Embedder(folder, layers="mix", mix_from=tmp_path / "mix").fingerprint())
    assert len(prints) == 2


def test_a_resumed_run_does_not_begin_anew(folder, text, tmp_path, monkeypatch):
    embedder, out = Embedder(folder, batch_size=1), tmp_path / "out.hdf5"
    monkeypatch.setattr(vector_file, "SECONDS_BETWEEN_NOTES", -1)
    seen = []

    def interrupted(batch):
        seen.append(batch)
        if len(seen) == 3:
            raise KeyboardInterrupt
        yield from Embedder.pieces(embedder, batch)

    monkeypatch.setattr(embedder, "pieces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        embed_lines(embedder, Lines(text), out)
    embed_lines(embedder, Lines(text), out, resume=True)
    assert len(seen) == 5  # four lines with words, of which the third came twice


def test_a_finished_file_is_left_alone(folder, text, tmp_path):
    out = tmp_path / "out.hdf5"
    embed(folder, text, out)
    before = out.stat().st_mtime_ns
    with pytest.raises(InputError, match="out.hdf5 is there already"):
        embed(folder, text, out)
    embed(folder, text, out, "--resume")  # nothing to do
    assert out.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="out.hdf5 is there already"):
        embed(folder, text, out, "--resume", "--layers", "top")


def test_resume_without_a_beginning_starts(folder, text, tmp_path):
    embed(folder, text, tmp_path / "out.hdf5", "--resume")
    assert len(content(tmp_path / "out.hdf5")) == 7


def test_a_full_disk_keeps_what_is_done(folder, text, tmp_path, monkeypatch):
    embedder, out = Embedder(folder, batch_size=1), tmp_path / "out.hdf5"
    pwrite, calls = os.pwrite, []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        return pwrite(*arguments)

    monkeypatch.setattr(vector_file.os, "pwrite", full)
    with pytest.raises(InputError, match="No space left on device; finished work is kept"):
        embed_lines(embedder, Lines(text), out)
    monkeypatch.setattr(vector_file.os, "pwrite", pwrite)
    embed_lines(embedder, Lines(text), out, resume=True)
    embed_lines(embedder, Lines(text), tmp_path / "whole.hdf5")  # a path needs no closing
    assert out.read_bytes() == (tmp_path / "whole.hdf5").read_bytes()


def test_too_little_room_is_told_before_anything_is_computed(
    folder, text, tmp_path, monkeypatch
):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vector_file.os, "posix_fallocate", full)
    with pytest.raises(InputError, match="no room for 0.0.. GB: No space left on device; float16"):
        embed(folder, text, tmp_path / "out.hdf5")
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_two_processes_do_not_write_one_file(folder, tmp_path):
    text, out = numbered_text(tmp_path / "text.txt", 12_000), tmp_path / "out.hdf5"
    first = start(folder, text, out)
    note = out.with_name("out.hdf5.partial.progress")
    while not note.exists() and first.poll() is None:
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(InputError, match="another process is writing this file"):
            embed(folder, text, out, "--resume")
    finally:
        first.kill()
        first.communicate()
