"""Model folders: written whole or not at all, read strictly, and never a pickle.

    MODEL/config.json        BiLMConfig
          vocab.txt          the vocabulary
          segmentation.json  how the training text was segmented, where known
          model.safetensors
          checksums.json     SHA-256 of every other file
          training/          needed to resume; the rest is a complete model

A file that is missing, changed, or holds other tensors than config.json asks for is an error.
"""

from pathlib import Path
from typing import Callable, Mapping, Optional

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike, atomic_folder, read_json, sha256_of, write_json
from bilm.network.config import BiLMConfig
from bilm.storage.safetensors_file import read_safetensors, write_safetensors
from bilm.storage.side_files import (
    CONFIG_FILE,
    MIXES_FILE,
    VOCABULARY_FILE,
    read_side_files,
    write_side_files,
)
from bilm.storage.stored_model import MOMENT, Located, StoredModel
from bilm.text.shards import SEGMENTATION_FILE

WEIGHTS_FILE, CHECKSUMS = "model.safetensors", "checksums.json"
_TRAINING = "training"
_OPTIMIZER = Path(_TRAINING) / "optimizer.safetensors"


def save_checkpoint(path: PathLike, model: StoredModel) -> None:
    """Write a model folder; `path` holds all of it or is left as it was.

    Raises:
        InputError: The folder cannot be written; the message says why.
    """
    try:
        with atomic_folder(path) as folder:
            write_side_files(folder, model)
            write_model(folder, model)
            write_training(folder / _TRAINING, model.training)
            write_checksums(folder)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: the checkpoint cannot be written: {reason}") from None


def load_checkpoint(path: PathLike) -> StoredModel:
    """Return the content of a model folder from which training goes on.

    Every file is checked against its checksum. The moments are part of the training state.

    Raises:
        InputError: The folder is no model folder, has no training state, or a file is missing,
            truncated, changed or cannot be read; the message names it.
    """
    path = Path(path)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (path / name).is_file():
            raise InputError(f"{path}: not a model folder: it has no {name}")
    try:
        verify_checksums(path)
        beside = read_side_files(path)
        tensors, training = read_safetensors(path / WEIGHTS_FILE), _read_training(path)
    except OSError as error:
        where = error.filename or path
        raise InputError(f"{where}: {error.strerror}; use another checkpoint") from None
    config, vocabulary, segmentation, mixes = beside
    assert config is not None  # it was looked for above
    return StoredModel(config, tensors, {}, vocabulary, segmentation, mixes, training)


def verify_model(folder: Path, moments: bool) -> None:
    """Check the files that `read_model` reads, and those beside them, against their checksums.

    Raises:
        InputError: A file is missing, truncated or changed.
    """
    verify_checksums(folder, training=moments and (folder / _OPTIMIZER).is_file())


def read_model(
    located: Located, config: Optional[BiLMConfig], moments: bool, **_settings: object
) -> StoredModel:
    """Return the model in a folder whose files `verify_model` has checked.

    Args:
        located: The folder.
        config: Its configuration.
        moments: Whether to read Adagrad's moments; those of other optimisers are not read.
        **_settings: Not needed: they are all in the configuration.

    Raises:
        InputError: A file is no safetensors file.
    """
    file = located.folder / _OPTIMIZER
    accumulators = read_safetensors(file) if moments and file.is_file() else {}
    is_adagrad = all(name.endswith(MOMENT) for name in accumulators)
    assert config is not None  # without it the folder has another format
    return StoredModel(config, located.tensors, accumulators if is_adagrad else {})


def write_model(
    folder: PathLike,
    model: StoredModel,
    progress: Callable[[int], object] = lambda size: None,
) -> None:
    """Write model.safetensors and, if there are moments, training/optimizer.safetensors.

    `progress` is called with the bytes of each tensor when it is written.
    """
    for file, tensors in ((Path(WEIGHTS_FILE), model.tensors), (_OPTIMIZER, model.moments)):
        if tensors:
            (Path(folder) / file).parent.mkdir(exist_ok=True)
            write_safetensors(Path(folder) / file, tensors, progress)


def check_replaceable(path: PathLike) -> None:
    """Raise an InputError if `path` holds anything else than a model without training state."""
    path, known = Path(path), {
        CONFIG_FILE, VOCABULARY_FILE, SEGMENTATION_FILE, MIXES_FILE, WEIGHTS_FILE, CHECKSUMS,
    }
    others = sorted({item.name for item in path.iterdir()} - known) if path.is_dir() else []
    if others or (path.exists() and not path.is_dir()):
        raise InputError(
            f"{path}: would be replaced, but is no model folder: it has "
            f"{', '.join(others[:5]) or 'other content'}; choose another name"
        )


def write_training(folder: Path, training: Mapping[str, dict]) -> None:
    """Write JSON objects, and dictionaries of arrays, by the names of their files."""
    for name, part in training.items():
        folder.mkdir(exist_ok=True)
        if name.endswith(".json"):
            write_json(folder / name, part)
        else:
            write_safetensors(folder / name, part)


def _read_training(path):
    folder = path / _TRAINING
    if not folder.is_dir():
        raise InputError(
            f"{path}: holds a model but no training state; use --load_pretraining_params"
        )
    training = {}
    for file in sorted(folder.iterdir()):
        if file.suffix == ".json":
            training[file.name] = read_json(file)
        elif file.suffix == ".safetensors":
            arrays = read_safetensors(file)
            training[file.name] = {name: np.asarray(array) for name, array in arrays.items()}
    return training


def write_checksums(folder: PathLike) -> None:
    """Write the SHA-256 of every file in a folder to its checksums.json."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
    write_json(Path(folder) / CHECKSUMS, sums)


def verify_checksums(path: PathLike, training: bool = True) -> None:
    """Check the files of a model folder that has checksums.

    Args:
        path: The folder. One without checksums was not written by this program, for example
            edited by hand, and is not checked.
        training: Whether to check the training state, too.

    Raises:
        InputError: A file is missing, truncated or changed; the message names it.
    """
    path = Path(path)
    if not (path / CHECKSUMS).is_file():
        return
    for name, expected in read_json(path / CHECKSUMS).items():
        if name.startswith(f"{_TRAINING}/") and not training:
            continue
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{path / CHECKSUMS}: {name!r} is no file of the folder")
        if not (path / name).is_file():
            raise InputError(f"{path / name}: the file is missing; use another checkpoint")
        if sha256_of(path / name) != expected:
            raise InputError(
                f"{path / name}: the file is truncated or has changed since it was written "
                f"(its SHA-256 is not the one in {CHECKSUMS}); use another checkpoint"
            )
