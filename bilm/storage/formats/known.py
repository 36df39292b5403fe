"""All formats: which one a path has, and how models are opened and written in each."""

from dataclasses import replace
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional

from bilm.errors import InputError
from bilm.network.config import BiLMConfig
from bilm.storage.formats import bilm_tf, lark, native, pdparams, torch_state
from bilm.storage.formats.tables import Entry, lost, simple
from bilm.storage.ready_models import resolve_model, told_ready_models
from bilm.storage.runs import is_run, latest_checkpoint
from bilm.storage.side_files import CONFIG_FILE, SideFiles, read_side_files
from bilm.storage.stored_model import StoredModel, check_model, parameter_shapes
from bilm.text.vocabulary import Vocabulary


class Format(NamedTuple):
    """A format of biLMs on disk.

    Attributes:
        read: (path, config or None, **settings) -> StoredModel, without side files.
        write: (folder, model, progress) -> None, without side files.
        table: Configuration -> its table of tensors.
        gate_order: Of its gate blocks: candidate, input, forget, output.
        has_moments: Whether it holds Adagrad's moments.
        has_config: Whether config.json stands beside it.
        remarks: What the system that it belongs to does otherwise than the configuration says.
    """

    read: Callable
    write: Callable
    table: Callable[[BiLMConfig], List[Entry]]
    gate_order: str = "cifo"
    has_moments: bool = True
    has_config: bool = True
    remarks: Callable[[BiLMConfig], List[str]] = lambda config: []


def _native_table(config):
    return [simple(name, name) for name in parameter_shapes(config)]


def _lark_table(config):
    return lark.table(config.num_layers, config.num_directions)


def _lark_remarks(config):
    found = []
    if (config.cell_clip, config.projection_clip) != (3.0, 3.0):
        found.append("clips other than 3, which are constants in LARK's code")
    if not config.use_skip_connections:
        found.append("the lack of skip connections, which LARK's language model always has")
    return found


def _hdf5_remarks(config):
    ids = config.bos_id, config.eos_id, config.unk_id
    return [f"the ids {ids} of <S>, </S> and <UNK>, but in vocab.txt"] * (ids != (0, 1, 2))


def _torch_lstm_remarks(config):
    found = []
    if config.cell_clip or config.projection_clip:
        found.append("clips, which torch.nn.LSTM does not have")
    if config.use_skip_connections and config.num_layers > 1:
        found.append("skip connections, which are to be added between its layers")
    return found


_LARK = {"read": lark.read_model, "table": _lark_table, "remarks": _lark_remarks}
FORMATS = {
    "bilm": Format(native.read_model, native.write_model, _native_table),
    "lark": Format(write=lark.write_folder, **_LARK),
    "lark-combined": Format(write=lark.write_combined, **_LARK),
    "lark-npz": Format(write=lark.write_npz, **_LARK),
    "torch": Format(
        torch_state.read_model, torch_state.write_allennlp, torch_state.table, gate_order="ifco"
    ),
    "torch-lstm": Format(
        torch_state.read_model, torch_state.write_torch_lstm, torch_state.torch_lstm_table,
        gate_order="ifco", has_moments=False, remarks=_torch_lstm_remarks,
    ),
    "hdf5": Format(
        bilm_tf.read_model, bilm_tf.write_model, bilm_tf.table, gate_order="icfo",
        has_moments=False, has_config=False, remarks=_hdf5_remarks,
    ),
    "pdparams": Format(
        pdparams.read_model, pdparams.write_model, _native_table, has_moments=False
    ),
}


def cannot_hold(name: str, model: StoredModel) -> List[str]:
    """Return what of a model a format does not hold, a phrase for each kind of thing.

    Raises:
        InputError: It does not hold the word vectors, without which there is no model.
    """
    form = FORMATS[name]
    if name == "lark-combined" and model.config.num_layers > lark.MAX_LAYERS:
        raise InputError(f"{name} has no names, so it takes at most {lark.MAX_LAYERS} layers")
    tensors = lost(form.table(model.config), model.tensors)
    if any(tensor.startswith(("embedding.", "character_encoder.")) for tensor in tensors):
        raise InputError(f"{name} holds models that read words; this one reads characters")
    found = [", ".join(tensors)] if tensors else []
    if model.moments and not form.has_moments:
        found.append("the optimiser's moments")
    return found + form.remarks(model.config)


def model_path(path) -> Path:
    """Return `path`, the latest checkpoint of a training run's folder, or the folder of a file.

    The file is the model.safetensors of a folder that has a config.json. A name under which there
    is nothing may be that of a model that comes with the package: see `bilm.storage.ready_models`.

    Raises:
        InputError: The run has none.
    """
    path = resolve_model(path, "bilm")
    if path.name == native.WEIGHTS_FILE and path.with_name(CONFIG_FILE).is_file():
        return path.parent
    return latest_checkpoint(path) if is_run(path) else path


