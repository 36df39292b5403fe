"""Settings of the processor that leave the user's alone, and plain words where Paddle is not."""

import os
import subprocess
import sys
import types

import pytest

from bilm import hardware, paddle_compat
from bilm.errors import InputError
from bilm.hardware import count_gpus, import_paddle, select_device, tune_cpu
from tests.reference.places import ROOT


@pytest.fixture
def machine(monkeypatch):
    """A function that pretends another machine; it returns the numbers that Paddle is told."""

    def machine(mkl_code=None, imported=False, **environment):
        for name in ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "PADDLE_LOCAL_SIZE",
                     "KMP_BLOCKTIME"):
            monkeypatch.setenv(name, "")  # so that it is as before after the test
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        told, paddle = [], types.ModuleType("paddle")
        monkeypatch.delitem(sys.modules, "paddle", raising=False)
        if imported:
            monkeypatch.setitem(sys.modules, "paddle", paddle)
        monkeypatch.setattr(hardware, "import_paddle", lambda: paddle)
        monkeypatch.setattr(paddle_compat, "set_num_threads", told.append)
        monkeypatch.setattr(hardware, "_mkl_code", lambda: mkl_code)
        monkeypatch.setattr(hardware, "usable_cores", lambda: 6)
        return told

    return machine


@pytest.mark.parametrize("imported, environment, threads, count", [
    (False, {}, 0, 6),
    (True, {}, 0, 6),
    (False, {"OMP_NUM_THREADS": ""}, 0, 6),
    (False, {"OMP_NUM_THREADS": "3"}, 0, 3),
    (True, {"OMP_NUM_THREADS": "3"}, 0, 3),
    (False, {"OMP_NUM_THREADS": "1"}, 0, 1),
    (True, {"OMP_NUM_THREADS": "1"}, 0, 6),  # as Paddle sets it
    (False, {"OMP_NUM_THREADS": "3"}, 2, 2),
    (True, {"OMP_NUM_THREADS": "1"}, 1, 1),
    (False, {"PADDLE_LOCAL_SIZE": "3"}, 0, 2),  # three processes share the machine
    (False, {"PADDLE_LOCAL_SIZE": "7"}, 0, 1),
    (False, {"PADDLE_LOCAL_SIZE": "3", "OMP_NUM_THREADS": "4"}, 0, 4),
])
def test_paddle_gets_the_threads_asked_for_or_all_cores(
    machine, imported, environment, threads, count
):
    told = machine(imported=imported, **environment)
    assert tune_cpu(threads) == count
    assert told == [count]
    assert os.environ.get("OMP_NUM_THREADS") == environment.get("OMP_NUM_THREADS")


AVX512 = "avx512f avx512dq avx512cd avx512bw avx512vl"


def cpuinfo(path, vendor, flags):
    """Write a file like /proc/cpuinfo of two cores."""
    core = f"vendor_id\t: {vendor}\nflags\t\t: fpu sse4_2 {flags}\n"
    path.write_text(f"processor\t: 0\n{core}\nprocessor\t: 1\n{core}", encoding="utf-8")
    return path


@pytest.mark.parametrize("vendor, flags, code", [
    ("AuthenticAMD", "avx2 fma", "5"),
    ("AuthenticAMD", f"avx2 fma {AVX512}", "7"),
    ("AuthenticAMD", "avx2 fma avx512f avx512cd", "5"),  # not all that MKL's AVX-512 code uses
    ("AuthenticAMD", "avx", None),
    ("HygonGenuine", "avx2 fma", "5"),
    ("GenuineIntel", f"avx2 fma {AVX512}", None),
])
def test_mkl_is_told_the_instructions_of_other_processors_than_intels(
    tmp_path, vendor, flags, code
):
    assert hardware._mkl_code(tmp_path / "nothing") is None
    assert hardware._mkl_code(cpuinfo(tmp_path / "cpuinfo", vendor, flags)) == code


@pytest.mark.parametrize("code, set_to, value", [
    ("7", None, "7"), ("7", "4", "4"), (None, None, None), (None, "4", "4"),
])
def test_mkls_code_is_chosen_where_the_user_set_nothing(machine, code, set_to, value):
    machine(code, **({"MKL_DEBUG_CPU_TYPE": set_to} if set_to else {}))
    tune_cpu()
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == value


@pytest.mark.smoke
def test_paddle_has_what_is_called(monkeypatch):
    """Paddle's real `set_num_threads`: internal, so it may move from version to version."""
    import paddle

    told = []
    monkeypatch.setattr(paddle.base.core, "set_num_threads", told.append)
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "5")
    tune_cpu(3)
    assert told == [3]


def test_missing_paddle_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "paddle", None)
    with pytest.raises(InputError) as error:
        import_paddle()
    assert "[cpu]" in str(error.value)
    assert "[gpu]" in str(error.value)


def test_a_broken_paddle_is_no_missing_paddle(monkeypatch, tmp_path):
    (tmp_path / "paddle.py").write_text("import a_module_that_is_not_there", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "paddle", raising=False)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        import_paddle()


@pytest.mark.smoke
@pytest.mark.parametrize("arguments", [
    ["evaluate", "--model", "model", "--data", "text"],
    ["pretrain", "--train_path", "text", "--vocab_path", "words"],
])
def test_a_program_without_paddle_ends_with_one_line(tmp_path, arguments):
    program = (
        "import sys; sys.modules['paddle'] = None\n"
        "from bilm.commands.verbs import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: PaddlePaddle is not installed: install this package with its extra [cpu], or "
        "[gpu] on a machine with an NVIDIA card, such as pip install -e '.[cpu]' in a checkout\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def pretended(monkeypatch):
    """A function that makes Paddle say that it can use so many GPUs."""
    import paddle

    def pretended(compiled, visible):
        monkeypatch.setattr(paddle.device, "is_compiled_with_cuda", lambda: compiled)
        monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: visible)

    return pretended


@pytest.mark.parametrize("compiled, message", [
    (False, "built for the CPU only; install this package with its extra [gpu], "
            "or pass --use_gpu False"),
    (True, "no GPU is visible (CUDA_VISIBLE_DEVICES='9'); pass --use_gpu False"),
])
def test_a_gpu_that_is_not_there_is_told_in_one_line(pretended, monkeypatch, compiled, message):
    pretended(compiled, visible=0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "9")
    with pytest.raises(InputError) as error:
        select_device(True)
    assert str(error.value).startswith("--use_gpu True: ")
    assert str(error.value).endswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("compiled, visible, usable", [
    (False, 3, 0), (True, 0, 0), (True, 2, 2),
])
def test_usable_gpus_are_counted(pretended, compiled, visible, usable):
    pretended(compiled, visible)
    assert count_gpus() == usable


def test_a_gpu_that_nobody_asked_for_is_not_used(pretended):
    import paddle

    pretended(compiled=True, visible=2)
    assert "cpu" in select_device(False).lower()
    assert paddle.device.get_device() == "cpu"


def test_a_program_without_the_gpu_it_was_asked_for_ends_with_one_line(
    pretended, monkeypatch, capsys
):
    from bilm.commands.evaluate import main
    from bilm.program.running import run_main

    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "5")
    pretended(compiled=False, visible=0)
    with pytest.raises(SystemExit) as exit_:
        run_main(main, ["--model", "m", "--data", "d", "--use_gpu", "True", "--threads", "1"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --use_gpu True: ") and error.count("\n") == 1
