"""bilm-tf's weights in HDF5 and its options.json, which AllenNLP reads, too.

    ours                                        theirs
    forward_layers.{l}.input_weight (P, 4D)     RNN_0/RNN/MultiRNNCell/Cell{l}/LSTMCell/W_0, the
    ... .recurrent_weight (P, 4D)                   one above the other (2P, 4D), gates i, c, f, o
    ... .bias (4D,)                             .../B: gates i, c, f, o, and 1.0 taken off f, which
                                                    TensorFlow adds when it runs
    ... .projection_weight (D, P)               .../W_P_0
    embedding.weight                            embedding
    softmax.weight, softmax.bias                softmax/W, softmax/b: bilm-tf's own names, which it
                                                    leaves out of the files that it dumps
    character_encoder.embedding.weight (262, E) char_embed (261, E), without the row of the mask
    ... .filter_{k}_weight (width * E, n)       CNN/W_cnn_{k} (1, width, E, n)
    ... .filter_{k}_bias                        CNN/b_cnn_{k}
    ... .highway_{k}_transform_weight           CNN_high_{k}/W_transform, and so on
    ... .projection_weight, .projection_bias    CNN_proj/W_proj, CNN_proj/b_proj

RNN_1 is the backward direction. In float32 taking 1.0 off the forget bias and adding it again
gives the same number where the bias is between 0.5 and 2; elsewhere it may be off by one unit in
the last place of the larger of the bias and the bias less 1.
"""

import json
import os
from itertools import product
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike, read_json
from bilm.network.config import BiLMConfig
from bilm.storage.formats.tables import (
    OUR_GATES,
    Entry,
    Transform,
    each,
    from_format,
    reorder_gates,
    simple,
    to_format,
)
from bilm.storage.stored_model import Located, StoredModel
from bilm.storage.tensors import LazyArray
from bilm.text.characters import MAX_CHARACTERS, NUM_CHARACTERS

