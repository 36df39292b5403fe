"""Model folders: written whole or not at all, read strictly, and never a pickle.

    config.json          BiLMConfig
    vocab.txt            the vocabulary
    segmentation.json    how the training text was segmented, where known
    model.safetensors
    checksums.json       SHA-256 of every other file
    training/            what resuming needs; the rest is a complete model

A file that is missing, changed, or holds other tensors than config.json asks for is an error.
"""

from pathlib import Path
from typing import Dict, NamedTuple, Optional

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bilm.errors import InputError
from bilm.files import atomic_folder, read_json, sha256_of, write_json
from bilm.network.config import BiLMConfig
from bilm.storage.runs import is_run, latest_checkpoint
from bilm.storage.side_files import SideFiles, read_side_files, write_side_files
from bilm.text.vocabulary import Vocabulary
from bilm.training.state import check_training_state

CHECKSUMS = "checksums.json"
TRAINING_FILES = ("state.json", "optimizer.safetensors", "lstm.safetensors", "rows.safetensors")


class Checkpoint(NamedTuple):
    """The content of a model folder.

    Attributes:
        config: Sizes and switches.
        vocabulary: None where the folder has none.
        segmentation: How its training text was segmented; None where not known.
        weights: Arrays by parameter name.
        training: What resuming needs: JSON objects, and dictionaries of arrays, by name;
            empty in a folder that holds a model only.
    """

    config: BiLMConfig
    vocabulary: Optional[Vocabulary]
    segmentation: Optional[dict]
    weights: Dict[str, np.ndarray]
    training: Dict[str, dict]


def save_checkpoint(path, checkpoint: Checkpoint) -> None:
    """Write a model folder; `path` holds all of it or is left as it was.

    Raises:
        InputError: The folder cannot be written; the message says why.
    """
    try:
        with atomic_folder(path) as folder:
            _write_files(folder, checkpoint)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: the checkpoint cannot be written: {reason}") from None


def check_replaceable(path) -> None:
    """Raise an InputError if `path` holds anything else than a model without training state."""
    path, known = Path(path), {
        "config.json", "vocab.txt", "segmentation.json", "mixes.json", "model.safetensors",
        CHECKSUMS,
    }
    others = sorted({item.name for item in path.iterdir()} - known) if path.is_dir() else []
    if others or (path.exists() and not path.is_dir()):
        raise InputError(
            f"{path}: would be replaced, but is no model folder: it has "
            f"{', '.join(others[:5]) or 'other content'}; choose another name"
        )


def _write_files(folder, checkpoint):
    about = SideFiles(checkpoint.config, checkpoint.vocabulary, checkpoint.segmentation, None)
    write_side_files(folder, about)
    save_file(checkpoint.weights, folder / "model.safetensors")
    if checkpoint.training:
        (folder / "training").mkdir()
    for name, part in checkpoint.training.items():
        if name.endswith(".json"):
            write_json(folder / "training" / name, part)
        else:
            save_file(part, folder / "training" / name)
    write_checksums(folder)


def write_checksums(folder) -> None:
    """Write the SHA-256 of every file in a folder to its checksums.json."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
    write_json(Path(folder) / CHECKSUMS, sums)


def load_checkpoint(path, training: bool = False) -> Checkpoint:
    """Return the content of a model folder, every file checked against its checksum.

    Args:
        path: A model folder, or a training run's folder, which stands for its latest
            checkpoint.
        training: Whether to read what resuming needs, which must be there then.

    Raises:
        InputError: The folder is not a model folder, or a file is missing, truncated,
            changed or cannot be read; the message names it.
    """
    path = Path(path)
    if is_run(path):
        path = latest_checkpoint(path)
    try:
        return _load(path, training)
    except OSError as error:
        where = error.filename or path
        raise InputError(f"{where}: {error.strerror}; use another checkpoint") from None


def _load(path, training):
    for name in ("config.json", "model.safetensors"):
        if not (path / name).is_file():
            raise InputError(f"{path}: not a model folder: it has no {name}")
    verify_checksums(path, training)
    about = read_side_files(path)
    return Checkpoint(
        about.config,
        about.vocabulary,
        about.segmentation,
        read_arrays(path / "model.safetensors"),
        _read_training(path, about.config) if training else {},
    )


def _read_training(path, config):
    folder = path / "training"
    if not folder.is_dir():
        raise InputError(
            f"{path}: holds a model but no training state; use --load_pretraining_params"
        )
    missing = [name for name in TRAINING_FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: missing {', '.join(missing)}; use another checkpoint")
    found = {
        name: read_json(folder / name) if name.endswith(".json") else read_arrays(folder / name)
        for name in TRAINING_FILES
    }
    check_training_state(found, config, str(folder))
    return found


def verify_checksums(path, training: bool = True) -> None:
    """Check the files of a model folder that has checksums.

    Args:
        path: The folder. One without checksums was not written by this program, for example
            edited by hand, and is not checked.
        training: Whether to check what resuming needs, too.

    Raises:
        InputError: A file is missing, truncated or changed; the message names it.
    """
    path = Path(path)
    if not (path / CHECKSUMS).is_file():
        return
    for name, expected in read_json(path / CHECKSUMS).items():
        if name.startswith("training/") and not training:
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


def read_arrays(path) -> dict:
    """Return the arrays in a safetensors file by name.

    Raises:
        InputError: The file is damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {error}") from None


def check_tensors(expected: dict, found: dict, source: str) -> None:
    """Raise an error that lists every difference between two sets of named shapes.

    Args:
        expected: Shapes by name.
        found: Shapes by name.
        source: Where the found ones come from, for the message.

    Raises:
        InputError: A tensor is missing, not expected, or of another shape.
    """
    problems = [f"missing {name} {_shape(expected[name])}"
                for name in sorted(set(expected) - set(found))]
    problems += [f"unexpected {name} {_shape(found[name])}"
                 for name in sorted(set(found) - set(expected))]
    problems += [
        f"{name} has shape {_shape(found[name])}, expected {_shape(expected[name])}"
        for name in sorted(set(expected) & set(found))
        if tuple(expected[name]) != tuple(found[name])
    ]
    if problems:
        raise InputError(f"{source}: " + "; ".join(problems))


def as_float32(arrays: dict, source: str) -> dict:
    """Return arrays by name in float32, which those stored in float16 become.

    Raises:
        InputError: Arrays are of another type; all are listed.
    """
    others = [f"{name} is {array.dtype}" for name, array in sorted(arrays.items())
              if array.dtype not in (np.float32, np.float16)]
    if others:
        raise InputError(f"{source}: expected float32 or float16 weights: {'; '.join(others)}")
    # arrays of a memory map need not be aligned
    requirements = ["C", "A"]
    return {name: np.require(array, np.float32, requirements) for name, array in arrays.items()}


def _shape(shape):
    return "x".join(str(size) for size in shape) or "scalar"


def weights_of(model) -> dict:
    """Return the parameters of a Paddle layer as arrays by name."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def set_weights(model, weights: dict, source: str) -> None:
    """Set all parameters of a Paddle layer; unlike `set_state_dict` it leaves none out.

    Args:
        model: The layer.
        weights: float32 or float16 arrays by parameter name.
        source: Where they come from, for messages.

    Raises:
        InputError: Arrays are missing, not known, of another shape or type; all
            are listed.
    """
    parameters = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    check_tensors(shapes, {name: array.shape for name, array in weights.items()}, source)
    weights = as_float32(weights, source)
    for name, tensor in parameters.items():
        tensor.set_value(weights[name])
