"""Checks of the training state in a checkpoint, which may come from a stranger."""

from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Iterator, Mapping

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.config import BiLMConfig
from bilm.storage import checkpoint
from bilm.storage.stored_model import StoredModel
from bilm.training.options import TrainingOptions

TRAINING_FILES = ("state.json", "optimizer.safetensors", "lstm.safetensors", "rows.safetensors")
NUMBER = (int, float)
_STATE = {
    "step": int, "tokens": int, "random_seed": int, "stream": dict, "shards": list,
    "options": dict, "epoch": NUMBER, "tokens_per_epoch": int, "total_steps": int,
    "interval": dict,
}
_STREAM = {"epoch": int, "shard": int, "offset": int, "line": int, "sentence": int}
_INTERVAL = {"nats": NUMBER, "predictions": int}
_ROWS = ("row_tokens", "row_lengths", "row_done")


def load_checkpoint(path: PathLike) -> StoredModel:
    """Return the content of a model folder from which training goes on, all of it checked.

    Raises:
        InputError: The folder is no model folder, or a file is missing, changed, or is not what
            training writes.
    """
    stored = checkpoint.load_checkpoint(path)
    check_training_state(stored.training, stored.config, str(Path(path) / "training"))
    return stored


def check_training_state(training: Mapping[str, dict], config: BiLMConfig, source: str) -> None:
    """Check the training state of a checkpoint, except the optimiser's arrays.

    Args:
        training: JSON objects and dictionaries of arrays by the names of their files.
        config: Configuration of the model in the same checkpoint.
        source: The files' folder, for messages.

    Raises:
        InputError: Something is missing or is not what training writes; the first five problems
            of a file are listed.
    """
    missing = [name for name in TRAINING_FILES if name not in training]
    if missing:
        raise InputError(f"{source}: missing {', '.join(missing)}; use another checkpoint")
    for name, problems in (
        ("state.json", _state_problems(training["state.json"])),
        ("rows.safetensors", _row_problems(training["rows.safetensors"], config)),
        ("lstm.safetensors", _lstm_problems(training["lstm.safetensors"], config)),
    ):
        first = list(islice(problems, 5))
        if first:
            raise InputError(f"{source}/{name}: {'; '.join(first)}; use another checkpoint")


def check_shards(before: list, now: list, source: str) -> None:
    """Check that the training text is the one that a checkpoint was trained on.

    Its folder may have moved.

    Args:
        before: [name, bytes, SHA-256] of each shard, from the checkpoint.
        now: The same of the present text.
        source: The checkpoint, for messages.

    Raises:
        InputError: Shards differ; the message names them.
    """
    changes = []
    for number, (old, new) in enumerate(zip(before, now), start=1):
        if old[:2] != new[:2]:
            changes.append(f"shard {number} was {old[0]} of {old[1]} bytes and is {new[0]} of "
                           f"{new[1]}")
        elif old[2:] and old != new:  # checkpoints of older versions have no SHA-256
            changes.append(f"shard {number}, {old[0]}, has other content")
    if len(before) != len(now):
        names = sorted({entry[0] for entry in before} ^ {entry[0] for entry in now})
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        changes.append(f"there were {len(before)} shards and are {len(now)}: "
                       f"{', '.join(names[:5])}{more}")
    if changes:
        raise InputError(f"{source}: the training text has changed since: "
                         + "; ".join(changes[:5]))


def _state_problems(state) -> Iterator[str]:
    if not isinstance(state, dict):
        yield "no JSON object"
        return
    yield from _misfits(state, _STATE)
    for name, expected in (("stream", _STREAM), ("interval", _INTERVAL)):
        if isinstance(state.get(name), dict):
            yield from _misfits(state[name], expected, f"{name}.")
            yield from (f"{name}.{key} is not known" for key in state[name] if key not in expected)
    if isinstance(state.get("shards"), list) and not all(map(_is_shard, state["shards"])):
        yield "shards must be lists of name, bytes and SHA-256"
    if not isinstance(state.get("scaler"), (dict, type(None))):
        yield "scaler is neither an object nor null"
    options = state.get("options")
    if state.get("tokens_per_epoch") == 0:
        yield "tokens_per_epoch is 0"
    if isinstance(options, dict):
        if options.get("amp", "O0") != "O0" and not state.get("scaler"):
            yield "scaler is missing"
        kinds = {field.name: NUMBER if isinstance(field.default, float) else type(field.default)
                 for field in fields(TrainingOptions)}
        given = {name: kind for name, kind in kinds.items() if name in options}
        yield from _misfits(options, given, "options.", least=None)


def _misfits(values, expected, prefix="", least=0):
    for name, kind in expected.items():
        value = values.get(name)
        is_number = isinstance(value, NUMBER) and not isinstance(value, bool)
        if not isinstance(value, kind) or (kind in (int, NUMBER) and not is_number):
            what = "a number" if kind is NUMBER else f"of type {kind.__name__}"
            actual = type(value).__name__ if name in values else "missing"
            yield f"{prefix}{name} must be {what}, and is {actual}"
        elif is_number and least is not None and not least <= value < 2**63:
            yield f"{prefix}{name} is out of range"


def _is_shard(entry) -> bool:
    return (
        isinstance(entry, list) and len(entry) in (2, 3)  # older versions wrote no SHA-256
        and isinstance(entry[0], str) and type(entry[1]) is int
        and all(isinstance(digest, str) for digest in entry[2:])
    )


def _row_problems(arrays, config) -> Iterator[str]:
    wrong = [name for name in _ROWS
             if name not in arrays or arrays[name].ndim != 1 or arrays[name].dtype != np.int64]
    if wrong:
        yield f"{', '.join(wrong)} must be one row of int64 each"
        return
    tokens, lengths, done = (arrays[name] for name in _ROWS)
    if len(lengths) != len(done) or not len(lengths):
        yield f"{len(lengths)} rows, and of {len(done)} it is known how much is done"
    elif (lengths < 0).any() or (done < 0).any() or (done > lengths).any():
        yield "lengths must not be negative, and no more can be done of a row than it has"
    elif lengths.max() > len(tokens) or lengths.sum() != len(tokens):
        yield f"the rows' lengths sum to {lengths.sum()}, but there are {len(tokens)} tokens"
    if len(tokens) and not (tokens.min() >= 0 and tokens.max() < config.vocab_size):
        yield f"row_tokens must be ids below {config.vocab_size}"


def _lstm_problems(arrays, config) -> Iterator[str]:
    rows = {}
    for name, size in (("hidden", config.projection_size), ("cell", config.cell_size)):
        if name not in arrays:
            yield f"{name} is missing"
            continue
        shape, expected = arrays[name].shape, (config.num_directions, config.num_layers, size)
        if len(shape) != 4 or (*shape[:2], shape[3]) != expected:
            yield f"{name} has shape {shape}, expected {(*expected[:2], 'rows', size)}"
            continue
        if arrays[name].dtype != np.float32:
            yield f"{name} is {arrays[name].dtype}, not float32"
        rows[name] = shape[2]
    if len(set(rows.values())) > 1:
        yield f"hidden has {rows['hidden']} rows, cell {rows['cell']}"
