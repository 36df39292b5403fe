"""Several processes that train one model: their ranks, and sums and gathers over all of them.

With one process every sum and gather returns its argument. Processes are started by
`python -m paddle.distributed.launch`, which tells them about each other, or by hand with the
environment variables of LARK's scripts.
"""

import ctypes
import hashlib
import os
import signal
import sys
from contextlib import contextmanager
from typing import Dict, Iterable, Iterator, List, Mapping, Optional

import numpy as np
import paddle
from paddle import distributed

from bilm.errors import InputError
from bilm.paddle_compat import as_tensor


def start(use_gpu: bool = False) -> None:
    """Join the other processes, if several were started.

    Args:
        use_gpu: Whether they compute on GPUs.

    Raises:
        InputError: LARK's variables do not fit together, or the others cannot be reached.
    """
    by_hand = endpoints_of(os.environ)
    if by_hand:  # the launcher sets these, too
        os.environ.update(by_hand)
        os.environ.setdefault("FLAGS_selected_gpus", "0")
        os.environ.setdefault("PADDLE_DISTRI_BACKEND", "auto" if use_gpu else "gloo")
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) == 1:
        return
    if by_hand:
        print(f"waiting for the processes at {os.environ['PADDLE_TRAINER_ENDPOINTS']}",
              file=sys.stderr, flush=True)
    else:
        _end_with_the_launcher()
    try:
        distributed.init_parallel_env()
    except (ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"the processes cannot join (see docs/scaling.md): {reason}") from None


def _end_with_the_launcher():
    """Ask for SIGTERM when the launcher ends: Paddle's does not stop its processes."""
    if sys.platform.startswith("linux"):
        set_parent_death_signal = 1  # of prctl
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def endpoints_of(environment: Mapping[str, str]) -> Dict[str, str]:
    """Translate the variables of LARK's scripts into those of Paddle's launcher.

    LARK's are PADDLE_TRAINERS, the addresses of all machines behind commas; PADDLE_PORT, one for
    all; PADDLE_TRAINER_ID; and POD_IP, the address of this machine.

    Args:
        environment: Variables by name, such as `os.environ`.

    Returns:
        Variables by name; empty if LARK's are not set.

    Raises:
        InputError: One is missing, or they contradict each other; the message names it.
    """
    if not environment.get("PADDLE_TRAINERS") or "PADDLE_TRAINER_ENDPOINTS" in environment:
        return {}
    addresses = [part.strip() for part in environment["PADDLE_TRAINERS"].split(",")]
    given = f"PADDLE_TRAINERS={environment['PADDLE_TRAINERS']}"
    port, rank = (environment.get(f"PADDLE_{name}", "") for name in ("PORT", "TRAINER_ID"))
    if len(set(addresses)) < len(addresses) or not all(addresses):
        raise InputError(f"{given}: each machine must have an address of its own; several "
                         "processes on one machine are started by paddle.distributed.launch")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"{given}: PADDLE_PORT must be the port of all of them, not {port!r}")
    if not rank.isdecimal() or int(rank) >= len(addresses):
        raise InputError(f"{given}: PADDLE_TRAINER_ID must be a number from 0 to "
                         f"{len(addresses) - 1}, not {rank!r}")
    own = environment.get("POD_IP") or addresses[int(rank)]
    if own != addresses[int(rank)]:
        raise InputError(f"{given}: trainer {rank} is {addresses[int(rank)]}, but POD_IP is {own}")
    if environment.get("PADDLE_TRAINERS_NUM", str(len(addresses))) != str(len(addresses)):
        raise InputError(f"{given}: these are {len(addresses)}, but PADDLE_TRAINERS_NUM is "
                         f"{environment['PADDLE_TRAINERS_NUM']}")
    if len(addresses) == 1:
        return {"PADDLE_TRAINERS_NUM": "1"}
    return {
        "PADDLE_TRAINERS_NUM": str(len(addresses)),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(f"{address}:{port}" for address in addresses),
        "PADDLE_CURRENT_ENDPOINT": f"{own}:{port}",
    }


@contextmanager
def peers_are_needed() -> Iterator[None]:
    """Turn an exchange's error into an InputError which says that another process has ended."""
    try:
        yield
    except (RuntimeError, OSError, SystemError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"process {rank()} of {world_size()}: another process has ended or cannot be reached "
            f"(its log says why); start all of them again with --resume: {reason}"
        ) from None


def rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank()


def world_size() -> int:
    """Return the number of processes."""
    return distributed.get_world_size()


def sum_numbers(*values: float) -> List[float]:
    """Return the sum over processes of each number.

    Raises:
        InputError: Another process has ended.
    """
    if world_size() == 1:
        return list(values)
    return sum_tensor(as_tensor(np.array(values, np.float64))).tolist()


def sum_tensor(tensor: paddle.Tensor) -> paddle.Tensor:
    """Return the sum of a tensor over all processes; on a GPU it may still be in computation.

    Args:
        tensor: Of the same shape in all processes; it is overwritten with the sum.

    Raises:
        InputError: Another process has ended.
    """
    if world_size() > 1:
        with peers_are_needed():
            distributed.all_reduce(tensor)
    return tensor


def gather(tensor: paddle.Tensor, axis: int) -> paddle.Tensor:
    """Return the tensors of all processes, concatenated along `axis` in order of rank.

    Args:
        tensor: Of the same shape in all processes.
        axis: Its length in the result is world_size times as large.

    Raises:
        InputError: Another process has ended.
    """
    if world_size() == 1:
        return tensor
    parts: List[paddle.Tensor] = []
    with peers_are_needed():
        distributed.all_gather(parts, tensor)
    return paddle.concat(parts, axis=axis)


def check_equal(facts: Dict[str, str]) -> None:
    """Raise an InputError in every process if the processes do not agree.

    Args:
        facts: Text by name; all processes give the same names.

    Raises:
        InputError: The facts differ, and are named; or another process has ended.
    """
    digests = [hashlib.sha256(fact.encode("utf-8")).digest()[:8] for fact in facts.values()]
    own = np.array([int.from_bytes(digest, "big", signed=True) for digest in digests])
    all_digests = gather(as_tensor(own[None]), axis=0).numpy()  # (processes, facts)
    wrong = [f"{name} of process {other}" for other, row in enumerate(all_digests)
             for name, is_equal in zip(facts, row == all_digests[0]) if not is_equal]
    if wrong:
        raise InputError(f"the processes differ: {', '.join(wrong)} is not that of process 0; all "
                         "need the same files and flags")


def raise_together(problem: Optional[InputError]) -> None:
    """Raise the first process's error, if it has one, in every process.

    Args:
        problem: The error or None; ignored in all processes but the first.

    Raises:
        InputError: That error; or another process has ended.
    """
    if world_size() > 1:
        message = "" if problem is None else str(problem)
        text = as_tensor(np.frombuffer(message.encode()[:1000].ljust(1000), np.uint8))
        share_parameters([text])
        message = text.numpy().tobytes().decode(errors="ignore").strip()
        problem = InputError(message) if message else None
    if problem is not None:
        raise problem


def share_parameters(parameters: Iterable[paddle.Tensor]) -> None:
    """Overwrite parameters in all processes with those of the first one.

    Args:
        parameters: Of the same shapes, in the same order, in all of them.

    Raises:
        InputError: Another process has ended.
    """
    with paddle.no_grad(), peers_are_needed():
        for parameter in parameters:
            distributed.broadcast(parameter, 0)
