"""Run the project's programs on large inputs, and report seconds and peak memory of each.

The text is that of $BILM_DATA_DIR/laws, repeated and shuffled; memory is that of a program with
its workers, looked at ten times a second. Prints a JSON object a line.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.endurance.long_run import resident_mb

READ = """
import sys
from bilm.text.corpus import Corpus
from bilm.text.vocabulary import Vocabulary
corpus = Corpus(sys.argv[1], Vocabulary.load(sys.argv[2]))
tokens = sum(len(ids) - 1 for ids, _ in corpus.sentences(shuffle=True))
assert tokens == corpus.count().tokens, "the reader lost or repeated something"
print(tokens)
"""


def processes_of(pid) -> list:
    """Return a process and all that it has started."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def run(name, *command) -> None:
    """Run a command of this Python; print its figures."""
    peak, start = 0.0, time.monotonic()
    command = [sys.executable, *map(str, command)]
    with tempfile.TemporaryFile() as log, subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=log
    ) as process:
        while process.poll() is None:
            total = 0.0
            for pid in processes_of(process.pid):
                with suppress(OSError, ValueError):
                    total += resident_mb(pid)
            peak = max(peak, total)
            time.sleep(0.1)
        log.seek(0)
        if process.returncode:
            raise SystemExit(f"{name} failed: {log.read()[-2000:].decode('utf-8', 'replace')}")
    seconds = time.monotonic() - start
    print(json.dumps({"what": name, "seconds": round(seconds, 1), "peak_mb": round(peak)}),
          flush=True)


def write_text(path, megabytes, separated) -> None:
    """Write sentences of the laws, in random order, until the file is large enough."""
    source = Path(os.environ["BILM_DATA_DIR"]) / "laws"
    texts = [text.read_text(encoding="utf-8") for text in sorted(source.glob("*.txt"))]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    if separated:
        import jieba

        jieba.setLogLevel(60)
        lines = [" ".join(jieba.cut(line)) for line in lines]
    draw, size = random.Random(0), 0
    with open(path, "wb") as file:
        while size < megabytes * 1e6:
            draw.shuffle(lines)
            content = ("\n".join(lines) + "\n").encode()
            file.write(content)
            size += len(content)


def corpus(folder, megabytes, segmenter) -> None:
    """Raw text to shards, to a vocabulary, and once through the reader."""
    folder.mkdir(parents=True)
    raw, shards, words = folder / "raw.txt", folder / "shards", folder / "vocab.txt"
    write_text(raw, megabytes, separated=segmenter == "space")
    size = f"{raw.stat().st_size / 1e6:.0f} MB, {segmenter}"
    run(f"segment {size}", "-m", "bilm", "segment", raw, "--output", shards,
        "--segmenter", segmenter)
    raw.unlink()
    run(f"vocabulary of {size}", "-m", "bilm", "vocab", f"{shards}/*", "--output", words)
    run(f"one pass of {size}", "-c", READ, f"{shards}/*", words)


def vocabulary(folder, num_words) -> None:
    """Train two steps, and embed, with as many words."""
    folder.mkdir(parents=True)
    names = [f"词{number}" for number in range(num_words)]
    (folder / "vocab.txt").write_text("\n".join(["<S>", "</S>", "<UNK>", *names]) + "\n")
    draw = random.Random(0)
    (folder / "text.txt").write_text(
        "".join(" ".join(draw.choices(names, k=20)) + "\n" for _ in range(500)))
    run(f"train, {num_words:,} words", "-m", "bilm", "pretrain", "--train_path",
        folder / "text.txt", "--vocab_path", folder / "vocab.txt", "--para_save_dir",
        folder / "run", "--embed_size", "64", "--hidden_size", "128", "--batch_size", "16",
        "--max_steps", "2", "--sample_softmax", "--log_interval", "1")
    run(f"embed, {num_words:,} words", "-m", "bilm", "embed", folder / "text.txt",
        folder / "vectors.hdf5", "--model", folder / "run")


def sentence(folder, num_words) -> None:
    """Embed and tag one sentence of as many words."""
    folder.mkdir(parents=True)
    data = Path(__file__).parents[2] / "data"
    train = ["--train_path", data / "train" / "*", "--vocab_path", data / "vocabulary.txt",
             "--para_save_dir", folder / "run", "--embed_size", "64", "--hidden_size", "256"]
    run("a small biLM", "-m", "bilm", "pretrain", *train, "--max_steps", "20")
    run("a small tagger", "-m", "lac", "train", "--train_path", data / "lac" / "train.tsv",
        "--dev_path", data / "lac" / "dev.tsv", "--save_dir", folder / "tagger",
        "--max_epochs", "1", "--elmo", folder / "run")
    words = Path(data / "vocabulary.txt").read_text(encoding="utf-8").split()[3:200]
    long = random.Random(0).choices(words, k=num_words)
    (folder / "words.txt").write_text(" ".join(long) + "\n", encoding="utf-8")
    (folder / "text.txt").write_text("".join(long) + "\n", encoding="utf-8")
    run(f"embed a sentence of {num_words:,} words", "-m", "bilm", "embed", folder / "words.txt",
        folder / "vectors.hdf5", "--model", folder / "run")
    run(f"tag a sentence of {num_words:,} words", "-m", "lac", "tag", folder / "text.txt",
        "--model", folder / "tagger")


def shards(folder, count) -> None:
    """Train on as many tiny files, and go on."""
    folder.mkdir(parents=True)
    (folder / "shards").mkdir()
    names = [f"词{number}" for number in range(200)]
    (folder / "vocab.txt").write_text("\n".join(["<S>", "</S>", "<UNK>", *names]) + "\n")
    draw = random.Random(0)
    for number in range(count):
        (folder / f"shards/part_{number:06d}").write_text(" ".join(draw.choices(names, k=5)) + "\n")
    common = ["--para_save_dir", folder / "run", "--max_steps"]
    run(f"train on {count:,} files", "-m", "bilm", "pretrain", "--train_path",
        f"{folder}/shards/part_*", "--vocab_path", folder / "vocab.txt", *common, "50",
        "--embed_size", "8", "--hidden_size", "16", "--batch_size", "8", "--shuffle")
    run(f"go on with {count:,} files", "-m", "bilm", "pretrain", "--resume", *common, "100")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="a new folder for texts and models")
    parser.add_argument("--what", default="jieba,rjieba,vocabulary,sentence,shards")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes")
    options = parser.parse_args()
    folder, scale = Path(options.folder), options.scale
    tasks = {
        "jieba": lambda place: corpus(place, 200 * scale, "jieba"),
        "rjieba": lambda place: corpus(place, 5_000 * scale, "rjieba"),
        "space": lambda place: corpus(place, 5_000 * scale, "space"),
        "vocabulary": lambda place: vocabulary(place, int(1_000_000 * scale)),
        "sentence": lambda place: sentence(place, int(100_000 * scale)),
        "shards": lambda place: shards(place, int(100_000 * scale)),
    }
    for name in options.what.split(","):
        tasks[name](folder / name)


if __name__ == "__main__":
    main()
