"""Compile the native operators into a cache folder, once for each machine and Paddle."""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, List

from bilm.hardware import import_paddle

HERE = Path(__file__).parent
LIBRARY = "bilm_operators.so"
LOG = "build.log"
_AGAIN = "then try again with `python -m bilm.kernels build --again`"
_FLAGS = ["-std=c++17", "-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno",
          "-fno-trapping-math"]
_X86_FLAGS = ["-mprefer-vector-width=512"]
# What the compiling process runs; it names the library after the sources.
_SETUP = """
import sys
from setuptools import setup
from paddle.utils.cpp_extension import BuildExtension, CppExtension

sources, include, mkl, *flags = sys.argv[1:]
extension = CppExtension(
    sources.split("\\n"), include_dirs=[include], extra_compile_args=flags,
    extra_link_args=["-l:" + mkl],
)
options = BuildExtension.with_options(output_dir=".", no_python_abi_suffix=True)
setup(name="bilm_operators", ext_modules=[extension], cmdclass={"build_ext": options},
      script_args=["build_ext", "--build-lib", ".", "--build-temp", "objects"])
"""


class CannotBuildError(Exception):
    """The native operators cannot be compiled here; the message gives the reason and a remedy."""


def sources() -> List[Path]:
    """Return the files that are compiled."""
    core = sorted((HERE / "core").glob("*.cc"))
    return [HERE / "operators.cc", *(path for path in core if path.name != "gemm_plain.cc")]


