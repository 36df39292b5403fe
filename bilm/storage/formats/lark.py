"""LARK's checkpoints: a folder of one tensor a file, a combined file, or an `.npz`.

    ours                                  LARK's
    embedding.weight (V, P)               embedding_para
    softmax.weight (V, P), .bias (V,)     softmax_weight, softmax_bias
    forward_layers.{l}.input_weight       fw_layer{l + 1}_gate_w (P, 4D)
    ... .recurrent_weight                 lstmp_{n}.w_0 (P, 4D)
    ... .projection_weight                lstmp_{n}.w_1 (D, P)
    ... .bias (4D,)                       lstmp_{n}.b_0 (1, 4D)
    <parameter>.moment_0                  <variable>_moment_0

with n = direction * layers + l, and bw for the backward direction. The gates are in the same
order (c, i, f, o) and the forget bias is whole in both, so that only the bias changes its
shape. ELMo_w and ELMo_gamma are a layer mix; what LARK leaves behind, such as
`concat_1.tmp_0`, is never read.
"""

import math
import re
import zipfile
from itertools import product
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.config import BiLMConfig
from bilm.network.mixes import Mixes
from bilm.storage.formats.lod_tensor import (
    read_tensor,
    read_tensors,
    starts_like_tensor,
    write_tensor,
)
from bilm.storage.formats.tables import AS_ROW, Entry, from_format, rename, simple, to_format
from bilm.storage.stored_model import MOMENT, Located, StoredModel
from bilm.storage.tensors import LazyArray

FORMATS = ("lark", "lark-combined", "lark-npz")  # folder, combined file, archive
EMBEDDING = "embedding_para"
MIX_WEIGHTS, MIX_GAMMA = "ELMo_w", "ELMo_gamma"
MOMENT_SUFFIX = "_moment_0"
COMBINED_FILES, ARCHIVE_FILE = ("params", "__params__"), "params.npz"
_FIRST_GATES = "fw_layer1_gate_w"
_BILM_NAME = re.compile(
    r"embedding_para|softmax_(weight|bias)|[fb]w_layer\d+_gate_w|lstmp_\d+\.(w_0|w_1|b_0)"
)
_LISTED = 60  # records in a message
MAX_LAYERS = 8  # tried when the records of a combined file are named


def table(num_layers: int, num_directions: int = 2) -> List[Entry]:
    """Return the table of a biLM's parameters and LARK's variables."""
    entries = [
        simple("embedding.weight", EMBEDDING),
        simple("softmax.weight", "softmax_weight"),
        simple("softmax.bias", "softmax_bias"),
    ]
    for direction, layer in product(range(num_directions), range(num_layers)):
        ours = f"{('forward', 'backward')[direction]}_layers.{layer}"
        theirs = f"lstmp_{direction * num_layers + layer}"
        entries += [
            simple(f"{ours}.input_weight", f"{('fw', 'bw')[direction]}_layer{layer + 1}_gate_w"),
            simple(f"{ours}.recurrent_weight", f"{theirs}.w_0"),
            simple(f"{ours}.projection_weight", f"{theirs}.w_1"),
            simple(f"{ours}.bias", f"{theirs}.b_0", AS_ROW),
        ]
    return entries


def moment_table(entries: Iterable[Entry]) -> List[Entry]:
    """Return the table of Adagrad's accumulators of the parameters in `entries`."""
    return [
        rename(entry, lambda name: name + MOMENT, lambda name: name + MOMENT_SUFFIX)
        for entry in entries
    ]


def variable_names(num_layers: int, num_directions: int = 2) -> Dict[str, str]:
    """Return LARK's name of each parameter by ours."""
    return {entry.ours[0]: entry.theirs[0] for entry in table(num_layers, num_directions)}


def is_bilm_parameter(name: str) -> bool:
    """Return whether a variable of this name is a parameter of a biLM."""
    return _BILM_NAME.fullmatch(name) is not None


def find(path: Path) -> Optional[Located]:
    """Return the LARK checkpoint at `path`, or None where there is none.

    It is a folder with one file a variable, a combined file or `.npz`, or a folder that holds
    one of these as `params` or `params.npz`.
    """
    if any((path / name).is_file() for name in (EMBEDDING, _FIRST_GATES)):
        return Located("lark", path, path)
    names = (*COMBINED_FILES, ARCHIVE_FILE)
    for file in [path / name for name in names] if path.is_dir() else [path]:
        kind = _kind_of(file) if file.is_file() else None
        if kind:
            return Located(kind, path, file)
    return None


def _kind_of(file):
    if file.suffix == ".npz":
        return "lark-npz"
    if starts_like_tensor(file):
        return "lark-combined"
    return "lark-npz" if _is_archive_of_arrays(file) else None


