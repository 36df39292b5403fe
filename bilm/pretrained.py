"""Pretrained biLMs, in whatever form they come.

- a model folder, as training writes it, or a training run's folder, which stands for its
  latest checkpoint;
- a checkpoint of LARK: a folder with one file a variable, a combined file, or an `.npz`.
  LARK's clips (3) and ids (<S> 0, </S> 1, <UNK> 2) are assumed, and there is no vocabulary
  unless somebody put a vocab.txt into the folder.
"""

from dataclasses import replace
from pathlib import Path

from bilm.checkpoint import Checkpoint, latest_checkpoint, load_checkpoint, set_weights
from bilm.config import BiLMConfig
from bilm.errors import InputError
from bilm.formats import lark
from bilm.vocabulary import Vocabulary


def read_pretrained(path, vocab_path=None) -> Checkpoint:
    """Return the biLM at `path`: configuration, weights by our names, vocabulary if there is one.

    Args:
        path: Any of the forms above.
        vocab_path: A vocabulary file to use; LARK's checkpoints have none of their own.

    Raises:
        InputError: There is no biLM at `path`, it is incomplete or damaged, or the vocabulary
            is not of its size.
    """
    if lark.is_lark(path):
        variables = lark.read_variables(path)
        config = lark.infer_config(variables, str(path))
        weights = lark.from_lark(variables, config)
        checkpoint = Checkpoint(config, None, None, weights, {})
        own_vocabulary = Path(path) / "vocab.txt"
        vocab_path = vocab_path or (own_vocabulary if own_vocabulary.is_file() else None)
    else:
        _check_is_model_folder(path)
        checkpoint = load_checkpoint(path)
    return _with_vocabulary(checkpoint, vocab_path) if vocab_path else checkpoint


def read_config(path) -> BiLMConfig:
    """Return the configuration of the biLM at `path`, without reading its weights.

    Raises:
        InputError: There is no biLM at `path`.
    """
    if lark.is_lark(path):
        return lark.infer_config(lark.read_variables(path), str(path))
    return BiLMConfig.load(_model_folder(path) / "config.json")


def find_vocabulary(path) -> Path:
    """Return the vocabulary file of the biLM at `path`.

    Raises:
        InputError: There is no biLM at `path`, or it has no vocabulary.
    """
    folder = Path(path) if lark.is_lark(path) else _model_folder(path)
    if not (folder / "vocab.txt").is_file():
        raise InputError(f"{path}: has no vocab.txt; load the file that it was trained with")
    return folder / "vocab.txt"


def _model_folder(path):
    _check_is_model_folder(path)
    return latest_checkpoint(path) if (Path(path) / "latest").is_file() else Path(path)


def load_model(path, vocab_path=None):
    """Return the `BiLM` at `path`, in evaluation mode, and what `read_pretrained` returns.

    Raises:
        InputError: As `read_pretrained`, and where weights do not fit the configuration.
    """
    from bilm.hardware import import_paddle

    import_paddle()
    from bilm.model import BiLM

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
    if checkpoint.vocabulary is None:
        raise InputError(f"{path}: has no vocab.txt; give its vocabulary with --vocab_path")
    if not model.has_softmax:
        raise InputError(f"{path}: has no softmax: it gives word vectors, but predicts no words")
    if model.config.char_cnn is not None:
        raise InputError(f"{path}: reads characters; this works with models that read words")
    return model, checkpoint


def _with_vocabulary(checkpoint, vocab_path):
    vocabulary = Vocabulary.load(vocab_path)
    if len(vocabulary) != checkpoint.config.vocab_size:
        raise InputError(
            f"{vocab_path}: has {len(vocabulary)} words, but the model has "
            f"{checkpoint.config.vocab_size}; give the vocabulary that it was trained with"
        )
    config = replace(
        checkpoint.config,
        bos_id=vocabulary.bos_id, eos_id=vocabulary.eos_id, unk_id=vocabulary.unk_id,
    )
    return checkpoint._replace(config=config, vocabulary=vocabulary)


def _check_is_model_folder(path):
    path = Path(path)
    if (path / "latest").is_file() or (path / "config.json").is_file():
        return
    if not path.exists():
        found = "nothing"
    elif path.is_dir():
        names = sorted(item.name for item in path.iterdir())
        found = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "an empty folder"
    else:
        found = "a file of another kind"
    raise InputError(
        f"{path}: no biLM there: expected a model folder (config.json and model.safetensors), a "
        f"training run's folder, or a LARK checkpoint (a folder with {lark.EMBEDDING}, a combined "
        f"file or .npz); found {found}"
    )