def cache_folder() -> Path:
    """Return where compiled operators are kept: $BILM_CACHE_DIR, or the user's cache folder.

    Raises:
        CannotBuildError: The user has no home folder, and nothing else is chosen.
    """
    chosen = os.environ.get("BILM_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute()
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise CannotBuildError(
            "this user has no home folder; set BILM_CACHE_DIR to a folder of your own"
        ) from None
    return (base / "paddle-elmo").absolute()


def library_folder() -> Path:
    """Return the folder of the operators for this machine, compiler and Paddle.

    Raises:
        CannotBuildError: They cannot be compiled here.
    """
    flags = (os.environ.get(name, "") for name in ("CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS"))
    compiler = hashlib.sha256("\n".join([_compiler_version(), *flags]).encode("utf-8"))
    return cache_folder() / f"{_key_without_compiler()}-{compiler.hexdigest()[:8]}"


def _key_without_compiler() -> str:
    paddle = import_paddle()
    _mkl()
    parts = [paddle.__version__, getattr(paddle.version, "commit", ""), platform.machine(),
             sys.implementation.cache_tag, _processor_features(), *_flags()]
    digest = hashlib.sha256("\n".join(parts).encode("utf-8"))
    for path in sorted([Path(__file__), *sources(), *(HERE / "core").glob("*.h")]):
        digest.update(path.name.encode("utf-8") + path.read_bytes())
    return f"kernels-{digest.hexdigest()[:20]}"


def build(announce: Callable[[str], None], again: bool = False) -> Path:
    """Return the compiled library, compiling it if it is not there yet.

    Processes that need it at the same time wait for the one that compiles. After a failure
    nothing is tried again until something changes, or `again` asks for it. Where no compiler is,
    a library serves that another one has made for this machine and Paddle.

    Args:
        announce: Called with one line before something that takes long.
        again: Compile even if it is there or has failed before.

    Raises:
        CannotBuildError: It cannot be compiled here, or the compiler fails; or others than this
            user may write to the cache folder.
    """
    try:
        folder = library_folder()
    except CannotBuildError:
        made = sorted(cache_folder().glob(f"{_key_without_compiler()}-*/{LIBRARY}"))
        if not made or again:
            raise
        folder = made[-1].parent
    try:
        return _build(folder, announce, again)
    except OSError as error:
        raise CannotBuildError(
            f"{error.filename or folder}: {error.strerror}; set BILM_CACHE_DIR to a folder that "
            "can be written"
        ) from None


def _build(folder, announce, again):
    _make_private(folder)
    if (folder / LIBRARY).is_file() and not again:  # the folder may be read-only by now
        return folder / LIBRARY
    with _locked(folder / "lock", announce):
        if again:
            for name in (LIBRARY, LOG):
                (folder / name).unlink(missing_ok=True)
        if not (folder / LIBRARY).is_file():
            if (folder / LOG).is_file():
                raise CannotBuildError(f"compiling failed before; see {folder / LOG}, {_AGAIN}")
            for left in folder.glob("tmp-*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            announce("compiling the native operators for this processor, once; about 20 s")
            _compile(folder)
    return folder / LIBRARY


def _compile(folder):
    with tempfile.TemporaryDirectory(dir=folder, prefix="tmp-") as work:
        arguments = ["\n".join(map(str, sources())), str(HERE), _mkl().name]
        done = subprocess.run(
            [sys.executable, "-c", _SETUP, *arguments, *_flags()], cwd=work,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
            # older setuptools compile C++ with CC and only link with CXX
            env={**os.environ, **dict.fromkeys(("CC", "CXX"), shlex.join(_compiler()))},
        )
        built = list(Path(work).glob("*.so"))
        if done.returncode or len(built) != 1:
            (folder / LOG).write_bytes(done.stdout)
            raise CannotBuildError(f"the compiler failed; see {folder / LOG}, {_AGAIN}")
        os.replace(built[0], folder / LIBRARY)


def _make_private(folder):
    """Make the folder; refuse one that others may write to, since its content will be run."""
    for place in (folder.parent, folder):  # the mode holds for the last folder of a path only
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = place.stat()
        if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022:
            raise CannotBuildError(
                f"{place} can be written by other users; set BILM_CACHE_DIR to a folder of your own"
            )


@contextmanager
def _locked(path, announce):
    import fcntl  # not on Windows, where nothing is compiled

    with open(path, "w", encoding="utf-8") as file:  # the lock ends when the file is closed
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce("waiting for another process, which compiles the native operators")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _flags():
    return [*_FLAGS, *(_X86_FLAGS if platform.machine() == "x86_64" else [])]


def _mkl() -> Path:
    path = Path(str(import_paddle().__file__)).parent / "libs" / "libmklml_intel.so"
    if not path.is_file():
        raise CannotBuildError("this build of Paddle comes without MKL")
    return path


def _compiler() -> List[str]:
    chosen = os.environ.get("CXX")
    if chosen:
        command = _command(chosen)
        if not command:
            raise CannotBuildError(
                f"the environment's CXX, {chosen!r}, is no program; unset it or name a compiler"
            )
        return command
    # Python's own may be one of the machine on which it was built
    for text in (sysconfig.get_config_var("CXX") or "", "c++", "g++"):
        command = _command(text)
        if command:
            return command
    raise CannotBuildError(
        "there is no C++ compiler; install g++ (Debian, Ubuntu: apt-get install g++)"
    )


def _command(text) -> List[str]:
    """Return the words of a command whose program is there, otherwise nothing."""
    try:
        words = shlex.split(text)
    except ValueError:  # a quotation that is not closed
        return []
    return words if words and shutil.which(words[0]) else []


def _compiler_version() -> str:
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        raise CannotBuildError(
            f"{header} is not there; install Python's headers (Debian, Ubuntu: apt-get install "
            "python3-dev)"
        )
    if find_spec("setuptools") is None:
        raise CannotBuildError("setuptools is not installed; pip install setuptools")
    done = subprocess.run([*_compiler(), "--version"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False,
                          env={**os.environ, "LC_ALL": "C"})
    return done.stdout


def _processor_features() -> str:
    """Return the processor's instruction sets, sorted: compiled code may use them all."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CannotBuildError(f"the processor is not known: {error}") from None
    features = next((line for line in lines if line.startswith(("flags", "Feat"))), ":")
    return " ".join(sorted(features.split(":", 1)[1].split()))
