"""Runs README.md from top to bottom as a stranger would, with a wheel: readme.py WHEEL FOLDER.

The folder gets a virtual environment and what a clone has beside the packages, data/ and run.sh.
Where the README installs the checkout, the wheel is installed; what it serves is asked and stopped.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path
from urllib.request import urlopen

TOP = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"<!-- tested: (\w+).*? -->\n```(sh|python)\n(.*?)```", re.DOTALL)
CHECKOUT = re.compile(r"(?:-e )?'\.(\[[\w,]+\])'")


def run(language, code, folder, environment):
    """Run the code of a block, its output in this program's."""
    command = {"sh": ["sh", "-eux", "-c", code], "python": ["python", "-c", code]}[language]
    subprocess.run(command, cwd=folder, env=environment, check=True)


def serve(code, folder, environment):
    """Start what a block serves, open it as a browser would, and stop it with Ctrl-C."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["sh", "-c", f"exec {code.strip()} --port {port}"], cwd=folder, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        for _ in range(120):
            time.sleep(1)
            if process.poll() is not None:
                raise SystemExit(f"the server ended with status {process.returncode}")
            try:
                with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
                    assert "page/page.js" in page.read().decode()
                break
            except OSError:
                continue
        else:
            raise SystemExit("the server did not answer")
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(timeout=60)
    assert status == 0, status


def main(wheel, folder):
    """Run all blocks of the README that are marked as tested."""
    folder = Path(folder)
    venv.create(folder / "venv", with_pip=True)
    for name in ("data", "run.sh"):
        source = TOP / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)
    environment = {
        **os.environ, "PATH": f"{folder / 'venv/bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_CONSTRAINT": str(TOP / "constraints.txt"),
    }
    start = time.monotonic()
    text = (TOP / "README.md").read_text(encoding="utf-8")
    for kind, language, code in BLOCK.findall(text):
        seconds = time.monotonic() - start
        print(f"-- {kind}, after {seconds:.0f} s: {code.splitlines()[0]}", flush=True)
        if kind == "install":
            code = CHECKOUT.sub(rf"'{wheel}\1'", code)
        if kind == "serve":
            serve(code, folder, environment)
        elif kind != "no":
            run(language, code, folder, environment)
    where = subprocess.run(
        [folder / "venv/bin/python", "-c", "import bilm; print(bilm.__file__)"],
        cwd=folder, env=environment, check=True, capture_output=True, text=True,
    ).stdout
    assert "site-packages" in where, where
    print(f"README: all commands ran, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
