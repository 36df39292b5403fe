"""A model of what a training step costs on many devices, and measurements beside it.

A step computes for flops / rate, and sums the gradients over the devices. A ring sends
2 (n - 1) / n times the bytes of the gradients at the network's rate, in 2 (n - 1) messages a
bucket. What can be sent while the backward pass still computes costs nothing; rows of tables are
sent after it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.sizes import CONFIGS, NUM_DIRECTIONS, NUM_LAYERS, roofline_flops, sizes_of
from benchmark.text import write_zipf_text
from bilm.errors import InputError
from bilm.hardware import usable_cores
from bilm.program.json_output import write_report
from bilm.program.options import add_json_option
from bilm.program.parser import Parser

FLOAT_BYTES = 4
BUCKET_BYTES = 25 << 20  # as bilm.training.gradient_exchange has it
# The share of a step before the first gradients are there: the forward pass, a third.
FORWARD_SHARE = 1 / 3
NUM_DEVICES = [2**power for power in range(11)]
_WARM_UP_LINES = 2
# What the processes run that measure the network: sums of the gradients' size.
_EXCHANGE = """
import json, statistics, sys, time
import paddle
from bilm import distributed
distributed.start()
values, seconds = paddle.ones([int(sys.argv[1])]), []
for _ in range(12):
    start = time.perf_counter()
    paddle.distributed.all_reduce(values)
    seconds.append(time.perf_counter() - start)
if distributed.rank() == 0:
    open(sys.argv[2], "w").write(json.dumps(statistics.median(seconds[2:])))
"""


class Device(NamedTuple):
    """What the model knows of devices and of the network between them.

    Attributes:
        flops_per_second: What training makes of a device, not its peak.
        bytes_per_second: Of the network between two neighbours of the ring.
        latency_seconds: Of a message.
        overlap: Whether gradients are sent while others are computed.
    """

    flops_per_second: float
    bytes_per_second: float
    latency_seconds: float
    overlap: bool


class Cost(NamedTuple):
    """Of one step: seconds, bytes of gradients, and bytes of memory of a device."""

    compute: float
    exchange: float
    step: float
    gradient_bytes: float
    memory_bytes: float


def distinct_words(vocab_size: int, num_tokens: int) -> float:
    """Return how many words a text by Zipf's law is expected to hold."""
    shares = 1.0 / np.arange(1, vocab_size + 1)
    shares /= shares.sum()
    return float(-np.expm1(num_tokens * np.log1p(-shares)).sum())


def gradient_bytes(sizes, num_devices: int, is_sampled: bool) -> tuple:
    """Return the bytes that devices sum: of dense gradients, and of the tables' touched rows."""
    words = distinct_words(sizes.vocab, num_devices * sizes.batch * sizes.steps)
    scored = min(sizes.vocab, words + sizes.candidates)
    rows = words + scored if is_sampled else words
    layer = sizes.projection * 4 * sizes.cell * 2 + 4 * sizes.cell + sizes.cell * sizes.projection
    dense = NUM_DIRECTIONS * NUM_LAYERS * layer + sizes.vocab
    dense += 0 if is_sampled else sizes.vocab * sizes.projection
    return FLOAT_BYTES * dense, FLOAT_BYTES * rows * sizes.projection


def cost_of(config: str, num_devices: int, device: Device, is_sampled: bool) -> Cost:
    """Return what a step of a configuration costs, with its batch on each device."""
    sizes = sizes_of(config)
    task = "train_sampled" if is_sampled else "train_full"
    flops = roofline_flops(task, config) * sizes.batch * sizes.steps
    compute = flops / device.flops_per_second
    dense, tables = (
        2 * (num_devices - 1) * (size / num_devices / device.bytes_per_second
                                 + np.ceil(size / BUCKET_BYTES) * device.latency_seconds)
        for size in gradient_bytes(sizes, num_devices, is_sampled)
    )
    hidden = (1 - FORWARD_SHARE) * compute if device.overlap else 0.0
    step = compute + max(0.0, dense - hidden) + tables
    # parameters, Adagrad's moments, gradients; of the LSTM the gates and cells of every step
    parameters = gradient_bytes(sizes, 1, False)[0] + FLOAT_BYTES * sizes.projection * sizes.vocab
    trace = FLOAT_BYTES * 2 * NUM_LAYERS * sizes.batch * sizes.steps * 5 * sizes.cell
    size = sum(gradient_bytes(sizes, num_devices, is_sampled))
    return Cost(compute, dense + tables, step, size, 3 * parameters + trace)


def table(config: str, device: Device, is_sampled: bool) -> list:
    """Return a row for each number of devices."""
    sizes = sizes_of(config)
    rows = []
    for count in NUM_DEVICES:
        cost = cost_of(config, count, device, is_sampled)
        tokens = count * sizes.batch * sizes.steps / cost.step
        alone = sizes.batch * sizes.steps / cost_of(config, 1, device, is_sampled).step
        rows.append({
            "devices": count, "tokens_per_second": tokens, "efficiency": tokens / alone / count,
            "step_ms": 1e3 * cost.step, "compute_ms": 1e3 * cost.compute,
            "exchange_ms": 1e3 * cost.exchange, "gradient_mb": cost.gradient_bytes / 1e6,
            "memory_gb": cost.memory_bytes / 1e9,
        })
    return rows


