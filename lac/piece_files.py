"""The files in a tagger's folder that say how it cuts text into pieces.

pieces.json        the segmenter and its options; without it, jieba
dictionary.txt     words and counts, for pieces of a dictionary
jieba_words.txt    user dictionary of jieba, for words as pieces, if there is one
"""

import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, Optional

from bilm.errors import InputError
from bilm.files import read_json, write_bytes_atomically, write_json
from bilm.text.segmenters import SegmentationOptions
from lac.pieces import kind_of

PIECES_FILE = "pieces.json"

_SEGMENTER_FILES = {"dictionary": "dictionary.txt", "user_dict": "jieba_words.txt"}
_DEFAULTS = asdict(SegmentationOptions())


def read_segmentation(folder: Path) -> SegmentationOptions:
    """Return how a tagger in a folder cuts text; by jieba where it says nothing.

    Raises:
        InputError: pieces.json is damaged.
    """
    path = folder / PIECES_FILE
    if not path.is_file():
        return SegmentationOptions()
    values = read_json(path)
    named = sorted(_SEGMENTER_FILES.keys() & values.keys())
    if named:  # a model must not name files of the machine that it is read on
        raise InputError(
            f"{path}: does not describe pieces: {', '.join(named)} cannot stand there; a tagger's "
            f"own files beside it are {' and '.join(_SEGMENTER_FILES.values())}"
        )
    for name, file in _SEGMENTER_FILES.items():
        if (folder / file).is_file():
            values[name] = str(folder / file)
    try:
        return SegmentationOptions(**values)
    except (TypeError, InputError) as error:
        raise InputError(f"{path}: does not describe pieces: {error}") from None


def write_segmentation(folder: Path, segmentation: SegmentationOptions) -> None:
    """Write how a tagger cuts text into its folder, with links to the files that this needs.

    Raises:
        OSError: A file cannot be written.
    """
    values = {
        name: value for name, value in asdict(segmentation).items()
        if name == "segmenter" or (name not in _SEGMENTER_FILES and value != _DEFAULTS[name])
    }
    write_json(folder / PIECES_FILE, values)
    for name, path in _segmenter_files(segmentation).items():
        link_file(path, folder / _SEGMENTER_FILES[name])


def keep_segmenter_files(folder: Path, segmentation: SegmentationOptions) -> SegmentationOptions:
    """Copy the files that a segmenter reads into a training run's folder.

    Args:
        folder: The run's folder, in which they outlive the user's files and the checkpoints.
        segmentation: How text is cut into pieces.

    Returns:
        The same, with the copies in place of the files.

    Raises:
        InputError: A file cannot be read or written.
    """
    kept: Dict[str, Any] = {}
    for name, path in _segmenter_files(segmentation).items():
        copy = folder / _SEGMENTER_FILES[name]
        try:
            write_bytes_atomically(copy, path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: cannot be kept as {copy}: {error.strerror}") from None
        kept[name] = str(copy)
    return replace(segmentation, **kept)


def _segmenter_files(segmentation: SegmentationOptions) -> Dict[str, Path]:
    """Return the files that a tagger's folder holds of a segmenter, by the options' names."""
    files: Dict[str, Path] = {}
    dictionary = segmentation.dictionary_file() if segmentation.dictionary else None
    if dictionary is not None:
        files["dictionary"] = dictionary
    if segmentation.user_dict is not None:
        files["user_dict"] = Path(segmentation.user_dict)
    return files


def link_file(source: Path, target: Path) -> None:
    """Make a file stand in a second place; copy it where it cannot be linked."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def looks_up_normalized(segmentation: SegmentationOptions, recorded: Optional[dict]) -> bool:
    """Return whether words are normalized for ELMo, as its biLM's text was.

    A tagger of words does not: its words are those of the user's text.

    Args:
        segmentation: How the tagger cuts text.
        recorded: The biLM's segmentation.json; None: not known.
    """
    options = (recorded or {}).get("options")
    is_normalized = isinstance(options, dict) and options.get("normalize") == "nfkc"
    return is_normalized and kind_of(segmentation) != "words"
