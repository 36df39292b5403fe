"""This project's model folders, tensor by tensor; `bilm.storage.checkpoint` has their layout."""

from pathlib import Path

import numpy as np

from bilm.network.config import BiLMConfig
from bilm.storage.checkpoint import verify_checksums
from bilm.storage.safetensors_file import new_safetensors, read_safetensors
from bilm.storage.stored_model import MOMENT, StoredModel

WEIGHTS_FILE = "model.safetensors"
_OPTIMIZER = Path("training") / "optimizer.safetensors"


def read_model(folder, config=None, **settings) -> StoredModel:
    """Return the model in a folder, after checking its files against their checksums.

    Adagrad's moments come with it; what other optimisers remember does not.

    Raises:
        InputError: A file is missing, truncated or changed.
    """
    folder = Path(folder)
    verify_checksums(folder, training=(folder / _OPTIMIZER).is_file())
    config = config or BiLMConfig.load(folder / "config.json")
    moments = {}
    if (folder / _OPTIMIZER).is_file():
        moments = read_safetensors(folder / _OPTIMIZER)
        if not all(name.endswith(MOMENT) for name in moments):
            moments = {}
    return StoredModel(config, read_safetensors(folder / WEIGHTS_FILE), moments)


def write_model(folder, model: StoredModel, progress) -> None:
    """Write model.safetensors and, if there are moments, training/optimizer.safetensors."""
    folder = Path(folder)
    for file, tensors in ((Path(WEIGHTS_FILE), model.tensors), (_OPTIMIZER, model.moments)):
        if not tensors:
            continue
        (folder / file).parent.mkdir(exist_ok=True)
        with new_safetensors(folder / file, tensors) as write:
            for name, lazy in tensors.items():
                array = np.asarray(lazy)
                write(name, array)
                progress(array.nbytes)
