"""Train for a long time, and watch memory, speed and the metrics file.

Prints a JSON object: how resident memory grew and the speed fell after the first five minutes,
and whether metrics.jsonl is whole. The text is made up: words by Zipf's law.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SIZES = ["--embed_size", "128", "--hidden_size", "512", "--batch_size", "32"]
WARM_UP_SECONDS = 300


def write_corpus(folder, vocab_size=20_000, sentences=100_000, words_each=20) -> None:
    """Write vocab.txt, four shards and a dev text."""
    random = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, vocab_size + 1)
    ids = random.choice(vocab_size, [sentences, words_each], p=shares / shares.sum())
    lines = [" ".join(f"w{number}" for number in row) + "\n" for row in ids]
    folder.mkdir(parents=True)
    parts = np.linspace(1_000, sentences, 5).astype(int)
    for number, (start, end) in enumerate(zip(parts, parts[1:])):
        (folder / f"sentence_file_{number}").write_text("".join(lines[start:end]))
    (folder / "dev.txt").write_text("".join(lines[:1_000]))
    words = "\n".join(["<S>", "</S>", "<UNK>", *(f"w{number}" for number in range(vocab_size))])
    (folder / "vocab.txt").write_text(words + "\n")


def resident_mb(pid) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory")


def train(folder, seconds, threads) -> list:
    """Train for some time; return (seconds since the start, megabytes) pairs."""
    text, run = folder / "text", folder / "run"
    command = [
        sys.executable, "-m", "bilm", "pretrain", "--train_path", f"{text}/sentence_file_*",
        "--test_path", str(text / "dev.txt"), "--vocab_path", str(text / "vocab.txt"),
        "--para_save_dir", str(run), *SIZES, "--shuffle", "--max_epoch", "1000000",
        "--log_interval", "20", "--save_interval", "400", "--dev_interval", "800",
        "--threads", str(threads),
    ]
    samples, start = [], time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while time.monotonic() - start < seconds and process.poll() is None:
            samples.append((time.monotonic() - start, resident_mb(process.pid)))
            time.sleep(2)
        process.send_signal(signal.SIGTERM)
        if process.wait() != 0:
            raise SystemExit("the training failed; its message stands above")
    return samples


def summarise(samples, lines) -> dict:
    """Return the figures: memory from the samples, speed and steps from the metrics' lines."""
    steps = [line for line in lines if "event" not in line]
    warm_up = min(WARM_UP_SECONDS, samples[-1][0] / 10)
    warm = [megabytes for second, megabytes in samples if second >= warm_up]
    part = max(1, len(warm) // 10)
    speeds = [line["tokens_per_second"] for line in steps]
    speeds = speeds[int(len(speeds) * warm_up / samples[-1][0]):]
    tenth = max(1, len(speeds) // 10)
    before, after = statistics.median(speeds[:tenth]), statistics.median(speeds[-tenth:])
    numbers = [line["step"] for line in steps]
    return {
        "minutes": samples[-1][0] / 60,
        "steps": numbers[-1],
        "resident_mb": statistics.median(warm[-part:]),
        "resident_growth_mb": statistics.median(warm[-part:]) - statistics.median(warm[:part]),
        "resident_peak_growth_mb": max(warm) - max(warm[:part]),
        "tokens_per_second": after,
        "speed_change": after / before - 1,
        "metrics_are_whole": numbers == list(range(20, numbers[-1] + 1, 20)),
        "dev_evaluations": len(lines) - len(steps),
    }


def draw(samples, lines, path) -> None:
    """Draw memory and speed over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = [line for line in lines if "event" not in line]
    figure, (memory, speed) = pyplot.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    memory.plot([second / 60 for second, _ in samples], [megabytes for _, megabytes in samples])
    memory.set(title="resident memory", xlabel="minutes", ylabel="MB", ylim=(0, None))
    total = samples[-1][0] / 60
    minutes = np.linspace(0, total, len(steps) + 1)[1:]
    speed.plot(minutes, [line["tokens_per_second"] for line in steps], ".", markersize=2)
    speed.set(title="training speed", xlabel="minutes", ylabel="tokens/s", ylim=(0, None))
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="a new folder for text and run")
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--picture", help="draw memory and speed here")
    options = parser.parse_args()
    folder = Path(options.folder)
    if folder.exists():
        parser.error(f"{folder} is there already")
    write_corpus(folder / "text")
    samples = train(folder, options.minutes * 60, options.threads)
    metrics = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in metrics]
    if options.picture:
        draw(samples, lines, options.picture)
    print(json.dumps(summarise(samples, lines), indent=2))


if __name__ == "__main__":
    main()
