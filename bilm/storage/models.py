"""Load biLMs as Paddle layers, and save them."""

from typing import Optional, Tuple

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.model import BiLM
from bilm.storage.model_folder import check_replaceable, save_checkpoint
from bilm.storage.pretrained import NAME_VOCABULARY, open_model
from bilm.storage.stored_model import StoredModel
from bilm.storage.tensors import set_weights, weights_of
from bilm.text.vocabulary import Vocabulary


def load_model(
    path: PathLike, vocab_path: Optional[PathLike] = None
) -> Tuple[BiLM, StoredModel]:
    """Return the biLM at `path`, in evaluation mode, and the stored model that it was built from.

    Args:
        path: Any of the forms in `bilm.storage.pretrained`.
        vocab_path: The vocabulary, of a model that has none beside it.

    Raises:
        InputError: There is no biLM at `path`, or it is incomplete or damaged.
    """
    stored = open_model(path, vocab_path=vocab_path, moments=False)
    return build_model(stored, str(path)), stored


def load_language_model(
    path: PathLike, vocab_path: Optional[PathLike] = None
) -> Tuple[BiLM, Vocabulary, Optional[dict]]:
    """Return a biLM that predicts words, its vocabulary, and how its training text was segmented.

    Args:
        path: Any of the forms in `bilm.storage.pretrained`.
        vocab_path: The vocabulary, of a model that has none beside it.

    Raises:
        InputError: The model cannot be loaded, has no vocabulary or no softmax, or reads
            characters: its vocabulary is then only that of its predictions.
    """
    model, stored = load_model(path, vocab_path)
    if model.config.char_cnn is not None:
        raise InputError(f"{path}: reads characters; this works with models that read words")
    if not model.has_softmax:
        raise InputError(f"{path}: has no softmax: it gives word vectors, but predicts no words")
    if stored.vocabulary is None:
        raise InputError(f"{path}: has no vocab.txt; {NAME_VOCABULARY}")
    return model, stored.vocabulary, stored.segmentation


def build_model(stored: StoredModel, source: str, has_softmax: Optional[bool] = None) -> BiLM:
    """Return a stored biLM as a layer, in evaluation mode.

    Args:
        stored: The model.
        source: Where it comes from, for messages.
        has_softmax: Whether to build its softmax; None: if it has one.

    Raises:
        InputError: Its tensors do not fit its configuration.
    """
    has_softmax = stored.has_softmax if has_softmax is None else has_softmax
    model = BiLM(stored.config, has_softmax=has_softmax)
    weights = {name: array for name, array in stored.tensors.items()
               if has_softmax or "softmax." not in name}
    set_weights(model, weights, source)
    model.eval()
    return model


def save_model(
    path: PathLike,
    model: BiLM,
    vocabulary: Optional[Vocabulary] = None,
    segmentation: Optional[dict] = None,
) -> None:
    """Write a model folder; it appears whole or not at all.

    Args:
        path: The folder; a model folder of this name is replaced.
        model: The biLM.
        vocabulary: Its words, which commands that read words need.
        segmentation: How its training text was segmented, where known.

    Raises:
        InputError: The folder cannot be written, or holds something else than a model.
    """
    check_replaceable(path)
    stored = StoredModel(
        model.config, weights_of(model), vocabulary=vocabulary, segmentation=segmentation
    )
    save_checkpoint(path, stored)
