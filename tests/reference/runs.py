"""Small runs of `bilm pretrain`: how they are started, and what is compared of them."""

import json
import subprocess
import sys

from bilm.training.metrics import read_metrics

SIZES = ["--embed_size", "6", "--hidden_size", "10", "--batch_size", "4", "--num_steps", "5",
         "--log_interval", "3"]
EVERYTHING_RANDOM = ["--dropout", "0.2", "--shuffle", "--sample_softmax",
                     "--n_negative_samples_batch", "12"]


def arguments(folder, run, *more):
    return ["--train_path", f"{folder}/train/*", "--test_path", f"{folder}/dev/*",
            "--vocab_path", f"{folder}/vocabulary.txt", "--para_save_dir", str(run),
            *SIZES, *more]


def figures(run):
    """Return the metrics of a run without what depends on the clock."""
    return [
        {name: value for name, value in line.items() if name != "tokens_per_second"}
        for line in read_metrics(run / "metrics.jsonl")
    ]


def checkpoint_files(run, step):
    """Return every file of a checkpoint but the options, which hold the run's own path."""
    folder = run / f"step_{step:08d}"
    content = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*") if path.is_file()
    }
    state = json.loads(content.pop("training/state.json"))
    del state["options"], content["checksums.json"]
    return content, state


def assert_same(run, expected, step):
    """Compare the metrics and every bit of the checkpoints of a step."""
    assert figures(run) == figures(expected)
    content, state = checkpoint_files(run, step)
    expected_content, expected_state = checkpoint_files(expected, step)
    assert state == expected_state
    assert sorted(content) == sorted(expected_content)
    different = [name for name in content if content[name] != expected_content[name]]
    assert not different


def start(*args):
    """Start a training process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bilm.train", *args],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