WEIGHTS_FILE, OPTIONS_FILE = "weights.hdf5", "options.json"
_GATES = "icfo"
_MAX_RATIO = 1000  # of a dataset's size to that of the file, which may be compressed
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def _split_rows(arrays):
    (packed,) = arrays
    rows = reorder_gates(packed, _GATES, OUR_GATES)
    if len(rows) % 2:
        raise InputError(f"expected as many rows of input as of state, found {len(rows)} in all")
    return [rows[: len(rows) // 2], rows[len(rows) // 2 :]]


def _join_rows(arrays):
    return [reorder_gates(np.concatenate(arrays), OUR_GATES, _GATES)]


def _add_to_forget_gate(bias, amount):
    bias = bias.copy()
    size = len(bias) // 4
    bias[2 * size : 3 * size] += np.asarray(amount, bias.dtype)  # f is the third in both orders
    return bias


_GATE_ROWS = Transform(_join_rows, _split_rows)
_BIAS = each(
    lambda bias: _add_to_forget_gate(reorder_gates(bias, OUR_GATES, _GATES), -1.0),
    lambda bias: reorder_gates(_add_to_forget_gate(bias, 1.0), _GATES, OUR_GATES),
)
_WITHOUT_MASK = each(
    lambda rows: rows[1:],
    lambda rows: np.concatenate([np.zeros((1, *rows.shape[1:]), rows.dtype), rows]),
)


def table(config: BiLMConfig) -> List[Entry]:
    """Return the table of our parameters and bilm-tf's datasets."""
    entries = _characters(config) if config.char_cnn else [simple("embedding.weight", "embedding")]
    for direction, layer in product(range(config.num_directions), range(config.num_layers)):
        ours = f"{('forward', 'backward')[direction]}_layers.{layer}"
        theirs = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
        weights = (f"{ours}.input_weight", f"{ours}.recurrent_weight")
        entries += [
            Entry(weights, (f"{theirs}/W_0",), _GATE_ROWS),
            simple(f"{ours}.bias", f"{theirs}/B", _BIAS),
            simple(f"{ours}.projection_weight", f"{theirs}/W_P_0"),
        ]
    entries.append(simple("softmax.weight", "softmax/W"))
    entries.append(simple("softmax.bias", "softmax/b"))
    return entries


def _characters(config):
    options, ours = config.char_cnn, "character_encoder"
    entries = [simple(f"{ours}.embedding.weight", "char_embed", _WITHOUT_MASK)]
    for k, (width, _) in enumerate(options["filters"]):
        kernel = each(
            lambda rows, width=width: rows.reshape(1, width, -1, rows.shape[-1]),
            lambda rows: rows.reshape(-1, rows.shape[-1]),
        )
        entries.append(simple(f"{ours}.filter_{k}_weight", f"CNN/W_cnn_{k}", kernel))
        entries.append(simple(f"{ours}.filter_{k}_bias", f"CNN/b_cnn_{k}"))
    for k, part in product(range(options.get("n_highway") or 0), ("transform", "carry")):
        for kind in ("weight", "bias"):
            theirs = f"CNN_high_{k}/{kind[0].replace('w', 'W')}_{part}"
            entries.append(simple(f"{ours}.highway_{k}_{part}_{kind}", theirs))
    if sum(number for _, number in options["filters"]) != config.projection_size:
        entries.append(simple(f"{ours}.projection_weight", "CNN_proj/W_proj"))
        entries.append(simple(f"{ours}.projection_bias", "CNN_proj/b_proj"))
    return entries


def options_of(config: BiLMConfig) -> dict:
    """Return the content of options.json."""
    options = {
        "bidirectional": config.bidirectional,
        "dropout": config.dropout,
        "n_tokens_vocab": config.vocab_size,
        "lstm": {
            "dim": config.cell_size,
            "projection_dim": config.projection_size,
            "n_layers": config.num_layers,
            "cell_clip": config.cell_clip or None,
            "proj_clip": config.projection_clip or None,
            "use_skip_connections": config.use_skip_connections,
        },
    }
    if config.char_cnn:
        options["char_cnn"] = {
            "activation": "relu",
            "n_highway": 0,
            "max_characters_per_token": MAX_CHARACTERS,
            **config.char_cnn,
            "n_characters": NUM_CHARACTERS,
        }
    return options


def config_from(
    options: Mapping[str, Any], source: str, vocab_size: Optional[int] = None, **settings: Any
) -> BiLMConfig:
    """Return the configuration in options.json.

    Clips that it does not mention are none, as in bilm-tf, unless `settings` has them.

    Args:
        options: Its content.
        source: Its path, for messages.
        vocab_size: Rows of the embedding, if there is one.
        **settings: cell_clip and projection_clip, of which options.json says nothing.

    Raises:
        InputError: Something is missing or wrong; all of it is listed.
    """
    lstm = options.get("lstm")
    if not isinstance(lstm, dict):
        raise InputError(f"{source}: expected an object 'lstm' with the sizes, found {lstm!r}")
    missing = [name for name in ("dim", "projection_dim", "n_layers") if name not in lstm]
    if missing:
        raise InputError(f"{source}: missing in 'lstm': {', '.join(missing)}")
    num_words = options.get("n_tokens_vocab")
    if vocab_size and num_words and num_words != vocab_size:
        raise InputError(
            f"{source}: n_tokens_vocab is {num_words}, the weights have {vocab_size} words"
        )
    clips = [
        lstm[theirs] or 0.0 if theirs in lstm else settings.get(ours, 0.0)
        for theirs, ours in (("cell_clip", "cell_clip"), ("proj_clip", "projection_clip"))
    ]
    try:
        return BiLMConfig(
            # a model of characters without softmax knows no number of words
            vocab_size=vocab_size or num_words or 3,
            projection_size=lstm["projection_dim"],
            cell_size=lstm["dim"],
            num_layers=lstm["n_layers"],
            cell_clip=clips[0],
            projection_clip=clips[1],
            use_skip_connections=lstm.get("use_skip_connections") or False,
            bidirectional=options.get("bidirectional", True),
            dropout=options.get("dropout", 0.1),
            char_cnn=options.get("char_cnn"),
        )
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def find(path: Path) -> Optional[Located]:
    """Return the HDF5 file of weights that `path` is or holds, or None.

    Raises:
        InputError: A folder holds several, none with the name that we give.
    """
    file = _find_file(path)
    return Located("hdf5", path, file) if file else None


def _find_file(path):
    if path.is_dir():
        if (path / WEIGHTS_FILE).is_file():
            return path / WEIGHTS_FILE
        files = [*sorted(path.glob("*.hdf5")), *sorted(path.glob("*.h5"))]
        if len(files) > 1:
            raise InputError(
                f"{path}: which is it: {', '.join(file.name for file in files)}? Give the file, or "
                f"name it {WEIGHTS_FILE}"
            )
        return files[0] if files else None
    is_hdf5 = path.is_file() and (path.suffix in (".hdf5", ".h5") or _begins_like_hdf5(path))
    return path if is_hdf5 else None


def _begins_like_hdf5(file):
    with open(file, "rb") as handle:
        return handle.read(len(_HDF5_MAGIC)) == _HDF5_MAGIC


def read_model(
    located: Located, _config: Optional[BiLMConfig], _moments: bool, **settings: Any
) -> StoredModel:
    """Return the biLM in an HDF5 file, of the sizes in options.json beside it.

    Args:
        located: What `find` returned; the options may be in another *options.json, if there is
            only one.
        **settings: Clips, where the options have none.

    Raises:
        InputError: Files or datasets are missing or damaged, or something is not inside the file.
    """
    file = located.file
    datasets, options_file = _read_datasets(file), _options_file(file)
    options = read_json(options_file)
    words = datasets.get("embedding") if not options.get("char_cnn") else None
    words = datasets.get("softmax/b") if words is None else words
    rows = words.shape[0] if words is not None and words.shape else None
    config = config_from(options, str(options_file), rows, **settings)
    return StoredModel(config, from_format(table(config), datasets, str(file)))


def _options_file(file):
    named = file.parent / OPTIONS_FILE
    files = [named] if named.is_file() else sorted(file.parent.glob("*options.json"))
    if len(files) != 1:
        raise InputError(f"{file}: expected one {OPTIONS_FILE} beside it, found {len(files)}")
    return files[0]


def _read_datasets(file):
    """Return the datasets of an HDF5 file; nothing outside the file is followed."""
    import h5py

    datasets, seen, size = {}, set(), os.path.getsize(file)

    def visit(group, prefix, depth):
        for name in group:
            link = group.get(name, getlink=True)
            where = prefix + name
            if not isinstance(link, h5py.HardLink):
                raise InputError(f"{file}: {where} leads elsewhere; only data in the file is read")
            item = group[name]
            if isinstance(item, h5py.Group):
                address = h5py.h5o.get_info(item.id).addr
                if depth > 8 or address in seen:
                    raise InputError(f"{file}: {where}: groups are nested too deeply or in a ring")
                seen.add(address)
                visit(item, where + "/", depth + 1)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise InputError(f"{file}: {where} leads elsewhere; only data in it is read")
                if item.nbytes > _MAX_RATIO * size:
                    raise InputError(f"{file}: {where} says it has {item.nbytes} bytes")
                datasets[where] = LazyArray(item.shape or (), item.dtype, _reader(file, where))

    try:
        with h5py.File(file, "r") as handle:
            visit(handle, "", 0)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not a readable HDF5 file: {error}") from None
    return datasets


def _reader(file, name):
    import h5py

    def read():
        try:
            with h5py.File(file, "r") as handle:
                return handle[name][...]
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(f"{file}: {name}: not readable: {error}") from None

    return read


def write_model(
    folder: PathLike, model: StoredModel, progress: Callable[[int], object]
) -> None:
    """Write weights.hdf5 and options.json."""
    import h5py

    with h5py.File(Path(folder) / WEIGHTS_FILE, "w") as file:
        for name, array in to_format(table(model.config), model.tensors):
            file.create_dataset(name, data=array, track_times=False)
            progress(array.nbytes)
    text = json.dumps(options_of(model.config), indent=2) + "\n"
    (Path(folder) / OPTIONS_FILE).write_text(text, encoding="utf-8")
