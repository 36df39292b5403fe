"""Many clients at once: `python -m tests.endurance.serving_load` prints figures as JSON.

Starts `lac serve`, lets clients ask without a pause on kept connections, and reads the server's
memory every second. Three requests of four are to /tag, the others to /embed and /similar.
"""

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np

from tests.endurance.long_run import resident_mb

TEXTS = (
    "今天下午，陈晓岚在北京大学买了两斤苹果。",
    "我昨天新买了一个手机，觉得很好用。",
    "明天会下雨，我们还是坐火车去上海吧。",
    "妈妈在厨房里做饭，爸爸在客厅看书。",
)
REQUESTS = [
    *(("/tag", {"texts": [text]}) for text in TEXTS[:3]),
    ("/embed", {"texts": [TEXTS[1]]}),
    *(("/tag", {"texts": [text]}) for text in TEXTS[1:]),
    ("/similar", {"word": "买", "texts": [TEXTS[0], TEXTS[1]]}),
]


class Client(threading.Thread):
    """Asks until `ended`; notes the seconds of each answer and each error."""

    def __init__(self, port, number, ended):
        super().__init__(daemon=True)
        self._port, self._number, self._ended = port, number, ended
        self.seconds, self.errors = [], []

    def run(self):
        """Ask one request after the other on one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        turn = self._number
        while not self._ended.is_set():
            path, body = REQUESTS[turn % len(REQUESTS)]
            turn += 1
            start = time.monotonic()
            try:
                connection.request("POST", path, json.dumps(body),
                                   {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.load(response)
                if response.status != 200 or not answer:
                    self.errors.append(f"{response.status} {answer}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.errors.append(repr(error))
                connection.close()
                time.sleep(0.1)
            self.seconds.append(time.monotonic() - start)
        connection.close()


@contextmanager
def serving(model: str, threads: int = 0):
    """Run `lac serve`; yield the process and the port, and end it with SIGTERM.

    Args:
        model: What `lac serve --model` takes.
        threads: What `lac serve --threads` takes.
    """
    command = [sys.executable, "-W", "ignore", "-m", "lac", "serve", "--model", model,
               "--port", "0", "--threads", str(threads)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process, int(re.search(r":(\d+) ", process.stdout.readline()).group(1))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def measure(model: str, clients: int, seconds: float, threads: int = 0) -> dict:
    """Return the figures of a server under load.

    Args:
        model: What `lac serve --model` takes.
        clients: Connections at once.
        seconds: How long they ask; memory is compared from a third of it on.
        threads: What `lac serve --threads` takes.
    """
    ended, memory = threading.Event(), []
    with serving(model, threads) as (process, port):
        asking = [Client(port, number, ended) for number in range(clients)]
        start = time.monotonic()
        try:
            for client in asking:
                client.start()
            while time.monotonic() - start < seconds:
                time.sleep(min(1.0, seconds / 10))
                memory.append(resident_mb(process.pid))
        finally:
            ended.set()
        for client in asking:
            client.join()
        elapsed = time.monotonic() - start
    status = process.returncode
    times = 1000 * np.array([second for client in asking for second in client.seconds])
    errors = [error for client in asking for error in client.errors]
    settled = memory[len(memory) // 3 :]
    quarter = max(1, len(settled) // 4)
    return {
        "clients": clients, "seconds": round(elapsed, 1), "requests": len(times),
        "errors": len(errors), "first_errors": errors[:3], "exit_status": status,
        "requests_per_second": round(len(times) / elapsed, 1),
        **{f"milliseconds_{name}": round(float(np.percentile(times, percent)), 1)
           for name, percent in (("median", 50), ("95_percent", 95), ("slowest", 100))},
        "megabytes": round(memory[-1], 1),
        "megabytes_grown": round(np.mean(settled[-quarter:]) - np.mean(settled[:quarter]), 1),
    }


def main():
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sample")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=0)
    print(json.dumps(measure(**vars(parser.parse_args())), ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
