"""What all tests share: a quiet, single-purpose Paddle and small corpora."""

import os

import pytest

from bilm.hardware import choose_mkl_code

os.environ.setdefault("GLOG_minloglevel", "2")
pytest.register_assert_rewrite("tests.reference")  # before it is imported
# Before the first product, as in every program: otherwise a test that runs a program would change
# what the processes of later tests compute, and not what this one does.
choose_mkl_code()


@pytest.fixture(autouse=True)
def messages_as_programs_show_them():
    """Tests call `main` of a verb without the program around it."""
    from bilm.program.running import show_messages

    show_messages()


@pytest.fixture
def vocabulary():
    from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
    from tests.reference.words import WORDS

    return Vocabulary([*SPECIAL_TOKENS, *WORDS])


@pytest.fixture
def corpus_folder(tmp_path):
    """A folder with two training shards, a dev shard and a vocabulary."""
    import numpy as np

    from bilm.text.vocabulary import SPECIAL_TOKENS
    from tests.reference.words import WORDS

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
