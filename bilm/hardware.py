"""Devices and processors: which device to compute on, and Paddle's fast path on CPUs."""

import ctypes
import os
import sys
import warnings
from pathlib import Path
from typing import Optional

from bilm.errors import InputError

# Values of MKL_DEBUG_CPU_TYPE
_MKL_AVX2, _MKL_AVX512 = "5", "7"
# and what these codes need of the processor, as Linux names it
_AVX2 = {"avx2", "fma"}
_AVX512 = {"avx512f", "avx512cd", "avx512dq", "avx512bw", "avx512vl"}


def tune_cpu(threads: int = 0) -> int:
    """Make Paddle use the processor well; return the number of threads it will use.

    By default Paddle uses one thread, and on AMD processors slow matrix products, which
    `choose_mkl_code` prevents; so call this before anything is computed. OpenMP's threads spin
    for 200 ms after their work, on cores that others could use: KMP_BLOCKTIME becomes 1 ms.
    OMP_NUM_THREADS, MKL_DEBUG_CPU_TYPE and KMP_BLOCKTIME are respected where the user has set
    them. (Importing Paddle sets an absent OMP_NUM_THREADS to 1, so after an import that value is
    taken as absent: pass threads=1 to have one thread.)

    Args:
        threads: Number of threads; 0 means the cores that this process may use, divided
            among the processes that the launcher started on this machine.

    Raises:
        InputError: Paddle is not installed, or OMP_NUM_THREADS is no number.
    """
    chosen = os.environ.get("OMP_NUM_THREADS")
    launched = "PADDLE_TRAINER_ID" in os.environ  # by a launcher, which has imported Paddle
    if chosen == "1" and ("paddle" in sys.modules or launched):
        chosen = None
    here, all_processes = (os.environ.get(f"PADDLE_{name}") for name in
                           ("LOCAL_SIZE", "TRAINERS_NUM"))
    processes = int(here or all_processes or 1)
    # OpenMP takes a list, one number for each level of nesting; the first is Paddle's
    try:
        chosen = int(chosen.split(",")[0]) if chosen else max(1, usable_cores() // processes)
    except ValueError:
        raise InputError(f"OMP_NUM_THREADS must be a number, not {chosen!r}") from None
    count = threads or chosen
    choose_mkl_code()
    is_imported = "paddle" in sys.modules
    os.environ.setdefault("KMP_BLOCKTIME", "1")
    paddle = import_paddle()
    if is_imported and os.environ["KMP_BLOCKTIME"] == "1":  # too late for the variable
        _set_block_time(paddle, 1)
    paddle.base.core.set_num_threads(count)
    return count


def choose_mkl_code() -> None:
    """Let the MKL that Paddle bundles use AVX2 or AVX-512 on processors that are not Intel's.

    There it uses neither unless MKL_DEBUG_CPU_TYPE says so when the first matrix product is
    computed. Nothing is changed where the user has set the variable.
    """
    code = _mkl_code()
    if code:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", code)


def _mkl_code(cpuinfo: str = "/proc/cpuinfo") -> Optional[str]:
    """Return the value of MKL_DEBUG_CPU_TYPE; None where MKL's own choice is right."""
    try:
        words = set(Path(cpuinfo).read_text(encoding="utf-8").split())
    except OSError:
        return None
    if "GenuineIntel" in words or not words >= _AVX2:
        return None
    return _MKL_AVX512 if words >= _AVX512 else _MKL_AVX2


def _set_block_time(paddle, milliseconds):
    path = Path(getattr(paddle, "__file__", "")).parent / "libs" / "libiomp5.so"
    if path.is_file():
        ctypes.CDLL(str(path)).kmp_set_blocktime(milliseconds)


def keep_freed_memory() -> None:
    """Make the C library keep freed memory for what the process allocates next.

    Otherwise each training step gets hundreds of megabytes from the system anew, and that costs a
    tenth of its time. For programs that do one thing; nothing happens without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    trim_threshold, mmap_threshold = -1, -3  # parameters of mallopt, which returns 0 if it refuses
    # older versions take no more than 32 MB; a threshold set freezes the other, so they go together
    if library.mallopt(mmap_threshold, 1 << 30) or library.mallopt(mmap_threshold, 1 << 25):
        library.mallopt(trim_threshold, (1 << 31) - 1)


def import_paddle():
    """Return the `paddle` module.

    Raises:
        InputError: Paddle is not installed; the message says what to install.
        ModuleNotFoundError: Paddle is, but not what it needs itself.
    """
    try:
        with warnings.catch_warnings():
            # one about a compiler cache, which only who builds operators could miss
            warnings.filterwarnings("ignore", "No ccache found")
            # and one about a missing GPU, which is told where a GPU is asked for
            warnings.filterwarnings("ignore", "You are using GPU version Paddle")
            import paddle
    except ModuleNotFoundError as error:
        if error.name != "paddle":
            raise
        raise InputError(
            "PaddlePaddle is not installed: install this package with its extra [cpu], or [gpu] "
            "on a machine with an NVIDIA card, such as pip install -e '.[cpu]' in a checkout"
        ) from None
    return paddle


def sendable(array):
    """Return an array so that `received` need not wait for its copy to the GPU.

    On a GPU that is a tensor in pinned memory; otherwise the array itself.
    """
    paddle = import_paddle()
    if not paddle.device.get_device().startswith("gpu"):
        return array
    return paddle.to_tensor(array, place=paddle.CUDAPinnedPlace())


def received(values):
    """Return a tensor on the device that computes, from what `sendable` returned."""
    paddle = import_paddle()
    if isinstance(values, paddle.Tensor):
        return values.cuda(blocking=False)
    return paddle.to_tensor(values)


def count_gpus() -> int:
    """Return the number of GPUs that Paddle can use here."""
    paddle = import_paddle()
    return paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0


def select_device(use_gpu: bool) -> str:
    """Make Paddle compute on the GPU of this process or on the CPU; return the device's name.

    Raises:
        InputError: A GPU is asked for and there is none.
    """
    paddle = import_paddle()
    if not use_gpu:
        return str(paddle.device.set_device("cpu"))
    if not paddle.device.is_compiled_with_cuda():
        raise InputError(
            "--use_gpu True: this Paddle is built for the CPU only; "
            "install this package with its extra [gpu], or pass --use_gpu False"
        )
    if count_gpus() == 0:
        raise InputError(
            "--use_gpu True: no GPU is visible (CUDA_VISIBLE_DEVICES="
            f"{os.environ.get('CUDA_VISIBLE_DEVICES', '')!r}); pass --use_gpu False"
        )
    paddle.device.set_device(f"gpu:{paddle.distributed.ParallelEnv().device_id}")
    return paddle.device.get_device()


def prepare_device(use_gpu: bool, threads: int) -> None:
    """Make Paddle compute as the flags --use_gpu and --threads say.

    Raises:
        InputError: See `tune_cpu` and `select_device`; or the number is negative.
    """
    if threads < 0:
        raise InputError(f"--threads must not be negative, not {threads}")
    tune_cpu(threads)
    select_device(use_gpu)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
