"""What all tests share: a quiet, single-purpose Paddle and small corpora."""

import os

import pytest

from bilm.hardware import choose_mkl_code

os.environ.setdefault("GLOG_minloglevel", "2")
# Before the first product, as in every program: otherwise a test that runs a program would change
# what the processes of later tests compute, and not what this one does.
choose_mkl_code()

SENTENCE = "今天 天气 很 好 我们 去 公园 看 花 。 他 说 明天 会 下雨 ， 你 带 伞 了 吗 ？"
WORDS = SENTENCE.split()


@pytest.fixture
def vocabulary():
    from bilm.vocabulary import SPECIAL_TOKENS, Vocabulary

    return Vocabulary([*SPECIAL_TOKENS, *WORDS])


@pytest.fixture
def corpus_folder(tmp_path):
    """A folder with two training shards, a dev shard and a vocabulary."""
    import numpy as np

    from bilm.vocabulary import SPECIAL_TOKENS

    random = np.random.default_rng(5)
    for name, sentences in (("train/sentence_file_0", 60), ("train/sentence_file_1", 45),
                            ("dev/sentence_file_0", 20)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        lines = (" ".join(random.choice(WORDS, random.integers(1, 12))) for _ in range(sentences))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = "\n".join([*SPECIAL_TOKENS, *WORDS]) + "\n"
    (tmp_path / "vocabulary.txt").write_text(text, encoding="utf-8")
    return tmp_path
