"""All formats: how each is read and written, and which one a path has."""

from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Union

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.config import BiLMConfig
from bilm.storage import checkpoint
from bilm.storage.formats import bilm_tf, lark, pdparams, torch_state
from bilm.storage.formats.tables import Entry, lost, simple
from bilm.storage.ready_models import hint_at_ready_models, resolve_model
from bilm.storage.run_folder import is_run, latest_checkpoint
from bilm.storage.side_files import CONFIG_FILE
from bilm.storage.stored_model import Located, StoredModel, parameter_shapes


class Format(NamedTuple):
    """A format of biLMs on disk.

    Attributes:
        find: Path -> where the model is, or None if there is none of this or a related format.
        read: (where it is, config or None, whether to read moments, **settings) -> StoredModel,
            without side files.
        write: (folder, model, progress) -> None, without side files.
        verify: (folder, whether moments will be read) -> None: raises an InputError if a file is
            damaged, before any of them is read.
        table: Configuration -> its table of tensors.
        gate_order: Of its gate blocks: candidate, input, forget, output.
        has_moments: Whether it holds Adagrad's moments.
        has_config: Whether config.json stands beside it.
        remarks: Configuration -> phrases for what the system that the format belongs to does
            otherwise.
    """

    find: Callable[[Path], Optional[Located]]
    read: Callable[..., StoredModel]
    write: Callable[[PathLike, StoredModel, Callable[[int], object]], None]
    table: Callable[[BiLMConfig], List[Entry]]
    verify: Callable[[Path, bool], None] = lambda folder, moments: None
    gate_order: str = "cifo"
    has_moments: bool = True
    has_config: bool = True
    remarks: Callable[[BiLMConfig], List[str]] = lambda config: []


def _find_by_names(path):
    """Return the model in a file that names its tensors; the names are those of its format."""
    file = torch_state.find_file(path)
    if file is None:
        return None
    tensors = torch_state.read_tensors(file)
    if torch_state.is_torch_lstm(tensors):
        name = "torch-lstm"
    elif torch_state.is_allennlp(tensors) or not (path / CONFIG_FILE).is_file():
        name = "torch"
    else:
        name = "bilm"
    return Located(name, path, file, tensors)


def _native_table(config):
    return [simple(name, name) for name in parameter_shapes(config)]


def _lark_table(config):
    return lark.table(config.num_layers, config.num_directions)


def _lark_remarks(config):
    remarks = []
    if (config.cell_clip, config.projection_clip) != (3.0, 3.0):
        remarks.append("clips other than 3, which are constants in LARK's code")
    if not config.use_skip_connections:
        remarks.append("the lack of skip connections, which LARK's language model always has")
    return remarks


def _hdf5_remarks(config):
    ids = config.bos_id, config.eos_id, config.unk_id
    return [f"the ids {ids} of <S>, </S> and <UNK>, but in vocab.txt"] * (ids != (0, 1, 2))


def _torch_lstm_remarks(config):
    remarks = []
    if config.cell_clip or config.projection_clip:
        remarks.append("clips, which torch.nn.LSTM does not have")
    if config.use_skip_connections and config.num_layers > 1:
        remarks.append("skip connections, which are to be added between its layers")
    return remarks


def _lark(write):
    return Format(lark.find, lark.read_model, write, _lark_table, remarks=_lark_remarks)


FORMATS = {
    "bilm": Format(
        _find_by_names, checkpoint.read_model, checkpoint.write_model, _native_table,
        verify=checkpoint.verify_model,
    ),
    "lark": _lark(lark.write_folder),
    "lark-combined": _lark(lark.write_combined),
    "lark-npz": _lark(lark.write_npz),
    "torch": Format(
        _find_by_names, torch_state.read_model, torch_state.write_allennlp, torch_state.table,
        gate_order="ifco",
    ),
    "torch-lstm": Format(
        _find_by_names, torch_state.read_model, torch_state.write_torch_lstm,
        torch_state.torch_lstm_table, gate_order="ifco", has_moments=False,
        remarks=_torch_lstm_remarks,
    ),
    "hdf5": Format(
        bilm_tf.find, bilm_tf.read_model, bilm_tf.write_model, bilm_tf.table, gate_order="icfo",
        has_moments=False, has_config=False, remarks=_hdf5_remarks,
    ),
    "pdparams": Format(
        pdparams.find, pdparams.read_model, pdparams.write_model, _native_table,
        has_moments=False,
    ),
}


def cannot_hold(name: str, model: StoredModel) -> List[str]:
    """Return a phrase for each kind of thing in a model that a format does not hold.

    Raises:
        InputError: It does not hold the word vectors, without which there is no model.
    """
    form = FORMATS[name]
    if name == "lark-combined" and model.config.num_layers > lark.MAX_LAYERS:
        raise InputError(f"{name} has no names, so it takes at most {lark.MAX_LAYERS} layers")
    tensors = lost(form.table(model.config), model.tensors)
    if any(tensor.startswith(("embedding.", "character_encoder.")) for tensor in tensors):
        raise InputError(f"{name} holds models that read words; this one reads characters")
    phrases = [", ".join(tensors)] if tensors else []
    if model.moments and not form.has_moments:
        phrases.append("the optimiser's moments")
    return phrases + form.remarks(model.config)


def locate(path: Union[PathLike, Located], source_format: Optional[str] = None) -> Located:
    """Return where the biLM at `path` is, and in which format.

    Args:
        path: A folder or file in any known format; a training run's folder, which stands for its
            latest checkpoint; where nothing is there, the name of a model that comes with the
            package. What `locate` returned is returned again.
        source_format: The format that it must have; None: any.

    Raises:
        InputError: There is no biLM, or not of this format; the message says what is there.
    """
    if isinstance(path, Located):
        return path
    place = _model_path(path)
    if source_format:
        located = FORMATS[source_format].find(place)
        if located is None or located.format != source_format:
            raise InputError(f"{place}: is no {source_format} model")
        return located
    for find in (lark.find, bilm_tf.find, pdparams.find, _find_by_names):
        located = find(place)
        if located is not None:
            return located
    raise InputError(
        f"{place}: no biLM there: expected {_EXPECTED}; found {_content(place)}"
        + hint_at_ready_models(place, "bilm")
    )


_EXPECTED = (
    "a model folder (config.json and model.safetensors), a training run's folder, a LARK "
    f"checkpoint (a folder with {lark.EMBEDDING}, a combined file or .npz), HDF5 weights with "
    "options.json, or a PyTorch or Paddle state_dict"
)


def _model_path(path):
    path = resolve_model(path, "bilm")
    if path.name == checkpoint.WEIGHTS_FILE and path.with_name(CONFIG_FILE).is_file():
        return path.parent
    return latest_checkpoint(path) if is_run(path) else path


def _content(path):
    if not path.exists():
        return "nothing"
    if not path.is_dir():
        return "a file of another kind"
    names = sorted(item.name for item in path.iterdir())
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "an empty folder"
