"""Two processes that exchange gradients over gloo, against one process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bilm.train import main
from tests.test_train import EVERYTHING_RANDOM, figures

FLAGS = ["--embed_size", "6", "--hidden_size", "10", "--num_steps", "5", "--log_interval", "1"]


def launch(folder, *flags, processes=2):
    """Run `bilm pretrain` in several processes, as the README says; return what they printed."""
    command = [sys.executable, "-W", "ignore", "-m", "paddle.distributed.launch",
               "--backend", "gloo", "--nproc_per_node", str(processes),
               "--log_dir", str(folder / "log"),
               str(Path(sys.executable).with_name("bilm")), "pretrain", *flags]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    logs = [path.read_text() for path in sorted((folder / "log").glob("workerlog.*"))]
    assert result.returncode == 0, "\n".join([result.stdout, result.stderr, *logs])
    return "\n".join([result.stdout, *logs])


def flags(folder, run, batch_size, *more):
    return ["--train_path", f"{folder}/train/*", "--test_path", f"{folder}/dev/*",
            "--vocab_path", f"{folder}/vocabulary.txt", "--para_save_dir", str(run),
            "--batch_size", str(batch_size), *FLAGS, *more]


@pytest.mark.parametrize("softmax", [[], ["--sample_softmax", "--n_negative_samples_batch", "9"]],
                         ids=["full", "sampled"])
def test_two_ranks_equal_one_rank_with_the_whole_batch(corpus_folder, softmax):
    one, two = corpus_folder / "one", corpus_folder / "two"
    common = ["--dropout", "0", "--max_steps", "20", "--shuffle", *softmax]
    main(flags(corpus_folder, one, 8, *common))
    output = launch(corpus_folder, *flags(corpus_folder, two, 4, *common))
    assert output.count("finished at step 20") >= 1
    for line, expected in zip(figures(two), figures(one)):
        assert line["step"] == expected["step"]
        np.testing.assert_allclose(line["loss"], expected["loss"], rtol=0, atol=1e-4)
    assert len(figures(two)) == len(figures(one)) == 21
    weights, expected = (load_file(run / "step_00000020/model.safetensors") for run in (two, one))
    for name in expected:
        np.testing.assert_allclose(weights[name], expected[name], rtol=0, atol=1e-4)


def test_two_ranks_resume_exactly(corpus_folder):
    whole, halves = corpus_folder / "whole", corpus_folder / "halves"
    options = flags(corpus_folder, whole, 4, *EVERYTHING_RANDOM, "--test_path", "")
    launch(corpus_folder, *options, "--max_steps", "16")
    options[options.index(str(whole))] = str(halves)
    launch(corpus_folder, *options, "--max_steps", "7")
    launch(corpus_folder, "--resume", "--para_save_dir", str(halves), "--max_steps", "16")
    assert figures(halves) == figures(whole)
    for name in ("model", "training/optimizer", "training/lstm"):
        path = f"step_00000016/{name}.safetensors"
        assert (halves / path).read_bytes() == (whole / path).read_bytes()