def measure(config: str, is_sampled: bool, steps: int) -> dict:
    """Train with one process and with two, each with one thread; and one with two threads.

    Returns:
        Tokens a second of each, and what the model says of two processes from the speed of one
        and the rate of the network.
    """
    sizes = sizes_of(config)
    with tempfile.TemporaryDirectory() as folder:
        text = write_zipf_text(folder, sizes.vocab)
        speeds = {
            f"{processes} x {threads}": _train(Path(folder), text, config, is_sampled, steps,
                                               processes, threads)
            for processes, threads in ((1, 1), (1, 2), (2, 1))
        }
        size = sum(gradient_bytes(sizes, 2, is_sampled))
        seconds = _exchange_seconds(Path(folder), int(size / FLOAT_BYTES))
    tokens = sizes.batch * sizes.steps
    task = "train_sampled" if is_sampled else "train_full"
    flops = speeds["1 x 1"] * roofline_flops(task, config)
    # the time of the sum holds its messages' latency; gloo waits for each sum
    device = Device(flops, size / seconds, 0.0, overlap=False)
    predicted = 2 * tokens / cost_of(config, 2, device, is_sampled).step
    return {
        "config": config, "softmax": "sampled" if is_sampled else "full",
        "tokens_per_second": speeds, "gradient_mb": size / 1e6,
        "exchange_ms": 1e3 * seconds,
        "predicted_2_x_1": predicted, "error": predicted / speeds["2 x 1"] - 1,
    }


def _train(folder, text, config, is_sampled, steps, processes, threads):
    sizes = sizes_of(config)
    run = folder / f"run_{processes}_{threads}"
    batch = sizes.batch * threads  # so that a step takes the same tokens with two threads
    arguments = [
        "--train_path", str(text[0]), "--vocab_path", str(text[1]),
        "--para_save_dir", str(run), "--embed_size", str(sizes.projection), "--hidden_size",
        str(sizes.cell), "--batch_size", str(batch), "--num_steps", str(sizes.steps),
        "--max_steps", str(steps), "--max_epoch", "1000", "--log_interval", "5",
        "--threads", str(threads), "--n_negative_samples_batch", str(sizes.candidates),
    ] + (["--sample_softmax"] if is_sampled else [])
    _start(folder, processes, ["-m", "bilm.train", *arguments])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(line["tokens_per_second"] for line in lines[_WARM_UP_LINES:])


def _exchange_seconds(folder, count):
    answer = folder / "exchange.json"
    (folder / "exchange.py").write_text(_EXCHANGE, encoding="utf-8")
    _start(folder, 2, [str(folder / "exchange.py"), str(count), str(answer)])
    return json.loads(answer.read_text())


def _start(folder, processes, command):
    """Run a Python command in some processes that know of each other, and wait for it."""
    addresses = [f"127.0.0.{number + 1}" for number in range(processes)]
    shared = {**os.environ, "PADDLE_TRAINERS": ",".join(addresses), "PADDLE_PORT": "6170",
              "PADDLE_DISTRI_BACKEND": "gloo"}
    logs = [open(folder / f"log_{number}", "w+", encoding="utf-8") for number in range(processes)]
    running = [
        subprocess.Popen([sys.executable, *command], stdout=log, stderr=log,
                         env={**shared, "PADDLE_TRAINER_ID": str(number)})
        for number, log in enumerate(logs)
    ]
    try:
        codes = [process.wait() for process in running]
        for log in logs:
            log.seek(0)
        if any(codes):
            raise InputError("a process failed: " + " ".join(log.read()[-500:] for log in logs))
    finally:
        for log in logs:
            log.close()


def build_parser() -> Parser:
    """Return the parser of tools/scaling.py."""
    parser = Parser("python tools/scaling.py", main.__doc__, [
        "python tools/scaling.py --config lark --sampled",
        "python tools/scaling.py --measure --config small --json figures.json",
    ])
    add = parser.group("what is trained").add_argument
    add("--config", default="lark", metavar="NAME",
        help=f"sizes, of {','.join(CONFIGS)}, as for bench.py")
    add("--sampled", action="store_true", help="the sampled softmax instead of the full one")
    add = parser.group("the model's devices").add_argument
    add("--tflops", type=float, default=10.0, metavar="X",
        help="what training makes of a device, in TFLOP a second")
    add("--network", type=float, default=10.0, metavar="X",
        help="GB a second between two devices")
    add("--latency", type=float, default=20.0, metavar="X", help="microseconds of a message")
    add = parser.group("measuring").add_argument
    add("--measure", action="store_true", help="train with one and two processes on this machine")
    add("--steps", type=int, default=60, metavar="N", help="steps of each measured training")
    add_json_option(parser)
    return parser


def main(arguments=None) -> None:
    """Print the model's table, or measure here what it says of two processes."""
    options = build_parser().parse_args(arguments)
    sizes_of(options.config)
    for name, low in (("tflops", 0), ("network", 0), ("steps", 14)):
        if not low < getattr(options, name) < float("inf"):
            raise InputError(f"--{name} must be above {low}, not {getattr(options, name)}")
    if not 0 <= options.latency < float("inf"):
        raise InputError(f"--latency must not be negative, not {options.latency}")
    if options.measure:
        if usable_cores() < 2:
            raise InputError("--measure needs two cores")
        found = measure(options.config, options.sampled, options.steps)
        options.json = options.json or "-"
    else:
        device = Device(options.tflops * 1e12, options.network * 1e9, options.latency / 1e6, True)
        found = table(options.config, device, options.sampled)
    write_report(options.json, found)
    if not options.measure and options.json != "-":
        print("devices    tokens/s  efficiency  step ms  compute  exchange  gradients MB  "
              "memory GB")
        for row in found:
            print("{devices:7} {tokens_per_second:11,.0f} {efficiency:11.1%} {step_ms:8,.0f} "
                  "{compute_ms:8,.0f} {exchange_ms:9,.0f} {gradient_mb:13,.0f} {memory_gb:10.1f}"
                  .format(**row))
