"""Measure speed and memory beside other systems.

Each system of each task runs in a process of its own. The processes take turns, so that whatever
else the machine does meets all of them; figures are medians over the turns.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from benchmark import growth
from benchmark.sizes import CONFIGS, batch_shape, roofline_flops, sizes_of
from bilm.errors import InputError
from bilm.hardware import usable_cores
from bilm.program.json_output import stdout_for_report, write_report
from bilm.program.options import add_json_option, add_quiet_option
from bilm.program.parser import Parser

# task: (what is counted, the systems, ours first)
TASKS = {
    "train_full": ("tokens", ("bilm", "torch")),
    "train_sampled": ("tokens", ("bilm", "torch")),
    "embed": ("tokens", ("bilm", "torch", "torch_lstm")),
    "embed_32": ("tokens", ("bilm", "torch", "torch_lstm")),
    "embed_1": ("tokens", ("bilm", "torch", "torch_lstm")),
    "lac_tag": ("characters", ("bilm", "jieba")),
    "convert": ("mb", ("bilm", "copy")),
    "segment": ("characters", ("bilm", "jieba")),
}
DEFAULT_TASKS = "train_full,train_sampled,embed_32,embed_1"
WITHOUT_SIZES = ("lac_tag", "segment")  # they do not depend on the biLM's sizes


class Worker:
    """A process that measures one system at one task, a turn at a time."""

    def __init__(self, system, task, config, folder, threads):
        self.system = system
        self.speeds = []
        self.last = {}
        self._log = Path(folder) / f"{system}_{task}_{config}.log".replace(":", "_")
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmark.worker", system, task, config, str(folder),
                 str(threads)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=_environment(threads),
            )
        self._read()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            print(self._log.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
            raise InputError(f"the measurement of {self.system} failed; its messages stand above")
        return json.loads(line)

    def turn(self):
        """Measure once."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.last = self._read()
        self.speeds.append(self.last["amount"] / self.last["seconds"])

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait()

    def speed(self, turns=None):
        """Return the median over the last `turns` turns; None: over all."""
        return statistics.median(self.speeds[-turns:] if turns else self.speeds)


def _environment(threads):
    paths = [str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "OPENBLAS_NUM_THREADS": str(threads),  # NumPy's
            "BILM_KERNEL": _kernel(),
            "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _kernel():
    # never Paddle's operators without being asked for
    return os.environ.get("BILM_KERNEL") or "native"


def measure(task, config, options, sgemm, folder):
    """Return the result of one task as the JSON has it."""
    unit, systems = TASKS[task]
    systems = [name for name in systems if name not in options.without]
    workers = []
    try:
        for name in systems:
            workers.append(Worker(name, task, config, folder, options.threads))
        for _ in range(options.repeats):
            for worker in [*workers, *sgemm]:
                worker.turn()
    finally:
        for worker in workers:
            worker.close()
    ours, *peers = workers
    key = f"{unit}_per_s"
    result = {
        "task": task,
        "config": None if task in WITHOUT_SIZES else config,
        key: ours.speed(),
        "lowest": min(ours.speeds),
        "highest": max(ours.speeds),
        **{name: value for name, value in ours.last.items() if name not in ("amount", "seconds")},
        "peers": {
            peer.system: {key: peer.speed(), "ratio": ours.speed() / peer.speed(),
                          "peak_rss_mb": peer.last["peak_rss_mb"]}
            for peer in peers
        },
    }
    flops = roofline_flops(task, config)
    if flops:
        rate = max(worker.speed(options.repeats) for worker in sgemm)
        result["sgemm_gflops"] = rate / 1e9
        result["roofline_fraction"] = ours.speed() * flops / rate
    return result


def describe(result, unit):
    """Return the line of a result."""
    speed = result[f"{unit}_per_s"]
    parts = [f"{result['task']:<14}{result['config'] or '':<16} {speed:>12,.1f} {unit}/s"]
    if "roofline_fraction" in result:
        parts.append(f"{result['roofline_fraction']:6.1%} of the roofline")
    parts.append(f"{result['peak_rss_mb']:,.0f} MB")
    parts += [f"{peer['ratio']:.2f} x {name} ({peer[f'{unit}_per_s']:,.1f})"
              for name, peer in result["peers"].items()]
    return "  ".join(parts)


def _machine(threads):
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"processor": model, "kernel": _kernel(), "cores": usable_cores(), "threads": threads,
            "python": platform.python_version(), "system": platform.platform()}


