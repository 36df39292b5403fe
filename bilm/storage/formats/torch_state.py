"""PyTorch state_dicts: AllenNLP's names, and those of torch.nn.LSTM.

AllenNLP's `ElmoLstm` (format "torch"), gates i, f, c, o along the first axis, forget bias whole:

    ours                                      theirs
    forward_layers.{l}.input_weight (P, 4D)   forward_layer_{l}.input_linearity.weight (4D, P)
    ... .recurrent_weight (P, 4D)             ... .state_linearity.weight (4D, P)
    ... .bias (4D,)                           ... .state_linearity.bias (4D,)
    ... .projection_weight (D, P)             ... .state_projection.weight (P, D)

`torch.nn.LSTM` with proj_size (format "torch-lstm"), one single-layer LSTM a direction and layer,
gates i, f, g = c, o:

    ... .input_weight                         forward.{l}.weight_ih_l0 (4D, P)
    ... .recurrent_weight                     forward.{l}.weight_hh_l0 (4D, P)
    ... .bias                                 forward.{l}.bias_ih_l0 + forward.{l}.bias_hh_l0
    ... .projection_weight                    forward.{l}.weight_hr_l0 (P, D)

Everything else has our names. A folder holds model.safetensors, config.json and, if there are any,
moments.safetensors. Read are also a single .safetensors file, and PyTorch's own `.pt` files,
with `weights_only=True`.
"""

import re
from itertools import product
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.config import BiLMConfig
from bilm.storage.formats.tables import (
    TRANSPOSED,
    Entry,
    Transform,
    from_format,
    gates,
    rename,
    simple,
    to_format,
)
from bilm.storage.safetensors_file import new_safetensors, read_safetensors
from bilm.storage.stored_model import MOMENT, Located, StoredModel, parameter_shapes

WEIGHTS_FILE, MOMENTS_FILE = "model.safetensors", "moments.safetensors"
_LSTM_PART = re.compile(r"(forward|backward)_layers\.")
_PICKLED = (".pt", ".pth", ".bin")


def table(config: BiLMConfig) -> List[Entry]:
    """Return the table of our parameters and AllenNLP's names."""
    return [*_others(config), *_layers(config, _allennlp_layer)]


def torch_lstm_table(config: BiLMConfig) -> List[Entry]:
    """Return the table of our parameters and the names of torch.nn.LSTM."""
    return [*_others(config), *_layers(config, _torch_lstm_layer)]


def _others(config):
    return [simple(name, name) for name in parameter_shapes(config) if not _LSTM_PART.match(name)]


def _layers(config, layer_entries):
    entries = []
    directions = ("forward", "backward")[: config.num_directions]
    for direction, layer in product(directions, range(config.num_layers)):
        entries += layer_entries(f"{direction}_layers.{layer}", direction, layer)
    return entries


def _allennlp_layer(ours, direction, layer):
    theirs, turned = f"{direction}_layer_{layer}", gates("ifco", transposed=True)
    return [
        simple(f"{ours}.input_weight", f"{theirs}.input_linearity.weight", turned),
        simple(f"{ours}.recurrent_weight", f"{theirs}.state_linearity.weight", turned),
        simple(f"{ours}.bias", f"{theirs}.state_linearity.bias", gates("ifco")),
        simple(f"{ours}.projection_weight", f"{theirs}.state_projection.weight", TRANSPOSED),
    ]


def _torch_lstm_layer(ours, direction, layer):
    theirs, turned, one = f"{direction}.{layer}", gates("ifco", transposed=True), gates("ifco")
    halves = Transform(
        # x + -0.0 is x for every x, -0.0 included
        lambda arrays: [one.to(arrays)[0], np.full_like(arrays[0], -0.0)],
        lambda arrays: one.back([_sum_of_biases(*arrays)]),
    )
    return [
        simple(f"{ours}.input_weight", f"{theirs}.weight_ih_l0", turned),
        simple(f"{ours}.recurrent_weight", f"{theirs}.weight_hh_l0", turned),
        Entry((f"{ours}.bias",), (f"{theirs}.bias_ih_l0", f"{theirs}.bias_hh_l0"), halves),
        simple(f"{ours}.projection_weight", f"{theirs}.weight_hr_l0", TRANSPOSED),
    ]


def _sum_of_biases(first, second):
    if first.shape != second.shape or first.dtype != second.dtype:
        raise InputError(f"biases of {first.dtype} {first.shape} and {second.dtype} {second.shape}")
    return first + second


def find_file(path: Path) -> Optional[Path]:
    """Return the file of weights that `path` is or holds, or None.

    Raises:
        InputError: A folder holds several pickled ones, and none with the name that we give.
    """
    if path.is_dir():
        if (path / WEIGHTS_FILE).is_file():
            return path / WEIGHTS_FILE
        files = sorted(file for file in path.iterdir() if file.suffix in _PICKLED)
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise InputError(f"{path}: several weight files ({names}): name one of them")
        return files[0] if files else None
    is_weights = path.is_file() and path.suffix in (".safetensors", *_PICKLED)
    return path if is_weights else None


