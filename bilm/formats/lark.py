"""LARK's checkpoints: a folder of one tensor a file, a combined file, or an `.npz`.

    ours                                  LARK's
    embedding.weight (V, P)               embedding_para
    softmax.weight (V, P), .bias (V,)     softmax_weight, softmax_bias
    forward_layers.{l}.input_weight       fw_layer{l + 1}_gate_w (P, 4D)
    ... .recurrent_weight                 lstmp_{n}.w_0 (P, 4D)
    ... .projection_weight                lstmp_{n}.w_1 (D, P)
    ... .bias (4D,)                       lstmp_{n}.b_0 (1, 4D)

with n = direction * layers + l, and bw for the backward direction. The gates are in the same
order and the forget bias is whole in both, so that only the bias changes its shape. Other
variables of a LARK model (ELMo_w and ELMo_gamma of the layer mix, Adagrad's moments) and what
LARK leaves behind (`concat_1.tmp_0`) are no part of the biLM.
"""

import re
import zipfile
from itertools import product
from pathlib import Path
from typing import Dict, Iterable, List, Optional

import numpy as np

from bilm.config import BiLMConfig
from bilm.errors import InputError
from bilm.formats.lod_tensor import read_tensor, read_tensors, starts_like_tensor

EMBEDDING = "embedding_para"
MIX_WEIGHTS, MIX_GAMMA = "ELMo_w", "ELMo_gamma"
MOMENT_SUFFIX = "_moment_0"
_SOFTMAX = {"softmax.weight": "softmax_weight", "softmax.bias": "softmax_bias"}
_BILM_NAME = re.compile(
    r"embedding_para|softmax_(weight|bias)|[fb]w_layer\d+_gate_w|lstmp_\d+\.(w_0|w_1|b_0)"
)
_MAX_LAYERS = 8  # tried when the records of a combined file are named


def variable_names(num_layers: int, num_directions: int, has_softmax: bool) -> Dict[str, str]:
    """Return LARK's name of each parameter by ours."""
    names = {"embedding.weight": EMBEDDING, **(_SOFTMAX if has_softmax else {})}
    for direction, layer in product(range(num_directions), range(num_layers)):
        stem = f"{('forward', 'backward')[direction]}_layers.{layer}"
        number = direction * num_layers + layer
        names[f"{stem}.input_weight"] = f"{('fw', 'bw')[direction]}_layer{layer + 1}_gate_w"
        names[f"{stem}.recurrent_weight"] = f"lstmp_{number}.w_0"
        names[f"{stem}.projection_weight"] = f"lstmp_{number}.w_1"
        names[f"{stem}.bias"] = f"lstmp_{number}.b_0"
    return names


def is_lark(path) -> bool:
    """Return whether `path` looks like a LARK folder, combined file or `.npz`."""
    path = Path(path)
    if path.is_dir():
        return (path / EMBEDDING).is_file()
    return path.is_file() and (zipfile.is_zipfile(path) or starts_like_tensor(path))


def read_variables(path, wanted: Optional[Iterable[str]] = None) -> Dict[str, np.ndarray]:
    """Return a LARK checkpoint's arrays by LARK's names.

    Args:
        path: Folder, combined file or `.npz`.
        wanted: Read these where they are there; None: those of a biLM and of a layer mix.

    Raises:
        InputError: A file is damaged, or the records of a combined file are not those of a
            known set of variables.
    """
    path = Path(path)
    chosen = _is_model_variable if wanted is None else set(wanted).__contains__
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if chosen(file.name) and file.is_file())
        return {file.name: read_tensor(file) for file in files}
    if zipfile.is_zipfile(path):
        return _read_npz(path, chosen)
    arrays = read_tensors(path)
    names = name_records([array.shape for array in arrays], str(path))
    return {name: array for name, array in zip(names, arrays) if chosen(name)}


def is_bilm_parameter(name: str) -> bool:
    """Return whether a variable of this name is a parameter of a biLM."""
    return _BILM_NAME.fullmatch(name) is not None


def _is_model_variable(name):
    return is_bilm_parameter(name) or name in (MIX_WEIGHTS, MIX_GAMMA)


def _read_npz(path, chosen):
    try:
        with np.load(path, allow_pickle=False) as values:
            return {name: values[name] for name in sorted(values.files) if chosen(name)}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable .npz file of arrays: {error}") from None


