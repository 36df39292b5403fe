"""The model that the tests of inference share."""

import pytest

from tests.reference.embedded_words import VOCABULARY, make_model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("embed") / "model"
    model.save_pretrained(path, VOCABULARY)
    return path
