"""The model and the text that the tests of inference share."""

import pytest

from tests.reference.embedded_words import VOCABULARY, make_model
from tests.reference.vector_files import TEXT


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("embed") / "model"
    model.save_pretrained(path, VOCABULARY)
    return path


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode("utf-8"))
    return path