def name_records(shapes: List[tuple], source: str) -> List[str]:
    """Return the names of a combined file's records, which stand in the order of their names.

    Known are the variables of a biLM of up to 8 layers, with or without softmax, layer mix
    and Adagrad moments.

    Raises:
        InputError: The number and shapes of the records fit none of these; both are listed.
    """
    candidates = []
    flags = product(range(1, _MAX_LAYERS + 1), (True, False), (False, True), (False, True))
    for num_layers, has_softmax, has_mix, has_moments in flags:
        symbols = _symbolic_shapes(num_layers, has_softmax, has_mix, has_moments)
        names = sorted(symbols)
        if _fits(shapes, [symbols[name] for name in names]):
            return names
        candidates.append((abs(len(names) - len(shapes)), names, symbols))
    _, names, symbols = min(candidates, key=lambda candidate: candidate[0])
    found = ", ".join("x".join(map(str, shape)) for shape in shapes)
    expected = ", ".join(f"{name} {'x'.join(map(str, symbols[name]))}" for name in names)
    raise InputError(
        f"{source}: a combined file has no names, and its {len(shapes)} records ({found}) are not "
        f"those of a biLM; nearest known set, {len(names)} records: {expected}"
    )


def _symbolic_shapes(num_layers, has_softmax, has_mix, has_moments):
    shape_of = {
        "embedding.weight": ("V", "P"), "softmax.weight": ("V", "P"), "softmax.bias": ("V",),
        "input_weight": ("P", "4D"), "recurrent_weight": ("P", "4D"),
        "projection_weight": ("D", "P"), "bias": (1, "4D"),
    }
    names = variable_names(num_layers, 2, has_softmax)
    shapes = {
        theirs: shape_of.get(ours) or shape_of[ours.split(".")[-1]]
        for ours, theirs in names.items()
    }
    if has_moments:
        shapes.update({name + MOMENT_SUFFIX: shape for name, shape in [*shapes.items()]})
    if has_mix:
        shapes.update({MIX_WEIGHTS: (num_layers + 1,), MIX_GAMMA: (1,)})
    return shapes


def _fits(shapes, symbols):
    if [len(shape) for shape in shapes] != [len(shape) for shape in symbols]:
        return False
    sizes = {}
    for shape, letters in zip(shapes, symbols):
        for size, letter in zip(shape, letters):
            known = letter if isinstance(letter, int) else sizes.setdefault(letter, size)
            if size != known:
                return False
    return sizes["4D"] == 4 * sizes["D"]


def infer_config(variables: Dict[str, np.ndarray], source: str) -> BiLMConfig:
    """Return the configuration that the shapes of LARK's variables tell; clips are LARK's.

    Raises:
        InputError: Variables that a biLM needs are missing; all are listed.
    """
    layers = [name for name in variables if re.fullmatch(r"fw_layer\d+_gate_w", name)]
    bidirectional = any(name.startswith("bw_layer") for name in variables)
    names = variable_names(max(1, len(layers)), 1 + bidirectional, has_softmax=False)
    missing = sorted(set(names.values()) - set(variables))
    if missing:
        raise InputError(f"{source}: an incomplete LARK model: missing {', '.join(missing)}")
    cell_size = variables["lstmp_0.w_1"].shape[0]
    vocab_size, projection_size = variables[EMBEDDING].shape
    return BiLMConfig(
        vocab_size=vocab_size,
        projection_size=projection_size,
        cell_size=cell_size,
        num_layers=len(layers),
        bidirectional=bidirectional,
    )


def from_lark(variables: Dict[str, np.ndarray], config: BiLMConfig) -> Dict[str, np.ndarray]:
    """Return the biLM's weights by our names; without softmax where LARK's is incomplete."""
    has_softmax = all(name in variables for name in _SOFTMAX.values())
    names = variable_names(config.num_layers, config.num_directions, has_softmax)
    return {ours: flat_bias(theirs, variables[theirs]) for ours, theirs in names.items()}


def flat_bias(name: str, array: np.ndarray) -> np.ndarray:
    """Return LARK's variable in our shape: (4D,) instead of (1, 4D) for an LSTM's bias."""
    is_row = re.fullmatch(r"lstmp_\d+\.b_0", name) and array.ndim == 2 and len(array) == 1
    return array[0] if is_row else array
