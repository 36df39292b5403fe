"""Paddle's .pdparams: a pickle of {parameter name: array}, under our names.

A pickle can name any function to be called when it is read. This reader knows what arrays are
made of and refuses everything else before anything is called; Paddle is not needed.
"""

import pickle
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.config import BiLMConfig
from bilm.storage.stored_model import Located, StoredModel

WEIGHTS_FILE = "model.pdparams"
_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")


class _Array:
    """Stands for an array while a pickle is read; becomes one when its state is set."""

    values = None

    def __setstate__(self, state):
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _Type) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array of something else than numbers")
        values = np.frombuffer(data, dtype.value)
        self.values = values.reshape(shape, order="F" if is_fortran else "C")


class _Type:
    """Stands for an array's type."""

    value = None

    def __setstate__(self, state):
        if state[1] not in ("<", "=", "|"):
            raise pickle.UnpicklingError(f"arrays of byte order {state[1]!r}")


def _reconstruct(kind, shape, code):
    if kind is not _Array:
        raise pickle.UnpicklingError("an array of another class")
    return _Array()


def _dtype(code, *_):
    if code not in _TYPES:
        raise pickle.UnpicklingError(f"arrays of type {code!r}")
    kind = _Type()
    kind.value = np.dtype("<" + code)
    return kind


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _dtype,
}


class _ArrayUnpickler(pickle._Unpickler):
    # the one in Python: the other makes room for as many objects as a file says it will name

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not run")
        return _ALLOWED[module, name]

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("it refers to something outside")


def find(path: Path) -> Optional[Located]:
    """Return the .pdparams file that `path` is or holds, or None.

    Raises:
        InputError: A folder holds several.
    """
    files = sorted(path.glob("*.pdparams")) if path.is_dir() else [path]
    files = [file for file in files if file.is_file() and file.suffix == ".pdparams"]
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise InputError(f"{path}: several weight files ({names}): name one of them")
    return Located("pdparams", path, files[0]) if files else None


def read_arrays(file: PathLike) -> Dict[str, np.ndarray]:
    """Return the arrays in a .pdparams file by name.

    Raises:
        InputError: The file is damaged, or holds something else than arrays.
    """
    try:
        with open(file, "rb") as handle:
            content = _ArrayUnpickler(handle).load()
    except Exception as error:  # whatever a damaged or hostile pickle raises
        raise InputError(f"{file}: not a .pdparams file of arrays: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected named arrays, found {type(content).__name__}")
    content.pop("StructuredToParameterName@@", None)  # Paddle's own notes
    wrong = [str(name) for name, array in content.items()
             if not isinstance(name, str) or getattr(array, "values", None) is None]
    if wrong:
        raise InputError(f"{file}: expected named arrays; not one is {', '.join(wrong[:5])}")
    return {name: array.values for name, array in content.items()}


def read_model(
    located: Located, config: Optional[BiLMConfig], _moments: bool, **_settings: Any
) -> StoredModel:
    """Return the biLM in a file; its configuration must be known.

    Raises:
        InputError: There is no config.json, or the file is damaged.
    """
    if config is None:
        raise InputError(f"{located.weights}: needs config.json beside it")
    return StoredModel(config, read_arrays(located.weights))


def write_model(
    folder: PathLike, model: StoredModel, progress: Callable[[int], object]
) -> None:
    """Write what `paddle.save(model.state_dict(), ...)` writes."""
    arrays = {name: np.array(array) for name, array in model.tensors.items()}
    with open(Path(folder) / WEIGHTS_FILE, "wb") as file:
        pickle.dump(arrays, file, protocol=4)
    progress(sum(array.nbytes for array in arrays.values()))
