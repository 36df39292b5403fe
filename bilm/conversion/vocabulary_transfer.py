"""Move a model to another vocabulary, to train it further in another domain."""

import numpy as np

from bilm.errors import InputError
from bilm.storage.stored_model import MOMENT, StoredModel, config_for
from bilm.storage.tensors import LazyArray
from bilm.text.vocabulary import Vocabulary

# Tensors with a row, or a number, for each word.
_BY_WORD = (
    "embedding.weight", "softmax.weight", "softmax.bias", "backward_softmax.weight",
    "backward_softmax.bias",
)


def transfer_vocabulary(model: StoredModel, vocabulary: Vocabulary) -> StoredModel:
    """Return the model with the rows of another vocabulary.

    Words of both keep their rows of embedding and softmax; new words get the mean of all old
    rows. Rows of moments go along; those of new words are 1, where Adagrad starts.

    Args:
        model: With its own vocabulary.
        vocabulary: The new one.

    Raises:
        InputError: The model has no vocabulary, or reads characters.
    """
    if model.vocabulary is None:
        raise InputError("a model without vocabulary cannot change it: give the old one, --vocab")
    if model.config.char_cnn is not None and not model.has_softmax:
        raise InputError("this model reads characters and has no softmax: it needs no vocabulary")
    old_row = {word: number for number, word in enumerate(model.vocabulary.words)}
    rows = np.array([old_row.get(word, -1) for word in vocabulary.words])

    def moved(array, new_value):
        def read():
            old = np.asarray(array)
            fill = old.mean(axis=0, dtype=np.float64) if new_value is None else new_value
            new = np.empty((len(rows), *old.shape[1:]), old.dtype)
            new[:] = fill
            new[rows >= 0] = old[rows[rows >= 0]]
            return new

        return LazyArray((len(rows), *array.shape[1:]), array.dtype, read)

    tensors = {name: moved(array, None) if name in _BY_WORD else array
               for name, array in model.tensors.items()}
    moments = {name: moved(array, 1.0) if name[: -len(MOMENT)] in _BY_WORD else array
               for name, array in model.moments.items()}
    config = config_for(model.config, vocabulary)
    return model._replace(config=config, tensors=tensors, moments=moments, vocabulary=vocabulary)


def count_shared(old: Vocabulary, new: Vocabulary) -> int:
    """Return the number of words that both vocabularies have."""
    return len({*old.words} & {*new.words})
