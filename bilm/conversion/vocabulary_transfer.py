"""Move a model to another vocabulary, so that it can go on in another domain."""

from dataclasses import replace

import numpy as np

from bilm.errors import InputError
from bilm.storage.stored_model import MOMENT, LazyArray, StoredModel
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
        model: With the vocabulary that it has.
        vocabulary: The one to get.

    Raises:
        InputError: The model has no vocabulary, or reads characters.
    """
    if model.vocabulary is None:
        raise InputError("a model without vocabulary cannot change it: give the old one, --vocab")
    if model.config.char_cnn is not None and "softmax.weight" not in model.tensors:
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
    ids = {name: getattr(vocabulary, name) for name in ("bos_id", "eos_id", "unk_id")}
    config = replace(model.config, vocab_size=len(vocabulary), **ids)
    return model._replace(config=config, tensors=tensors, moments=moments, vocabulary=vocabulary)


def count_shared(old: Vocabulary, new: Vocabulary) -> int:
    """Return how many words of `new` are in `old`, too."""
    return len({*old.words} & {*new.words})