def _is_archive_of_arrays(path):
    """Return whether a file is an archive of arrays; PyTorch's files are archives of others."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except Exception:  # whatever a damaged archive, or another file, raises
        return False


def read_variables(
    located: Located, wanted: Optional[Iterable[str]] = None
) -> Dict[str, LazyArray]:
    """Return a LARK checkpoint's arrays by LARK's names.

    Args:
        located: What `find` returned.
        wanted: Read these where they are there; None: those of a biLM, its moments and a mix.

    Raises:
        InputError: A file is damaged, or the records of a combined file are not those of a
            known set of variables.
    """
    chosen = _is_model_variable if wanted is None else set(wanted).__contains__
    if located.format == "lark":
        return _read_folder(located.path, chosen)
    if located.format == "lark-npz":
        return _read_npz(located.weights, chosen)
    arrays = read_tensors(located.weights)
    names = name_records([array.shape for array in arrays], str(located.weights))
    return {name: array for name, array in zip(names, arrays) if chosen(name)}


def _read_folder(folder, chosen):
    files = sorted(file for file in folder.iterdir() if chosen(file.name))
    links = [file.name for file in files if file.is_symlink()]
    if links:
        raise InputError(f"{folder}: {links[0]} is a link; only files in the folder are read")
    return {file.name: read_tensor(file) for file in files if file.is_file()}


def _is_model_variable(name):
    is_mix = name in (MIX_WEIGHTS, MIX_GAMMA)
    return is_mix or is_bilm_parameter(name.removesuffix(MOMENT_SUFFIX))


def _read_npz(path, chosen):
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename[: -len(".npy")]: info for info in archive.infolist()
                       if info.filename.endswith(".npy")}
            return {name: _archived(path, archive, members[name])
                    for name in sorted(members) if chosen(name)}
    except Exception as error:  # whatever a damaged archive raises
        raise _not_an_archive(path, error) from None


def _archived(path, archive, info):
    """Return an array of an archive, which is read when it is asked for."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{info.filename} has version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or file.tell() + size != info.file_size:
            raise ValueError(f"{info.filename} is no array of {size} bytes")

    def read():
        try:
            with zipfile.ZipFile(path) as archive, archive.open(info) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # whatever a damaged archive raises
            raise _not_an_archive(path, error) from None

    return LazyArray(shape, dtype, read)


def _not_an_archive(path, error):
    return InputError(f"{path}: not a readable .npz file of arrays: {error}")


def name_records(shapes: List[tuple], source: str) -> List[str]:
    """Return the names of a combined file's records, which stand in the order of their names.

    Known are the variables of a biLM of up to 8 layers, with or without softmax, layer mix
    and Adagrad moments.

    Raises:
        InputError: The number and shapes of the records fit none of these; both are listed.
    """
    candidates = []
    flags = product(range(1, MAX_LAYERS + 1), (2, 1), (True, False), (False, True), (False, True))
    for num_layers, num_directions, has_softmax, has_mix, has_moments in flags:
        symbols = _symbolic_shapes(num_layers, num_directions, has_softmax, has_mix, has_moments)
        names = sorted(symbols)
        if _fits(shapes, [symbols[name] for name in names]):
            return names
        candidates.append((abs(len(names) - len(shapes)), names, symbols))
    _, names, symbols = min(candidates, key=lambda candidate: candidate[0])
    records = ", ".join("x".join(map(str, shape)) for shape in shapes[:_LISTED])
    records += f" and {len(shapes) - _LISTED} more" if len(shapes) > _LISTED else ""
    expected = ", ".join(f"{name} {'x'.join(map(str, symbols[name]))}" for name in names)
    raise InputError(
        f"{source}: a combined file has no names, and its {len(shapes)} records ({records}) are "
        f"not those of a biLM; nearest known set, {len(names)} records: {expected}"
    )


def _symbolic_shapes(num_layers, num_directions, has_softmax, has_mix, has_moments):
    shape_of = {
        "embedding.weight": ("V", "P"), "softmax.weight": ("V", "P"), "softmax.bias": ("V",),
        "input_weight": ("P", "4D"), "recurrent_weight": ("P", "4D"),
        "projection_weight": ("D", "P"), "bias": (1, "4D"),
    }
    shapes = {
        theirs: shape_of.get(ours) or shape_of[ours.split(".")[-1]]
        for ours, theirs in variable_names(num_layers, num_directions).items()
        if has_softmax or not ours.startswith("softmax.")
    }
    if has_moments:
        shapes.update({name + MOMENT_SUFFIX: shape for name, shape in [*shapes.items()]})
    if has_mix:
        shapes.update({MIX_WEIGHTS: (num_layers + 1,), MIX_GAMMA: (1,)})
    return shapes


def _fits(shapes, symbols):
    if [len(shape) for shape in shapes] != [len(shape) for shape in symbols]:
        return False
    sizes: Dict[str, int] = {}
    for shape, letters in zip(shapes, symbols):
        for size, letter in zip(shape, letters):
            known = letter if isinstance(letter, int) else sizes.setdefault(letter, size)
            if size != known:
                return False
    return sizes["4D"] == 4 * sizes["D"]


