"""The process that measures one system at one task; `main.py` starts it and tells it when."""

import json
import resource
import sys
import time
from importlib import import_module

from bilm.program.running import run_main

LEAST_SECONDS = 2.0  # a turn lasts at least so long

# The module of each system's measurements.
MODULES = {"bilm": "own", "torch": "pytorch", "torch_lstm": "pytorch",
           "numpy": "others", "jieba": "others", "copy": "others"}


def main(system, task, config, folder, threads) -> None:
    """Prepare, then answer each line of the standard input with a measurement."""
    out, sys.stdout = sys.stdout, sys.stderr  # libraries print
    module = import_module(f"benchmark.{MODULES[system]}")
    run = module.prepare(task, config, folder, int(threads), system)
    run()  # the first time is not the usual one
    print("{}", file=out, flush=True)
    for _ in sys.stdin:
        amount, start = 0, time.perf_counter()
        while time.perf_counter() - start < LEAST_SECONDS:
            amount += run()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"amount": amount, "seconds": seconds, "peak_rss_mb": round(peak)}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    run_main(lambda arguments: main(*arguments), sys.argv[1:])
