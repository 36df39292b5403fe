"""Small random models on disk, for the tests of formats."""

import numpy as np

from bilm import BiLMConfig, Vocabulary
from bilm.storage.formats.known import FORMATS
from bilm.storage.side_files import write_side_files
from bilm.storage.stored_model import MOMENT, StoredModel, parameter_shapes
from bilm.text.vocabulary import SPECIAL_TOKENS

CHARACTER_OPTIONS = {
    "activation": "relu",
    "embedding": {"dim": 4},
    "filters": [[1, 3], [2, 4], [5, 6]],
    "max_characters_per_token": 50,
    "n_characters": 262,
    "n_highway": 2,
}


def random_model(seed=0, softmax=True, moments=False, vocabulary=False, **settings):
    """Return a model of random values; settings are fields of its configuration."""
    sizes = {"vocab_size": 11, "projection_size": 4, "cell_size": 6, **settings}
    config, random = BiLMConfig(**sizes), np.random.default_rng(seed)

    def values(shape):
        return random.normal(size=shape).astype(np.float32)

    tensors = {name: values(shape) for name, shape in parameter_shapes(config, softmax).items()}
    if config.char_cnn:
        tensors["character_encoder.embedding.weight"][0] = 0  # the row of the mask
    accumulators = {name + MOMENT: np.abs(values(array.shape)) for name, array in tensors.items()}
    words = [*SPECIAL_TOKENS, *(f"词{number}" for number in range(config.vocab_size - 3))]
    return StoredModel(config, tensors, accumulators if moments else {},
                       Vocabulary(words) if vocabulary else None)


def write(folder, model, name):
    """Write a model as a folder in a format, by the format's own writer."""
    folder.mkdir(parents=True)
    FORMATS[name].write(folder, model, lambda size: None)
    write_side_files(folder, model, FORMATS[name].has_config)
    return folder