def detect_format(path) -> str:
    """Return the name of the format that `path` has.

    Raises:
        InputError: It has none of those known; the message tells what was found.
    """
    path = model_path(path)
    if lark.is_lark(path):
        return lark.kind_of(path)
    if path.exists() and (bilm_tf.find_file(path) or path.suffix in (".hdf5", ".h5")):
        return "hdf5"
    if path.exists() and pdparams.find_file(path):
        return "pdparams"
    file = torch_state.find_file(path)
    if file is not None:
        names = torch_state.read_tensors(file)
        if torch_state.is_torch_lstm(names):
            return "torch-lstm"
        if torch_state.is_allennlp(names) or not (path / "config.json").is_file():
            return "torch"
        return "bilm"
    raise InputError(
        f"{path}: no biLM there: expected {_EXPECTED}; found {_content(path)}"
        + told_ready_models(path, "bilm")
    )


_EXPECTED = (
    "a model folder (config.json and model.safetensors), a training run's folder, a LARK "
    f"checkpoint (a folder with {lark.EMBEDDING}, a combined file or .npz), HDF5 weights with "
    "options.json, or a PyTorch or Paddle state_dict"
)


def _content(path):
    if not path.exists():
        return "nothing"
    if not path.is_dir():
        return "a file of another kind"
    names = sorted(item.name for item in path.iterdir())
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "an empty folder"


def open_model(
    path, source_format: Optional[str] = None, vocab_path=None, **settings
) -> StoredModel:
    """Return the model at `path`; its tensors are read when they are asked for.

    Args:
        path: Folder or file in any known format.
        source_format: Its format; None: as `detect_format` finds.
        vocab_path: The vocabulary, of a model that has none beside it.
        settings: Fields of the configuration, such as clips, for a format that does not tell
            them; None values count as not given.

    Raises:
        InputError: There is no model, it is incomplete or damaged, or contradicts the settings.
    """
    path = model_path(path)
    settings = {name: value for name, value in settings.items() if value is not None}
    detected = source_format or detect_format(path)
    if source_format and not _may_be(path, source_format):
        raise InputError(f"{path}: is no {source_format} model")
    about = read_side_files(path if path.is_dir() else path.parent)
    if path.is_file():
        about = SideFiles(about.config, None, None, None)
    config = about.config if FORMATS[detected].has_config else None
    model = FORMATS[detected].read(path, config, **settings)
    for name, value in settings.items():
        if getattr(model.config, name) != value:
            raise InputError(
                f"{path}: {name} is {getattr(model.config, name)} there; leave out the other "
                f"value, {value}"
            )
    model = model._replace(segmentation=about.segmentation, mixes=about.mixes or model.mixes)
    model = check_model(model, str(path))
    return with_vocabulary(model, about.vocabulary, vocab_path)


def _may_be(path, name) -> bool:
    """Return whether there is a file that a format would read."""
    if name.startswith("lark"):
        return lark.is_lark(path) and lark.kind_of(path) == name
    if name == "bilm":
        return (path / native.WEIGHTS_FILE).is_file() and (path / CONFIG_FILE).is_file()
    finders = {"hdf5": bilm_tf, "pdparams": pdparams}
    return path.exists() and finders.get(name, torch_state).find_file(path) is not None


def with_vocabulary(
    model: StoredModel, vocabulary: Optional[Vocabulary], vocab_path=None
) -> StoredModel:
    """Return the model with a vocabulary, and the ids of `<S>`, `</S>` and `<UNK>` that it has.

    Args:
        model: The model.
        vocabulary: The one that came with it, or None.
        vocab_path: A file to take instead.

    Raises:
        InputError: The vocabulary is not of the model's size.
    """
    source = vocab_path or "vocab.txt"
    if vocab_path:
        own, vocabulary = vocabulary, Vocabulary.load(vocab_path)
        if own not in (None, vocabulary):
            raise InputError(f"{vocab_path}: the model comes with other words; leave this file out")
    if vocabulary is None:
        return model
    if len(vocabulary) != model.config.vocab_size:
        raise InputError(
            f"{source}: has {len(vocabulary)} words, but the model has "
            f"{model.config.vocab_size}; give the vocabulary that it was trained with"
        )
    ids = {name: getattr(vocabulary, name) for name in ("bos_id", "eos_id", "unk_id")}
    return model._replace(config=replace(model.config, **ids), vocabulary=vocabulary)


def side_files_of(name: str, model: StoredModel) -> SideFiles:
    """Return what stands beside a model in a format."""
    config = model.config if FORMATS[name].has_config else None
    return SideFiles(config, model.vocabulary, model.segmentation, model.mixes)
