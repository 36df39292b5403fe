"""Files and folders are written whole or not at all."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from bilm import files
from bilm.files import atomic_folder, clear_leftovers, write_bytes_atomically, write_text_atomically
from tests.reference.folders import content
from tests.reference.places import ROOT


def test_a_folder_replaces_the_one_of_its_name(tmp_path):
    for name in ("first", "second"):
        with atomic_folder(tmp_path / "runs" / "model") as folder:
            (folder / "part").mkdir()
            (folder / "part" / name).write_text(name)
            assert (tmp_path / "runs" / "model" / "part" / "first").exists() == (name == "second")
    assert content(tmp_path / "runs") == {
        "model": None, "model/part": None, "model/part/second": b"second",
    }


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_folder_that_fails_leaves_nothing(tmp_path, error):
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "old").write_text("old")
    with pytest.raises(error), atomic_folder(tmp_path / "model") as folder:
        (folder / "new").write_text("new")
        raise error
    assert content(tmp_path) == {"model": None, "model/old": b"old"}


def test_text_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "latest"
    write_text_atomically(path, "一\n")
    write_text_atomically(path, "二\r\n")
    assert content(tmp_path) == {"latest": "二\r\n".encode()}

    def refuse(_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(OSError, match="no space"):
        write_text_atomically(path, "三\n")
    assert content(tmp_path) == {"latest": "二\r\n".encode()}


def test_a_killed_process_leaves_only_what_is_removed_later(tmp_path):
    program = (
        "import os, sys; from bilm.files import *\n"
        "os.replace = lambda *_: os._exit(9) if sys.argv[1] == 'text' else None\n"
        "if sys.argv[1] == 'text': write_text_atomically('latest', 'new')\n"
        "with atomic_folder('model') as folder:\n"
        "    (folder / 'part').write_text('half')\n"
        "    os._exit(9)\n"
    )
    (tmp_path / "latest").write_text("old")
    (tmp_path / ".hidden").write_text("kept")
    kept = content(tmp_path)
    for what in ("text", "folder"):
        done = subprocess.run(
            [sys.executable, "-c", program, what],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )
        assert done.returncode == 9
    left = content(tmp_path)
    assert len(left) == len(kept) + 3  # a file, a folder and the file in it
    assert "model" not in left
    assert left["latest"] == b"old"
    clear_leftovers(tmp_path, "something else")
    assert content(tmp_path) == left
    clear_leftovers(tmp_path, "latest|model")
    assert content(tmp_path) == kept


def test_a_link_is_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_bytes_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_bytes_atomically(tmp_path / "pipe", b"text")
    reader.join(10)
    assert found == [b"text"]
    assert (tmp_path / "pipe").is_fifo()
