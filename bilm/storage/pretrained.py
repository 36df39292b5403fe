"""Pretrained biLMs, in whatever form they come.

- a model folder, as training writes it, or a training run's folder, which stands for its
  latest checkpoint;
- a checkpoint of LARK: a folder with one file a variable, a combined file, or an `.npz`.
  LARK's clips (3) and ids (`<S>` 0, `</S>` 1, `<UNK>` 2) are assumed, and there is no vocabulary,
  unless config.json and vocab.txt stand beside it;
- bilm-tf's or AllenNLP's HDF5 weights beside their options.json; a state_dict of PyTorch or
  Paddle: see `bilm.storage.formats`.
"""

from pathlib import Path

import numpy as np

from bilm.errors import InputError
from bilm.network.config import BiLMConfig
from bilm.storage.checkpoint import Checkpoint, as_float32, load_checkpoint, set_weights
from bilm.storage.formats.known import detect_format, model_path, open_model, with_vocabulary
from bilm.storage.stored_model import StoredModel

NAME_VOCABULARY = "name the file with --vocab_path, in Python vocab_path="
OPTIMIZER_FILE = "optimizer.safetensors"


def read_pretrained(path, vocab_path=None, moments: bool = False) -> Checkpoint:
    """Return the biLM at `path`: configuration, weights by our names, vocabulary if there is one.

    Args:
        path: Any of the forms above.
        vocab_path: A vocabulary file to use, where none comes with the model.
        moments: Whether to read Adagrad's accumulators, too, where they are there.

    Raises:
        InputError: There is no biLM at `path`, it is incomplete or damaged, or the vocabulary
            is not of its size.
    """
    path = model_path(path)
    if detect_format(path) == "bilm" and not moments:
        checkpoint = load_checkpoint(path)
        stored = StoredModel(checkpoint.config, {})
        stored = with_vocabulary(stored, checkpoint.vocabulary, vocab_path)
        return checkpoint._replace(config=stored.config, vocabulary=stored.vocabulary)
    stored = open_model(path, vocab_path=vocab_path)
    weights, accumulators = (
        as_float32({name: np.asarray(array) for name, array in arrays.items()}, str(path))
        for arrays in (stored.tensors, stored.moments if moments else {})
    )
    training = {OPTIMIZER_FILE: accumulators} if accumulators else {}
    return Checkpoint(stored.config, stored.vocabulary, stored.segmentation, weights, training)


def read_config(path) -> BiLMConfig:
    """Return the configuration of the biLM at `path`, without reading its weights.

    Raises:
        InputError: There is no biLM at `path`.
    """
    path = model_path(path)
    if detect_format(path) == "bilm":
        return BiLMConfig.load(path / "config.json")
    return open_model(path).config


def find_vocabulary(path) -> Path:
    """Return the vocabulary file of the biLM at `path`.

    Raises:
        InputError: There is no biLM at `path`, or it has no vocabulary.
    """
    path = model_path(path)
    detect_format(path)
    if not (path / "vocab.txt").is_file():
        raise InputError(f"{path}: has no vocab.txt; use Vocabulary.load with its own file")
    return path / "vocab.txt"


def load_model(path, vocab_path=None):
    """Return the `BiLM` at `path`, in evaluation mode, and what `read_pretrained` returns.

    Raises:
        InputError: As `read_pretrained`, and where weights do not fit the configuration.
    """
    from bilm.hardware import import_paddle

    import_paddle()
    from bilm.network.model import BiLM

    checkpoint = read_pretrained(path, vocab_path)
    model = BiLM(checkpoint.config, has_softmax="softmax.weight" in checkpoint.weights)
    set_weights(model, checkpoint.weights, str(path))
    model.eval()
    return model, checkpoint


def load_language_model(path, vocab_path=None):
    """Return what `load_model` returns, of a model that can predict words.

    Raises:
        InputError: As `load_model`; the model has no vocabulary or no softmax, or reads
            characters, whose vocabulary is that of its predictions only.
    """
    model, checkpoint = load_model(path, vocab_path)
    if model.config.char_cnn is not None:
        raise InputError(f"{path}: reads characters; this works with models that read words")
    if not model.has_softmax:
        raise InputError(f"{path}: has no softmax: it gives word vectors, but predicts no words")
    if checkpoint.vocabulary is None:
        raise InputError(f"{path}: has no vocab.txt; {NAME_VOCABULARY}")
    return model, checkpoint