def infer_config(variables: Mapping[str, Any], source: str, **settings: Any) -> BiLMConfig:
    """Return the configuration that follows from the shapes of LARK's variables; clips are LARK's.

    Args:
        variables: Arrays by LARK's names.
        source: Where they come from, for messages.
        **settings: Fields of the configuration other than sizes, such as clips.

    Raises:
        InputError: Variables that a biLM needs are missing; all are listed.
    """
    num_layers = sum(re.fullmatch(r"fw_layer\d+_gate_w", name) is not None for name in variables)
    bidirectional = any(name.startswith("bw_layer") for name in variables)
    _check_complete(variables, max(1, num_layers), 1 + bidirectional, source)
    for name in (EMBEDDING, "lstmp_0.w_1"):
        if len(variables[name].shape) != 2:
            raise InputError(f"{source}: {name} must be a matrix, not {variables[name].shape}")
    sizes = variables[EMBEDDING].shape
    return BiLMConfig(
        vocab_size=sizes[0],
        projection_size=sizes[1],
        cell_size=variables["lstmp_0.w_1"].shape[0],
        num_layers=num_layers,
        bidirectional=bidirectional,
        **settings,
    )


def _check_complete(variables, num_layers, num_directions, source):
    needed = {name for name in variable_names(num_layers, num_directions).values()
              if not name.startswith("softmax")}
    missing = sorted(needed - {*variables})
    if missing:
        raise InputError(f"{source}: an incomplete LARK model: missing {', '.join(missing)}")


def read_model(
    located: Located, config: Optional[BiLMConfig], moments: bool, **settings: Any
) -> StoredModel:
    """Return the biLM of a LARK checkpoint.

    Args:
        located: What `find` returned.
        config: Its configuration where known; None: `infer_config` with `settings`.
        moments: Whether to read Adagrad's moments.
        **settings: Fields of `BiLMConfig` other than sizes, such as cell_clip.

    Raises:
        InputError: As `read_variables` and `infer_config`.
    """
    source = str(located.path)
    variables = read_variables(located)
    config = config or infer_config(variables, source, **settings)
    _check_complete(variables, config.num_layers, config.num_directions, source)
    if "softmax_weight" not in variables:  # moments of a softmax that is not there mean nothing
        for name in ("softmax_weight", "softmax_bias"):
            variables.pop(name + MOMENT_SUFFIX, None)
    entries = table(config.num_layers, config.num_directions)
    mix = {name: variables.pop(name) for name in (MIX_WEIGHTS, MIX_GAMMA) if name in variables}
    accumulators = {name: variables.pop(name) for name in sorted(variables)
                    if name.endswith(MOMENT_SUFFIX)}
    return StoredModel(
        config,
        from_format(entries, variables, source),
        from_format(moment_table(entries), accumulators, source) if moments else {},
        mixes=mixes_of(mix) if len(mix) == 2 else None,
    )


def mixes_of(variables: Mapping[str, Any]) -> Mixes:
    """Return the layer mix in LARK's variables."""
    weights, gamma = (np.array(variables[name], np.float32).reshape(-1)
                      for name in (MIX_WEIGHTS, MIX_GAMMA))
    return Mixes("lark", False, [(weights, gamma)])


def variables_of(model: StoredModel) -> Iterator[Tuple[str, np.ndarray]]:
    """Yield LARK's names and arrays of a model, one at a time, in the order of the names."""
    entries = table(model.config.num_layers, model.config.num_directions)
    entries += moment_table(entries)
    tensors = {**model.tensors, **model.moments}
    if model.mixes is not None and len(model.mixes.parameters) == 1:
        for name, array in zip((MIX_WEIGHTS, MIX_GAMMA), model.mixes.parameters[0]):
            entries.append(simple(name, name))
            tensors[name] = np.asarray(array, np.float32)
    yield from to_format(sorted(entries, key=lambda entry: entry.theirs), tensors)


def write_folder(
    folder: PathLike, model: StoredModel, progress: Callable[[int], object]
) -> None:
    """Write one file a variable; `progress` is called with the bytes of each tensor."""
    for name, array in variables_of(model):
        with open(Path(folder) / name, "wb") as file:
            write_tensor(file, array)
        progress(array.nbytes)


def write_combined(
    folder: PathLike, model: StoredModel, progress: Callable[[int], object]
) -> None:
    """Write all variables to one file, in the order of their names, without the names."""
    with open(Path(folder) / COMBINED_FILES[0], "wb") as file:
        for _, array in variables_of(model):
            write_tensor(file, array)
            progress(array.nbytes)


def write_npz(
    folder: PathLike, model: StoredModel, progress: Callable[[int], object]
) -> None:
    """Write all variables to an `.npz`, without compression."""
    with zipfile.ZipFile(Path(folder) / ARCHIVE_FILE, "w", zipfile.ZIP_STORED) as archive:
        for name, array in variables_of(model):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
            progress(array.nbytes)
