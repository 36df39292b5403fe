"""Reading biLMs in all their forms, without Paddle; `bilm.storage.models` needs it.

- a model folder, as training writes it, or a training run's folder, which stands for its
  latest checkpoint;
- a checkpoint of LARK: a folder with one file a variable, a combined file, or an `.npz`.
  LARK's clips (3) and ids (`<S>` 0, `</S>` 1, `<UNK>` 2) are assumed, and there is no vocabulary,
  unless config.json and vocab.txt stand beside it;
- bilm-tf's or AllenNLP's HDF5 weights beside their options.json; a state_dict of PyTorch or
  Paddle: see `bilm.storage.formats`;
- the name of a model that comes with the package: see `bilm.storage.ready_models`.

The functions take a path, or the `Located` that `locate` returned for it: with that, several of
them can read a model without opening a file twice.
"""

from pathlib import Path
from typing import Any, Optional, Union

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.config import BiLMConfig
from bilm.network.mixes import Mixes
from bilm.storage.formats import lark
from bilm.storage.formats.known import FORMATS, locate
from bilm.storage.side_files import (
    CONFIG_FILE,
    MIXES_FILE,
    VOCABULARY_FILE,
    SideFiles,
    read_mixes_file,
    read_side_files,
)
from bilm.storage.stored_model import Located, StoredModel, check_model, config_for
from bilm.text.vocabulary import Vocabulary

NAME_VOCABULARY = "name the file with --vocab_path, in Python vocab_path="


def open_model(
    path: Union[PathLike, Located],
    source_format: Optional[str] = None,
    vocab_path: Optional[PathLike] = None,
    moments: bool = True,
    **settings: Any,
) -> StoredModel:
    """Return the biLM at `path`; its tensors are read when they are asked for.

    Args:
        path: Any of the forms above.
        source_format: The format that it must have; None: any.
        vocab_path: The vocabulary, of a model that has none beside it.
        moments: Whether to read Adagrad's accumulators, too, where they are there.
        **settings: Fields of the configuration, such as clips, for a format without them; None
            values count as not given.

    Raises:
        InputError: There is no model, it is incomplete or damaged, or contradicts the settings.
    """
    located = locate(path, source_format)
    form, source = FORMATS[located.format], str(located.path)
    settings = {name: value for name, value in settings.items() if value is not None}
    form.verify(located.folder, moments)
    beside = read_side_files(located.folder)
    if not located.is_folder:  # the others may belong to another file
        beside = SideFiles(beside.config, None, None, None)
    config = beside.config if form.has_config else None
    model = form.read(located, config, moments, **settings)
    for name, value in settings.items():
        if getattr(model.config, name) != value:
            raise InputError(
                f"{source}: {name} is {getattr(model.config, name)} there; leave out the other "
                f"value, {value}"
            )
    model = model._replace(segmentation=beside.segmentation, mixes=beside.mixes or model.mixes)
    return _with_vocabulary(check_model(model, source), beside.vocabulary, vocab_path)


def _with_vocabulary(model, vocabulary, vocab_path):
    """Return the model with its own or the other vocabulary, and the ids of its special words."""
    if vocab_path:
        own, vocabulary = vocabulary, Vocabulary.load(vocab_path)
        if own not in (None, vocabulary):
            raise InputError(
                f"{vocab_path}: differs from the model's own vocabulary; omit --vocab_path"
            )
    if vocabulary is None:
        return model
    if len(vocabulary) != model.config.vocab_size:
        raise InputError(
            f"{vocab_path or VOCABULARY_FILE}: has {len(vocabulary)} words, but the model has "
            f"{model.config.vocab_size}; give the vocabulary that it was trained with"
        )
    return model._replace(config=config_for(model.config, vocabulary), vocabulary=vocabulary)


def read_config(path: Union[PathLike, Located]) -> BiLMConfig:
    """Return the configuration of the biLM at `path`, without reading its weights.

    Raises:
        InputError: There is no biLM at `path`.
    """
    located = locate(path)
    if located.format == "bilm":
        return BiLMConfig.load(located.folder / CONFIG_FILE)
    return open_model(located, moments=False).config


def load_vocabulary(path: Union[PathLike, Located]) -> Vocabulary:
    """Return the vocabulary of the biLM at `path`.

    Raises:
        InputError: There is no biLM at `path`, or it has no vocabulary.
    """
    located = locate(path)
    file = located.path / VOCABULARY_FILE
    if not file.is_file():
        raise InputError(
            f"{located.path}: has no {VOCABULARY_FILE}; use Vocabulary.load with its own file"
        )
    return Vocabulary.load(file)


def read_mixes(path: PathLike) -> Mixes:
    """Return the mixes in a folder with mixes.json, or in a LARK checkpoint of a task.

    Raises:
        InputError: There are none, or they are damaged.
    """
    path = Path(path)
    if (path / MIXES_FILE).is_file():
        return read_mixes_file(path / MIXES_FILE)
    located = lark.find(path)
    if located is not None:
        variables = lark.read_variables(located, (lark.MIX_WEIGHTS, lark.MIX_GAMMA))
        if len(variables) == 2:
            return lark.mixes_of(variables)
    raise InputError(
        f"{path}: no layer mix there: expected {MIXES_FILE}, as ELMo.save_mixes writes it, or a "
        f"LARK checkpoint with {lark.MIX_WEIGHTS} and {lark.MIX_GAMMA}"
    )
