"""Convert a biLM from one format to another, and check the result."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from tqdm import tqdm

from bilm.conversion.verify import compare_outputs, unequal_tensors
from bilm.conversion.vocabulary_transfer import count_shared, transfer_vocabulary
from bilm.errors import InputError
from bilm.files import PathLike, atomic_folder, check_new_folder
from bilm.storage.formats.known import FORMATS, cannot_hold, locate
from bilm.storage.model_folder import write_checksums
from bilm.storage.pretrained import open_model
from bilm.storage.side_files import write_side_files
from bilm.storage.stored_model import MOMENT, StoredModel
from bilm.storage.tensors import LazyArray
from bilm.text.vocabulary import Vocabulary


class Conversion(NamedTuple):
    """A report on a conversion.

    Attributes:
        source_format: Format that was read.
        num_tensors: Parameters that were written.
        num_moments: Optimiser moments that were written.
        num_bytes: Of all of them.
        lost: A phrase for each kind of thing that the format cannot hold.
        warnings: A phrase for each problem of the source, such as values that are not finite.
        words: How the vocabulary was changed, a phrase; empty if it was not.
        differences: Largest difference of outputs by the framework that computed them: see
            `bilm.conversion.verify.compare_outputs`; empty if not verified.
    """

    source_format: str
    num_tensors: int
    num_moments: int
    num_bytes: int
    lost: List[str]
    warnings: List[str]
    words: str
    differences: Dict[str, float]


def convert(
    source: PathLike,
    target: PathLike,
    target_format: str,
    source_format: Optional[str] = None,
    vocab_path: Optional[PathLike] = None,
    new_vocab_path: Optional[PathLike] = None,
    dtype: str = "float32",
    verify: bool = True,
    show_progress: bool = False,
    weights_only: bool = False,
    **settings: Any,
) -> Conversion:
    """Write the model at `source` to the folder `target` in another format.

    The source is located and opened, which reads names and shapes. The format's table says which
    of its tensors hold which of ours. Then tensors are read, changed and written one at a time.
    `target` appears when everything is written and, if asked for, verified.

    Examples:
        >>> done = convert("sample", "sample-torch", "torch")
        >>> done.source_format, done.num_tensors, done.lost
        ('bilm', 19, [])

    Args:
        source: A model in any known format.
        target: A folder that does not exist, or is empty.
        target_format: One of `bilm.storage.formats.known.FORMATS`.
        source_format: None: detected.
        vocab_path: Vocabulary of a model that comes without.
        new_vocab_path: Move to this vocabulary: see `transfer_vocabulary`.
        dtype: "float32" or "float16": the type that is stored.
        verify: Read the result back and compare, tensor by tensor and in what it computes.
        show_progress: Whether to show a progress bar, if stderr is a terminal.
        weights_only: Leave out the optimiser's moments, which only further training needs.
        **settings: Fields of the configuration that the source does not have, such as cell_clip.

    Raises:
        InputError: The source is no model or damaged, the format cannot hold it, the target
            cannot be written, or what was written is not what was read.
    """
    target = Path(target)
    check_new_folder(target)
    located = locate(source, source_format)
    model = open_model(located, vocab_path=vocab_path, moments=not weights_only, **settings)
    words = ""
    if new_vocab_path:
        model, words = _with_words(model, Vocabulary.load(new_vocab_path))
    lost = cannot_hold(target_format, model)  # refuses what would be no model
    not_finite: List[str] = []
    kept = _kept(target_format, model, dtype, not_finite)
    num_bytes = sum(
        int(np.prod(array.shape)) * array.dtype.itemsize
        for array in [*kept.tensors.values(), *kept.moments.values()]
    )
    differences: Dict[str, float] = {}
    try:
        with _bar(num_bytes, show_progress) as bar, atomic_folder(target) as folder:
            _write(target_format, folder, kept, bar.update)
            if verify:
                differences = _verify(model, kept, folder, target_format, not not_finite)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from None
    names = ", ".join(sorted(set(not_finite)))
    warnings = [f"values that are not finite in {names}"] if names else []
    return Conversion(
        located.format, len(kept.tensors), len(kept.moments), num_bytes,
        lost, warnings, words, differences,
    )


def _with_words(model, vocabulary) -> Tuple[StoredModel, str]:
    """Return the model with another vocabulary, and a phrase for what became of the words."""
    moved = transfer_vocabulary(model, vocabulary)
    shared = count_shared(model.vocabulary, vocabulary)
    new = len(vocabulary) - shared
    return moved, f"{shared} words kept their rows, {new} new ones got the mean row"


def _bar(total, show):
    return tqdm(total=total, unit="B", unit_scale=True, disable=None if show else True)


def _kept(target_format, model, dtype, not_finite) -> StoredModel:
    """Return the part of a model that goes into a format, in the type that is stored.

    The names of tensors with values that are not finite are added to `not_finite` when they are
    read.
    """
    form = FORMATS[target_format]
    held = {name for entry in form.table(model.config) for name in entry.ours}
    if not model.config.share_softmax and "backward_softmax.weight" not in held:
        model = model._replace(config=replace(model.config, share_softmax=True))
    tensors = {name: array for name, array in model.tensors.items() if name in held}
    moments = {
        name: array for name, array in model.moments.items()
        if form.has_moments and name.removesuffix(MOMENT) in held
    }
    tensors, moments = (
        {name: _watched(name, array, np.dtype(stored), not_finite)
         for name, array in arrays.items()}
        for arrays, stored in ((tensors, dtype), (moments, "float32"))  # these may be large
    )
    return model._replace(tensors=tensors, moments=moments)


def _watched(name, array, dtype, not_finite):
    def read():
        with np.errstate(over="ignore"):  # infinity is noticed below
            values = np.asarray(array).astype(dtype, copy=False)
        if not np.isfinite(values).all():
            not_finite.append(name)
        return values

    return LazyArray(array.shape, dtype, read)


def _write(target_format, folder, model, progress):
    form = FORMATS[target_format]
    form.write(folder, model, progress)
    write_side_files(folder, model, form.has_config)
    if target_format == "bilm":
        write_checksums(folder)


def _verify(source, model, folder, target_format, is_finite) -> Dict[str, float]:
    """Return how far outputs are from the source's.

    Raises:
        InputError: The folder does not hold `model`, or computes something else.
    """
    written = open_model(folder, target_format)
    unequal = unequal_tensors(model, written, tolerant=target_format == "hdf5")
    if unequal:
        raise InputError(
            f"{folder.name}: what was written is not what was read: {'; '.join(unequal)}"
        )
    if not is_finite:
        return {}  # outputs would not be finite either
    differences, limit = compare_outputs(source, written)
    is_exact = all(array.dtype == np.float32 for array in model.tensors.values())
    too_large = {name: value for name, value in differences.items() if not value <= limit}
    if too_large and is_exact:
        raise InputError(
            f"the result computes something else than the source: largest differences {too_large}, "
            f"allowed {limit:.1e}"
        )
    return differences
