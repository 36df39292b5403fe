"""A biLM on disk: its place, and its content under this project's names."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from bilm.errors import InputError
from bilm.network.config import BiLMConfig
from bilm.network.mixes import Mixes
from bilm.storage.tensors import differences, shapes_of
from bilm.text.characters import NUM_CHARACTERS
from bilm.text.vocabulary import Vocabulary

MOMENT = ".moment_0"  # ends the name of a parameter's Adagrad accumulator
SOFTMAXES = ("softmax", "backward_softmax")


class Located(NamedTuple):
    """Where a biLM is, and in which format; see `bilm.storage.formats.known.locate`.

    Attributes:
        format: One of `bilm.storage.formats.known.FORMATS`.
        path: Its folder, or its file of weights.
        weights: Its file of weights; the folder, where every variable has a file.
        tensors: The tensors in that file by name, where only their names tell the format, so that
            a file that was opened to be recognised need not be opened again.
    """

    format: str
    path: Path
    weights: Path
    tensors: Mapping[str, Any] = {}

    @property
    def is_folder(self) -> bool:
        """Whether `path` is a folder: what stands in it belongs to this model."""
        return self.path.is_dir()

    @property
    def folder(self) -> Path:
        """The folder that the file of weights is in."""
        return self.path if self.is_folder else self.path.parent


class StoredModel(NamedTuple):
    """A biLM on disk. Arrays are read when they are asked for, with `np.asarray`.

    Attributes:
        config: Sizes and switches.
        tensors: Parameters by the names that they have in `BiLM`.
        moments: Adagrad's accumulators, by the parameter's name and `.moment_0`.
        vocabulary: None where not known.
        segmentation: How the training text was segmented; None where not known.
        mixes: A layer mix that came with the model, or None.
        training: The training state, from which a run is resumed: JSON objects, and dictionaries
            of arrays, by the names of their files.
    """

    config: BiLMConfig
    tensors: Mapping[str, Any]
    moments: Mapping[str, Any] = {}
    vocabulary: Optional[Vocabulary] = None
    segmentation: Optional[dict] = None
    mixes: Optional[Mixes] = None
    training: Mapping[str, dict] = {}

    @property
    def has_softmax(self) -> bool:
        """Whether it can predict words."""
        return "softmax.weight" in self.tensors


def config_for(config: BiLMConfig, vocabulary: Vocabulary) -> BiLMConfig:
    """Return a configuration with the size of a vocabulary, and its ids of special tokens."""
    ids = {name: getattr(vocabulary, name) for name in ("bos_id", "eos_id", "unk_id")}
    return replace(config, vocab_size=len(vocabulary), **ids)


def parameter_shapes(config: BiLMConfig, softmax: bool = True) -> Dict[str, Tuple[int, ...]]:
    """Return the shape of each parameter of a `BiLM`, by its name, with or without a softmax."""
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
    problems = differences(expected, shapes_of(model.tensors))
    if model.moments:
        expected = {name + MOMENT: shape for name, shape in expected.items()}
        problems += differences(expected, shapes_of(model.moments))
    for name, array in sorted({**model.tensors, **model.moments}.items()):
        if array.dtype not in (np.float32, np.float16):
            problems.append(f"{name} is {array.dtype}, expected float32 or float16")
    for weights, gamma in model.mixes.parameters if model.mixes else ():
        if weights.shape != (model.config.num_layers + 1,) or gamma.shape != (1,):
            problems.append(f"a layer mix of shapes {weights.shape} and {gamma.shape}")
    if problems:
        raise InputError(f"{source}: " + "; ".join(problems))
    return model