def read_tensors(file: Path) -> Mapping[str, Any]:
    """Return the tensors of a file by their names in it.

    Arrays of a safetensors file are read when they are asked for.

    Raises:
        InputError: The file is damaged, or pickles something else than tensors.
    """
    if file.suffix not in _PICKLED:
        return read_safetensors(file)
    return _read_pickled(file)


def _read_pickled(file) -> Dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{file}: PyTorch is needed to read this file: pip install torch, or save it as "
            "safetensors where it is installed"
        ) from None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file makes torch raise
        raise InputError(
            f"{file}: damaged, or holds more than tensors, which would mean running its code "
            f"({type(error).__name__}); save the state_dict() of the model alone"
        ) from None
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise InputError(f"{file}: expected named tensors; save the state_dict() of the model")
    types = {tensor.dtype for tensor in state.values()} - {torch.float32, torch.float16}
    if types:
        raise InputError(
            f"{file}: has tensors of {', '.join(sorted(map(str, types)))}; save them as float32"
        )
    try:
        return {str(name): tensor.detach().numpy() for name, tensor in state.items()}
    except (TypeError, RuntimeError) as error:  # tensors without values of their own
        raise InputError(f"{file}: {error}") from None


def is_torch_lstm(names: Iterable[str]) -> bool:
    """Return whether tensors of these names are those of torch.nn.LSTM."""
    return any(name.endswith("weight_hr_l0") for name in names)


def is_allennlp(names: Iterable[str]) -> bool:
    """Return whether tensors of these names are those of AllenNLP's ElmoLstm."""
    return any(name.endswith("state_linearity.weight") for name in names)


def read_model(
    located: Located, config: Optional[BiLMConfig], moments: bool, **settings: Any
) -> StoredModel:
    """Return the biLM in a file of tensors.

    Args:
        located: The file, and its tensors.
        config: Its configuration where known; None: sizes are taken from the shapes, and
            other fields, such as clips, from `settings`.
        moments: Whether to read Adagrad's moments, which a folder may hold.
        **settings: Fields of `BiLMConfig`.

    Raises:
        InputError: Tensors are missing, or a file is damaged.
    """
    source, tensors = str(located.weights), located.tensors
    config = config or _infer_config(tensors, source, **settings)
    entries = (torch_lstm_table if is_torch_lstm(tensors) else table)(config)
    moments_file, accumulators = located.folder / MOMENTS_FILE, {}
    if moments and located.is_folder and moments_file.is_file():
        remembered = read_safetensors(moments_file)
        accumulators = from_format(_moments(entries), remembered, str(moments_file))
    return StoredModel(config, from_format(entries, tensors, source), accumulators)


def _moments(entries):
    return [rename(entry, lambda name: name + MOMENT, lambda name: name) for entry in entries]


def _infer_config(tensors, source, **settings) -> BiLMConfig:
    stem = "forward.{}.weight_hr_l0" if is_torch_lstm(tensors) else (
        "forward_layer_{}.state_projection.weight")
    num_layers = 0
    while stem.format(num_layers) in tensors:
        num_layers += 1
    if "forward_layers.0.bias" in tensors:
        raise InputError(f"{source}: needs config.json beside it")
    if not num_layers or "embedding.weight" not in tensors:
        raise InputError(
            f"{source}: needs embedding.weight and {stem.format(0)}; found "
            f"{', '.join(sorted(tensors)[:6])}, ..."
        )
    projection_size, cell_size = tensors[stem.format(0)].shape
    return BiLMConfig(
        vocab_size=tensors["embedding.weight"].shape[0],
        projection_size=projection_size,
        cell_size=cell_size,
        num_layers=num_layers,
        bidirectional=stem.format(0).replace("forward", "backward") in tensors,
        share_softmax="backward_softmax.weight" not in tensors,
        **settings,
    )


def write_allennlp(
    folder: PathLike, model: StoredModel, progress: Callable[[int], object]
) -> None:
    """Write model.safetensors and moments.safetensors with AllenNLP's names."""
    _write(folder, model, table(model.config), progress)


def write_torch_lstm(
    folder: PathLike, model: StoredModel, progress: Callable[[int], object]
) -> None:
    """Write model.safetensors with the names of torch.nn.LSTM; it cannot hold moments."""
    _write(folder, model._replace(moments={}), torch_lstm_table(model.config), progress)


def _write(folder, model, entries, progress):
    for file, entries_of, tensors in (
        (WEIGHTS_FILE, entries, model.tensors),
        (MOMENTS_FILE, _moments(entries), model.moments),
    ):
        if not tensors:
            continue
        names = [name for entry in entries_of for name in entry.theirs]
        with new_safetensors(Path(folder) / file, names) as write:
            for name, array in to_format(entries_of, tensors):
                write(name, array)
                progress(array.nbytes)
