"""Compiling the native operators: once, whole or not at all, and what happens without."""

import errno
import logging
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from bilm.errors import InputError
from bilm.kernels import build as building
from bilm.kernels import loading
from tests.reference.kernel_problems import needs_native
from tests.reference.places import REFERENCE, ROOT


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache, and nothing tried yet."""
    monkeypatch.setenv("BILM_CACHE_DIR", str(tmp_path / "a cache"))
    monkeypatch.delenv("BILM_KERNEL", raising=False)
    monkeypatch.setattr(loading, "_is_loaded", None)
    return tmp_path / "a cache"


def test_without_a_compiler_one_line_says_how_to_get_it(fresh, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with caplog.at_level(logging.WARNING, "bilm"):
        assert not loading.is_native() and not loading.is_native()
    (record,) = caplog.records
    assert "CXX, 'no-such-compiler', is no program" in record.getMessage()
    with loading.using("native"), pytest.raises(InputError, match="BILM_KERNEL=native: the env"):
        loading.is_native()


def test_an_unknown_choice_is_told(monkeypatch):
    monkeypatch.setenv("BILM_KERNEL", "fast")
    with pytest.raises(InputError, match="one of auto, native, paddle, not 'fast'"):
        loading.is_native()


def test_static_programs_and_the_word_paddle_compile_nothing(fresh, monkeypatch):
    monkeypatch.setattr(loading, "build", None)
    with loading.using("paddle"):
        assert not loading.is_native()
    import paddle

    paddle.enable_static()
    try:
        assert not loading.is_native()
    finally:
        paddle.disable_static()


@needs_native
def test_a_failure_is_kept_and_tried_again_only_if_asked(fresh, monkeypatch):
    compiler = fresh.parent / "compiler"
    compiler.write_text("#!/bin/sh\necho broken; [ \"$1\" = --version ]\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    said = []
    for again, lines in ((False, 1), (False, 1), (True, 2)):
        with pytest.raises(building.CannotBuildError, match=r"build\.log"):
            building.build(said.append, again)
        assert len(said) == lines
    (folder,) = fresh.iterdir()
    assert sorted(os.listdir(folder)) == ["build.log", "lock"]


@needs_native
def test_a_cache_that_cannot_be_written_serves_what_it_holds(fresh, monkeypatch, caplog):
    @contextmanager
    def refuse(path, announce):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
        yield

    monkeypatch.setattr(building, "_locked", refuse)
    with caplog.at_level(logging.WARNING, "bilm"):
        assert not loading.is_native()
    assert "lock: Permission denied; set BILM_CACHE_DIR" in caplog.records[0].getMessage()
    library = building.library_folder() / building.LIBRARY
    library.write_bytes(b"")
    assert building.build(print) == library


@needs_native
def test_a_new_cache_is_private_whatever_the_umask(fresh, monkeypatch):
    monkeypatch.setattr(building, "_compile", lambda folder: (folder / building.LIBRARY).touch())
    before = os.umask(0o002)
    try:
        library = building.build(lambda line: None)
    finally:
        os.umask(before)
    assert [place.stat().st_mode & 0o777 for place in (fresh, library.parent)] == [0o700, 0o700]


@needs_native
def test_a_user_without_a_home_is_told_what_to_set(monkeypatch, tmp_path):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(building.Path, "home", no_home)
    for name in ("XDG_CACHE_HOME", "BILM_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(building.CannotBuildError, match="no home folder; set BILM_CACHE_DIR"):
        building.cache_folder()
    monkeypatch.setenv("BILM_CACHE_DIR", str(tmp_path))
    assert building.cache_folder() == tmp_path


@needs_native
def test_pythons_headers_are_asked_for(fresh, monkeypatch):
    monkeypatch.setattr(building.sysconfig, "get_path", lambda name: str(fresh))
    with pytest.raises(building.CannotBuildError, match=r"Python\.h is not there; .*python3-dev"):
        building.build(print)


@needs_native
def test_the_cache_must_belong_to_the_user(fresh):
    fresh.mkdir()
    fresh.chmod(0o777)
    with pytest.raises(building.CannotBuildError, match="can be written by other users"):
        building.build(print)


@needs_native
def test_every_processor_and_compiler_has_a_library_of_its_own(fresh, monkeypatch):
    names = {building.library_folder().name}
    for name, value in (("_processor_features", "avx9"), ("_compiler_version", "g++ 99")):
        monkeypatch.setattr(building, name, lambda value=value: value)
        names.add(building.library_folder().name)
    assert len(names) == 3


@needs_native
def test_a_compiler_that_python_names_but_is_not_here_hides_no_other(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(building.sysconfig, "get_config_var", lambda name: "gone-g++ -pthread")
    assert shutil.which(building._compiler()[0])


@needs_native
@pytest.mark.parametrize("command", ["g++ \"", " ", "no-such"])
def test_a_compiler_that_is_none_is_told(fresh, monkeypatch, command):
    monkeypatch.setenv("CXX", command)
    with pytest.raises(building.CannotBuildError, match=f"CXX, '{re.escape(command)}', is no"):
        building.build(print)


@needs_native
def test_no_compiler_of_any_name_is_told(fresh, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    with pytest.raises(building.CannotBuildError, match="there is no C.. compiler; install g"):
        building.build(print)


@needs_native
def test_what_was_compiled_ahead_needs_no_compiler(fresh, monkeypatch):
    monkeypatch.setattr(building, "_compile", lambda folder: (folder / building.LIBRARY).touch())
    library = building.build(lambda line: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert building.build(print) == library
    with pytest.raises(building.CannotBuildError):
        building.build(print, again=True)


@needs_native
def test_what_a_killed_build_left_goes_at_the_next(fresh, monkeypatch):
    monkeypatch.setattr(building, "_compile", lambda folder: (folder / building.LIBRARY).touch())
    folder = building.library_folder()
    (folder / "tmp-killed" / "objects").mkdir(parents=True)
    for place in (fresh, folder):
        place.chmod(0o700)
    building.build(lambda line: None)
    assert sorted(os.listdir(folder)) == [building.LIBRARY, "lock"]


@needs_native
def test_who_waits_for_another_build_is_told(fresh, monkeypatch):
    monkeypatch.setattr(building, "_compile", lambda folder: (folder / building.LIBRARY).touch())
    folder = building.library_folder()
    folder.mkdir(parents=True, mode=0o700)
    fresh.chmod(0o700)
    script = "import fcntl, sys; file = open(sys.argv[1], 'w'); " \
             "fcntl.flock(file, fcntl.LOCK_EX); print('locked', flush=True); sys.stdin.readline()"
    said = []
    with subprocess.Popen([sys.executable, "-c", script, str(folder / "lock")], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == "locked\n"

        def announce(line):
            said.append(line)
            if len(said) == 1:
                other.stdin.write("\n")
                other.stdin.flush()

        assert building.build(announce).is_file()
    assert "waiting for another process" in said[0]


@needs_native
def test_a_library_that_cannot_be_loaded_says_how_to_compile_it_anew(fresh, monkeypatch, caplog):
    monkeypatch.setattr(building, "_compile",
                        lambda folder: (folder / building.LIBRARY).write_bytes(b"no library"))
    with caplog.at_level(logging.WARNING, "bilm"):
        assert not loading.is_native()
    assert "cannot be loaded (`python -m bilm.kernels build --again`" in caplog.text


@pytest.mark.slow
@needs_native
def test_two_processes_compile_once(fresh):
    command = [sys.executable, "-m", "bilm.kernels", "build"]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
               for _ in range(2)]
    printed = [process.communicate(timeout=400)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum("compiling" in line for lines in printed for line in lines) == 1
    (path,) = {lines[-1] for lines in printed}
    assert Path(path).is_file() and Path(path).is_relative_to(fresh)
    assert sorted(os.listdir(Path(path).parent)) == [building.LIBRARY, "lock"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_the_core_is_clean_under_sanitizers(tmp_path, sanitizers):
    kernels = building.HERE
    sources = [path for path in (kernels / "core").glob("*.cc") if path.name != "gemm_mkl.cc"]
    program = tmp_path / "driver"
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-g", "-fopenmp-simd", "-pthread", "-Wall", "-Wextra",
         "-Werror", "-Wno-unknown-pragmas", f"-fsanitize={sanitizers}",
         "-fno-sanitize-recover=all", f"-I{kernels}", f"-I{kernels / 'core'}",
         str(REFERENCE / "kernel_driver.cc"), *map(str, sources), "-o", program],
        check=True, timeout=300,
    )
    done = subprocess.run([program], env={"OMP_NUM_THREADS": "3"}, capture_output=True, text=True,
                          timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
