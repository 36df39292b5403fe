"""What the formats exchange: a biLM under this project's names, its tensors read one at a time."""

import math
from typing import Callable, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from bilm.errors import InputError
from bilm.network.config import BiLMConfig
from bilm.network.mixes import Mixes
from bilm.text.characters import NUM_CHARACTERS
from bilm.text.vocabulary import Vocabulary

MOMENT = ".moment_0"  # ends the name of a parameter's Adagrad accumulator
SOFTMAXES = ("softmax", "backward_softmax")


class LazyArray:
    """An array that is read when it is asked for, with `np.asarray`.

    Args:
        shape: Its shape.
        dtype: Its type.
        read: Returns it.
    """

    def __init__(self, shape: Tuple[int, ...], dtype, read: Callable[[], np.ndarray]):
        self.shape, self.dtype, self._read = tuple(shape), np.dtype(dtype), read

    def __array__(self, dtype=None, copy=None):
        array = self._read()
        array = array if dtype is None else array.astype(dtype, copy=False)
        return array.copy() if copy else array


def array_in_file(path, offset: int, shape: Tuple[int, ...], dtype) -> LazyArray:
    """Return an array whose values stand in a file, from a byte on, in C order.

    It is read, not mapped: of large models only what is at work is in memory.

    Raises:
        InputError: (when it is read) The file is shorter than it was.
    """
    dtype = np.dtype(dtype)

    def read():
        array = np.fromfile(path, dtype, math.prod(shape), offset=offset)
        if array.size != math.prod(shape):
            raise InputError(f"{path}: was truncated while it was read")
        return array.reshape(shape)

    return LazyArray(shape, dtype, read)


class StoredModel(NamedTuple):
    """A biLM on disk. Arrays are read when they are asked for, with `np.asarray`.

    Attributes:
        config: Sizes and switches.
        tensors: Parameters by the names that they have in `BiLM`.
        moments: Adagrad's accumulators, by the parameter's name and `.moment_0`.
        vocabulary: None where not known.
        segmentation: How the training text was segmented; None where not known.
        mixes: A layer mix that came with the model, or None.
    """

    config: BiLMConfig
    tensors: Mapping[str, np.ndarray]
    moments: Mapping[str, np.ndarray] = {}
    vocabulary: Optional[Vocabulary] = None
    segmentation: Optional[dict] = None
    mixes: Optional[Mixes] = None


def parameter_shapes(config: BiLMConfig, softmax: bool = True) -> Dict[str, Tuple[int, ...]]:
    """Return the shape of each parameter of a `BiLM` of this configuration, by its name.

    Args:
        config: Sizes and switches.
        softmax: Whether it has one.
    """
    size, cell, vocab = config.projection_size, config.cell_size, config.vocab_size
    shapes = dict(_token_shapes(config))
    for direction in ("forward", "backward")[: config.num_directions]:
        for layer in range(config.num_layers):
            stem = f"{direction}_layers.{layer}"
            shapes[f"{stem}.input_weight"] = (size, 4 * cell)
            shapes[f"{stem}.recurrent_weight"] = (size, 4 * cell)
            shapes[f"{stem}.bias"] = (4 * cell,)
            shapes[f"{stem}.projection_weight"] = (cell, size)
    separate = config.bidirectional and not config.share_softmax
    for name in SOFTMAXES[: 1 + separate] if softmax else ():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (vocab, size), (vocab,)
    return shapes


def _token_shapes(config) -> Iterator[Tuple[str, Tuple[int, ...]]]:
    size, options = config.projection_size, config.char_cnn
    if options is None:
        yield "embedding.weight", (config.vocab_size, size)
        return
    stem, characters = "character_encoder.", options["embedding"]["dim"]
    num_filters = sum(number for _, number in options["filters"])
    yield stem + "embedding.weight", (NUM_CHARACTERS, characters)
    for k, (width, number) in enumerate(options["filters"]):
        yield f"{stem}filter_{k}_weight", (width * characters, number)
        yield f"{stem}filter_{k}_bias", (number,)
    for k in range(options.get("n_highway") or 0):
        for part in ("transform", "carry"):
            yield f"{stem}highway_{k}_{part}_weight", (num_filters, num_filters)
            yield f"{stem}highway_{k}_{part}_bias", (num_filters,)
    if num_filters != size:
        yield stem + "projection_weight", (num_filters, size)
        yield stem + "projection_bias", (size,)


def check_model(model: StoredModel, source: str) -> StoredModel:
    """Return the model if its tensors are those of its configuration.

    A softmax may be missing, as a whole; moments may be missing, as a whole.

    Raises:
        InputError: Tensors are missing, not expected, of another shape or not of type float32
            or float16; all are listed.
    """
    has_softmax = any(name.startswith("softmax.") for name in model.tensors)
    expected = parameter_shapes(model.config, has_softmax)
    found = {name: tuple(array.shape) for name, array in model.tensors.items()}
    problems = _differences(expected, found)
    if model.moments:
        expected = {name + MOMENT: shape for name, shape in expected.items()}
        found = {name: tuple(array.shape) for name, array in model.moments.items()}
        problems += _differences(expected, found)
    for name, array in sorted({**model.tensors, **model.moments}.items()):
        if array.dtype not in (np.float32, np.float16):
            problems.append(f"{name} is {array.dtype}, expected float32 or float16")
    for weights, gamma in model.mixes.parameters if model.mixes else ():
        if weights.shape != (model.config.num_layers + 1,) or gamma.shape != (1,):
            problems.append(f"a layer mix of shapes {weights.shape} and {gamma.shape}")
    if problems:
        raise InputError(f"{source}: " + "; ".join(problems))
    return model


def _differences(expected, found):
    def text(shape):
        return "x".join(map(str, shape)) or "scalar"

    missing, unexpected = {*expected} - {*found}, {*found} - {*expected}
    problems = [f"missing {name} {text(expected[name])}" for name in sorted(missing)]
    problems += [f"unexpected {name} {text(found[name])}" for name in sorted(unexpected)]
    return problems + [
        f"{name} has shape {text(found[name])}, expected {text(expected[name])}"
        for name in sorted({*expected} & {*found})
        if tuple(expected[name]) != tuple(found[name])
    ]
