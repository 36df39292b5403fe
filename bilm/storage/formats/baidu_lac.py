"""The models of Baidu's LAC 2: a folder of one tensor a file, or a combined file.

The taggers, of the modes lac and seg, have the variables of `lark_lac`, whose fc then begin at 0.
The ranker, of the mode rank, reads the words and the tags that the tagger gave them:

    ours (D: size of the LSTM)                     LAC's
    word_embedding.weight                          word_emb
    tag_embedding.weight                           embedding_1.w_0
    lstm.{direction}_direction.input_weight        fc_{k}.w_0, gates c, i, f, o
        (I, 4D)
    ... .input_bias (4D,)                          fc_{k}.b_0
    ... .recurrent_weight (D, 4D)                  lstm_{k}.w_0
    ... .bias (4D,), .peepholes (3, D)             lstm_{k}.b_0 (1, 7D): the bias, then what the
                                                       gates i, f, o see of the cell
    hidden.weight, hidden.bias                     fc_2.w_0, .b_0
    ranks.weight, ranks.bias                       fc_3.w_0, .b_0

with k = 0 forward, 1 backward.
"""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.storage.formats import lark, lark_lac
from bilm.storage.formats.lod_tensor import read_tensors, starts_like_tensor
from bilm.storage.formats.tables import Entry, Transform, from_format, simple
from bilm.storage.stored_model import Located
from bilm.storage.tensors import as_float32

_MAX_LAYERS = 8


class TaggerWeights(NamedTuple):
    """The parameters of a tagger.

    Attributes:
        weights: float32 arrays by our names.
        num_layers: BiGRU layers.
    """

    weights: Dict[str, np.ndarray]
    num_layers: int


def _split_bias(arrays):
    (packed,) = arrays
    if packed.ndim != 2 or packed.shape[0] != 1 or packed.shape[1] % 7:
        raise InputError(f"expected the bias of an LSTM with peepholes (1, 7D), found "
                         f"{packed.shape}")
    size = packed.shape[1] // 7
    return [packed[0, : 4 * size], packed[0, 4 * size :].reshape(3, size)]


def _join_bias(arrays):
    return [np.concatenate([array.reshape(-1) for array in arrays])[None]]


_BIAS = Transform(_join_bias, _split_bias)


def tagger_table(num_layers: int = 2) -> List[Entry]:
    """Return the table of a tagger's parameters.

    Args:
        num_layers: BiGRU layers.
    """
    return lark_lac.table(num_layers, first_fc=0)


def ranker_table() -> List[Entry]:
    """Return the table of the ranker's parameters."""
    entries = [
        simple("word_embedding.weight", "word_emb"),
        simple("tag_embedding.weight", "embedding_1.w_0"),
    ]
    for number, direction in enumerate(("forward", "backward")):
        ours = f"lstm.{direction}_direction"
        entries += [
            simple(f"{ours}.input_weight", f"fc_{number}.w_0"),
            simple(f"{ours}.input_bias", f"fc_{number}.b_0"),
            simple(f"{ours}.recurrent_weight", f"lstm_{number}.w_0"),
            Entry((f"{ours}.bias", f"{ours}.peepholes"), (f"lstm_{number}.b_0",), _BIAS),
        ]
    for ours, theirs in (("hidden", "fc_2"), ("ranks", "fc_3")):
        entries += [
            simple(f"{ours}.weight", f"{theirs}.w_0"), simple(f"{ours}.bias", f"{theirs}.b_0")
        ]
    return entries


def read_tagger(path: PathLike) -> TaggerWeights:
    """Return the parameters of a tagger of LAC, or of one with the same variables.

    Args:
        path: A folder of one file a variable, or with all of them in `__params__` or `params`;
            or such a combined file.

    Raises:
        InputError: There is no such model, or it is incomplete or damaged.
    """
    tables = [tagger_table(layers) for layers in range(1, _MAX_LAYERS + 1)]
    variables = _read_variables(path, tables)
    num_layers = sum(f"gru_{2 * layer}.w_0" in variables for layer in range(_MAX_LAYERS))
    return TaggerWeights(
        _weights_of(variables, tagger_table(max(1, num_layers)), "tagger", path), num_layers
    )


def read_ranker(path: PathLike) -> Dict[str, np.ndarray]:
    """Return the parameters of LAC's ranker by our names, float32.

    Args:
        path: As for `read_tagger`.

    Raises:
        InputError: There is no such model, or it is incomplete or damaged.
    """
    variables = _read_variables(path, [ranker_table()])
    return _weights_of(variables, ranker_table(), "ranker", path)


def _weights_of(variables, table, what, path):
    needed = _names(table)
    missing = [name for name in needed if name not in variables]
    if missing:
        raise InputError(f"{path}: no complete {what} of Baidu's LAC 2: missing "
                         f"{', '.join(missing)}")
    flat = [f"{name} {array.shape}" for name, array in sorted(variables.items())
            if not name.endswith(".b_0") and len(array.shape) != 2]
    if flat:
        raise InputError(f"{path}: expected matrices, found {', '.join(flat)}")
    return as_float32(from_format(table, variables, str(path)), str(path))


def _names(table: Sequence[Entry]) -> List[str]:
    """Return the names of a table's variables, in the order of a combined file."""
    return sorted(name for entry in table for name in entry.theirs)


def _read_variables(path: PathLike, tables: Sequence[List[Entry]]) -> Dict[str, Any]:
    """Return those variables of some tables that are there."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such folder; check the spelling")
    file = _combined_file(path)
    if file is not None:
        return _read_combined(file, tables)
    if not path.is_dir():
        raise InputError(f"{path}: no model of Baidu's LAC 2: expected a folder of one file a "
                         "variable, such as word_emb and fc_0.w_0")
    known = {name for table in tables for name in _names(table)}
    return lark.read_variables(Located("lark", path, path), known)


def _combined_file(path: Path) -> Optional[Path]:
    files = [path / name for name in lark.COMBINED_FILES] if path.is_dir() else [path]
    return next((file for file in files if file.is_file() and starts_like_tensor(file)), None)


def _read_combined(file: Path, tables: Sequence[List[Entry]]) -> Dict[str, Any]:
    """Return the variables of a combined file, whose number tells the table that it follows."""
    arrays = read_tensors(file)
    for table in tables:
        names = _names(table)
        if len(names) == len(arrays):
            return dict(zip(names, arrays))
    expected = ", ".join(str(len(_names(table))) for table in tables)
    raise InputError(f"{file}: a combined file has no names, and its {len(arrays)} tensors are "
                     f"not those of this model of Baidu's LAC 2, which has {expected}")
