"""The device to compute on, the number of threads, and Paddle's fast path on CPUs."""

import ctypes
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Optional, Union

from bilm.errors import InputError
from bilm.files import PathLike

if TYPE_CHECKING:
    import numpy as np
    import paddle

# Values of MKL_DEBUG_CPU_TYPE
_MKL_AVX2, _MKL_AVX512 = "5", "7"
# and what these codes need of the processor, as Linux names it
_AVX2 = {"avx2", "fma"}
_AVX512 = {"avx512f", "avx512cd", "avx512dq", "avx512bw", "avx512vl"}


def tune_cpu(threads: int = 0) -> int:
    """Make Paddle use the processor well; return the number of threads it will use.

    Paddle starts with one thread, and on AMD processors with slow matrix products unless
    `choose_mkl_code` comes first; so call this before anything is computed. OpenMP's threads spin
    for 200 ms after their work and occupy cores meanwhile: KMP_BLOCKTIME becomes 1 ms.
    OMP_NUM_THREADS, MKL_DEBUG_CPU_TYPE and KMP_BLOCKTIME are respected if the user has set them.
    (Importing Paddle sets an absent OMP_NUM_THREADS to 1, so after an import 1 counts as absent:
    pass threads=1 for one thread.)

    Args:
        threads: Number of threads; 0 means the cores that this process may use, divided
            among the processes that the launcher started on this machine.

    Raises:
        InputError: Paddle is not installed, or OMP_NUM_THREADS is not a number.
    """
    setting = os.environ.get("OMP_NUM_THREADS")
    launched = "PADDLE_TRAINER_ID" in os.environ  # by a launcher that has imported Paddle
    if setting == "1" and ("paddle" in sys.modules or launched):
        setting = None
    here, all_processes = (os.environ.get(f"PADDLE_{name}") for name in
                           ("LOCAL_SIZE", "TRAINERS_NUM"))
    processes = int(here or all_processes or 1)
    # a list has a number for each level of nesting, of which Paddle uses the first
    try:
        default = int(setting.split(",")[0]) if setting else max(1, usable_cores() // processes)
    except ValueError:
        raise InputError(f"OMP_NUM_THREADS must be a number, not {setting!r}") from None
    count = threads or default
    choose_mkl_code()
    is_imported = "paddle" in sys.modules
    os.environ.setdefault("KMP_BLOCKTIME", "1")
    paddle = import_paddle()
    if is_imported and os.environ["KMP_BLOCKTIME"] == "1":  # too late for the variable
        _set_block_time(paddle, 1)
    from bilm.paddle_compat import set_num_threads  # it imports Paddle

    set_num_threads(count)
    return count


def choose_mkl_code() -> None:
    """Let the MKL that Paddle bundles use AVX2 or AVX-512 on processors that are not Intel's.

    There it uses neither unless MKL_DEBUG_CPU_TYPE says so when the first matrix product is
    computed. Nothing is changed where the user has set the variable.
    """
    code = _mkl_code()
    if code:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", code)


def _mkl_code(cpuinfo: PathLike = "/proc/cpuinfo") -> Optional[str]:
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
    """Make the C library keep freed memory for the next allocations of the process.

    Otherwise each training step obtains hundreds of megabytes from the system again, which takes
    a tenth of its time. Nothing happens without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    trim_threshold, mmap_threshold = -1, -3  # parameters of mallopt, which returns 0 if it refuses
    # older versions accept at most 32 MB; setting one threshold freezes the other, so set both
    if library.mallopt(mmap_threshold, 1 << 30) or library.mallopt(mmap_threshold, 1 << 25):
        library.mallopt(trim_threshold, (1 << 31) - 1)


def import_paddle() -> ModuleType:
    """Import Paddle without the warnings that do not concern users of this package.

    Raises:
        InputError: Paddle is not installed; the message says what to install.
        ModuleNotFoundError: A dependency of Paddle is not installed.
    """
    try:
        with warnings.catch_warnings():
            # matters only when operators are built
            warnings.filterwarnings("ignore", "No ccache found")
            # `select_device` reports a missing GPU if one is wanted
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


def sendable(array: "np.ndarray") -> Union["np.ndarray", "paddle.Tensor"]:
    """Return an array in a form that `received` copies to the GPU without waiting.

    On a GPU that is a tensor in pinned memory; otherwise the array itself.
    """
    paddle = import_paddle()
    if not paddle.device.get_device().startswith("gpu"):
        return array
    return paddle.to_tensor(array, place=paddle.CUDAPinnedPlace())


def received(values: Union["np.ndarray", "paddle.Tensor"]) -> "paddle.Tensor":
    """Return the values that `sendable` returned as a tensor on the device that computes."""
    paddle = import_paddle()
    if isinstance(values, paddle.Tensor):
        return values.cuda(blocking=False)
    from bilm.paddle_compat import as_tensor

    return as_tensor(values)


def count_gpus() -> int:
    """Return the number of GPUs that Paddle can use here."""
    paddle = import_paddle()
    return paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0


def select_device(use_gpu: bool) -> str:
    """Make Paddle compute on the GPU of this process or on the CPU; return the device's name.

    Raises:
        InputError: A GPU is wanted and there is none.
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
    """Import Paddle and make it compute as the flags --use_gpu and --threads say.

    Raises:
        InputError: Paddle is not installed, a GPU is wanted and there is none, or the number of
            threads is negative.
    """
    if threads < 0:
        raise InputError(f"--threads must not be negative, not {threads}")
    tune_cpu(threads)
    select_device(use_gpu)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
