"""Files that are written whole: what is no regular file is not replaced."""

import os
import threading

from bilm.files import write_bytes_atomically


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
