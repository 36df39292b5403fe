"""What is measured of systems that do a part of the work: NumPy, jieba, copying a file."""

import shutil
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).parents[2] / "data"


def prepare(task, config, folder, threads, system):
    """Return a function that does a piece of work and returns its amount."""
    if task == "sgemm":
        return sgemm(np.random.default_rng(0).random([2048, 2048], np.float32), np.matmul)
    if system == "copy":
        return _copy(folder)
    return _jieba()


def sgemm(matrix, multiply):
    """Return a function that makes a product of two square matrices and counts its operations."""

    def run():
        multiply(matrix, matrix)
        return 2 * matrix.shape[0] ** 3

    return run


def sample_sentences():
    """Return the sentences of the sample corpus as unsegmented text."""
    text = (SAMPLE / "lac/train.tsv").read_text(encoding="utf-8")
    return [line.split("\t")[0].replace(" ", "") for line in text.splitlines()]


def _jieba():
    import jieba

    text = "\n".join(sample_sentences())

    def run():
        for sentence in text.split("\n"):
            jieba.lcut(sentence)
        return len(text)

    return run


def _copy(folder):
    """Copy the file that this project converts, which it has written before."""
    source = Path(folder) / "model" / "model.safetensors"

    def run():
        shutil.copyfile(source, Path(folder) / "copy")
        return source.stat().st_size / 1e6

    return run
