"""Texts of known words, and what `bilm embed` makes of them."""

import h5py
import numpy as np

from bilm.commands.embed import main
from tests.reference.embedded_words import WORDS

TEXT = "我们 明天 去 公园\n\n下雨\r\n我们 明天 去 公园\n  \n人  天气\t地\n"


def embed(folder, *arguments):
    main([*map(str, arguments), "--model", str(folder)])


def content(path):
    with h5py.File(path) as file:
        return {name: file[name][...] for name in file}


def numbered_text(path, lines, longest=14):
    random = np.random.default_rng(0)
    choices = random.choice(WORDS, lines * longest).tolist()
    lengths = random.integers(0, longest + 1, lines)
    path.write_text(
        "".join(" ".join(choices[n * longest : n * longest + length]) + "\n"
                for n, length in enumerate(lengths)), encoding="utf-8")
    return path