def build_parser() -> Parser:
    """Return the parser of tools/bench.py."""
    parser = Parser("python tools/bench.py", __doc__, [
        "python tools/bench.py --config mid --repeats 5 --json figures.json",
        "python tools/bench.py --growth growth.png",
    ])
    add = parser.group("what is measured").add_argument
    add("--config", default="mid", metavar="LIST",
        help=f"sizes, of {','.join(CONFIGS)}; with others behind colons: mid:batch=8:steps=40")
    add("--tasks", metavar="LIST",
        help=f"of {','.join(TASKS)}, or all; default: {DEFAULT_TASKS}")
    add("--repeats", type=int, default=5, metavar="N", help="turns of each system")
    add("--without", default="", metavar="LIST", help="systems to leave out")
    add("--growth", metavar="FILE",
        help="measure how the costs of --config grow with its sizes, without other systems, and "
        "draw it in this picture")
    parser.group("device").add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads; 0: one a usable core"
    )
    add_json_option(parser)
    add_quiet_option(parser)
    return parser


def _chosen(flag, text, allowed):
    names = list(allowed) if text == "all" else list(dict.fromkeys(filter(None, text.split(","))))
    wrong = [name for name in names if name not in allowed]
    if wrong:
        raise InputError(f"{flag}: {', '.join(wrong)} is none of {', '.join(allowed)}")
    return names


def _checked(options):
    """Turn the lists among the options into lists; raise an InputError for what is not known."""
    named = list(CONFIGS) if options.config == "all" else options.config.split(",")
    options.config = list(dict.fromkeys(named))
    for config in options.config:
        sizes_of(config)
    if options.growth is not None and (options.tasks is not None or len(options.config) > 1):
        raise InputError("--growth measures tasks of its own, for one configuration: give it no "
                         "--tasks, and one name to --config")
    tasks = DEFAULT_TASKS if options.tasks is None else options.tasks
    options.tasks = _chosen("--tasks", tasks, TASKS)
    if not options.tasks:
        raise InputError(f"--tasks {tasks!r} names none of {', '.join(TASKS)}")
    known = sorted({name for _, systems in TASKS.values() for name in systems[1:]})
    options.without = known if options.growth else _chosen("--without", options.without, known)
    if options.repeats < 1:
        raise InputError(f"--repeats must be at least 1, not {options.repeats}")
    if options.growth is not None:
        growth.check_picture(options.growth)
        path = Path(options.growth)
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise InputError(f"{path}: no file can be written there; it is, or lacks, a folder")
    if options.threads < 0:
        raise InputError(f"--threads must not be negative, not {options.threads}")
    options.threads = options.threads or usable_cores()
    if find_spec("torch") is None and "torch" not in options.without:
        options.without += ["torch", "torch_lstm"]
        print("PyTorch is not installed: its figures are left out", file=sys.stderr)
    return options


def _pairs(options):
    """Return the tasks and configurations to measure."""
    if options.growth:
        return growth.pairs_of(options.config[0])
    pairs = {}
    for task in options.tasks:
        for config in options.config:
            pairs.setdefault(_work_of(task, config), (task, config))
    return list(pairs.values())


def _work_of(task, config):
    """Return what two measurements of the same work have in common."""
    if task in WITHOUT_SIZES:
        return task
    sizes = sizes_of(config)
    model = sizes.vocab, sizes.projection, sizes.cell
    if task == "convert":
        return task, model
    if task.startswith("embed"):
        return "embed", model, batch_shape(task, sizes)
    return task, sizes


def main(arguments=None) -> None:
    """Measure as the command line says."""
    options = _checked(build_parser().parse_args(arguments))
    with stdout_for_report(options.json):
        document = _measure(options)
    write_report(options.json, document)
    if options.growth:
        growth.plot(document["results"], options.config[0], options.growth)


def _measure(options) -> dict:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        sgemm = [Worker(name, "sgemm", "-", folder, options.threads) for name in ("numpy", "bilm")]
        try:
            hidden = True if options.quiet else None  # None: shown on a terminal
            for task, config in tqdm(_pairs(options), disable=hidden, leave=False):
                results.append(measure(task, config, options, sgemm, folder))
                tqdm.write(describe(results[-1], TASKS[task][0]), file=sys.stdout)
        finally:
            for worker in sgemm:
                worker.close()
    rates = {f"sgemm_{worker.system}_gflops": worker.speed() / 1e9 for worker in sgemm}
    machine = {**_machine(options.threads), **rates, "sgemm_gflops": max(rates.values())}
    print(f"sgemm {machine['sgemm_gflops']:.0f} GFLOP/s, {machine['processor']}, BILM_KERNEL="
          f"{machine['kernel']}")
    return {"machine": machine, "results": results}
