"""What stands beside an exported model: all that leads from text to ids and from tags to words.

    signature.json            the model's inputs, in order, and its outputs
    config.json, pieces.json, dictionary.txt, jieba_words.txt, words.txt, tags.txt,
    characters.txt, width.tsv, customization.txt
                              as in the tagger's folder, see `lac.model_folder`
    elmo_vocab.txt            the biLM's vocabulary
    elmo_segmentation.json    how the biLM's text was cut, for an ELMo that reads words of its own

Nothing here imports Paddle.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from bilm.errors import InputError
from bilm.files import PathLike, read_json
from bilm.storage.side_files import CONFIG_FILE, VOCABULARY_FILE
from bilm.text.segmenters import as_recorded, load_segmenter
from bilm.text.shards import SEGMENTATION_FILE
from bilm.text.vocabulary import Vocabulary
from lac.customization import CUSTOMIZATION_FILE, Customization
from lac.lookup import Lookup
from lac.model_folder import (
    CHARACTERS_FILE,
    ELMO_FOLDER,
    TAGS_FILE,
    WORDS_FILE,
    StoredTagger,
    load_lines,
    read_optional,
)
from lac.network.config import TaggerConfig
from lac.piece_files import PIECES_FILE, looks_up_normalized, read_segmentation
from lac.tagged_files import load_tags
from lac.width import WIDTH_FILE, load_table

SIGNATURE_FILE, ONNX_FILE = "signature.json", "model.onnx"
ELMO_VOCABULARY_FILE, ELMO_SEGMENTATION_FILE = "elmo_vocab.txt", "elmo_segmentation.json"

_SAME_NAMES = (
    CONFIG_FILE, PIECES_FILE, WORDS_FILE, TAGS_FILE, CHARACTERS_FILE, WIDTH_FILE,
    CUSTOMIZATION_FILE,
)
_OF_ELMO = {
    VOCABULARY_FILE: ELMO_VOCABULARY_FILE, SEGMENTATION_FILE: ELMO_SEGMENTATION_FILE,
}


class ExportedFiles(NamedTuple):
    """What the files say.

    Attributes:
        stored: The tagger, without weights and biLM.
        lookup: Turns pieces into the model's inputs.
    """

    stored: StoredTagger
    lookup: Lookup


def copy_files(stored: StoredTagger, source: Path, target: Path) -> None:
    """Copy the files of a tagger's folder to that of an exported model.

    Args:
        stored: The content of the tagger's folder.
        source: The tagger's folder.
        target: The other folder.
    """
    paths = {source / name: name for name in _SAME_NAMES}
    for dictionary in (stored.segmentation.dictionary, stored.segmentation.user_dict):
        if dictionary is not None:
            paths[Path(dictionary)] = Path(dictionary).name
    paths.update((source / ELMO_FOLDER / name, own_name) for name, own_name in _OF_ELMO.items())
    for path, name in paths.items():
        if path.is_file():
            shutil.copyfile(path, target / name)


def read_files(path: PathLike) -> ExportedFiles:
    """Return what stands beside the exported model in a folder.

    Raises:
        InputError: A file is missing or damaged.
    """
    folder = Path(path)
    missing = [
        name for name in (SIGNATURE_FILE, CONFIG_FILE, TAGS_FILE) if not (folder / name).is_file()
    ]
    if missing:
        raise InputError(
            f"{folder}: no exported tagger there: it has no {', '.join(missing)}; "
            "lac export writes one"
        )

    stored = StoredTagger(
        TaggerConfig.from_dict(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE)),
        load_tags(folder / TAGS_FILE),
        read_optional(folder / WORDS_FILE, Vocabulary.load),
        read_optional(folder / CHARACTERS_FILE, load_lines),
        read_optional(folder / WIDTH_FILE, load_table),
        read_optional(folder / CUSTOMIZATION_FILE, Customization.load),
        weights={},
        elmo=None,
        segmentation=read_segmentation(folder),
    )
    lookup = stored.lookup()
    if stored.config.elmo_variant is not None:
        lookup = _with_elmo(lookup, stored, folder)
    return ExportedFiles(stored, lookup)


def _with_elmo(lookup: Lookup, stored: StoredTagger, folder: Path) -> Lookup:
    """Return the lookup of a tagger with ELMo from that of the same tagger without."""
    num_characters = _num_characters(folder / SIGNATURE_FILE)
    vocabulary, cut, config = None, None, stored.config
    path = folder / ELMO_SEGMENTATION_FILE
    recorded = read_json(path) if path.is_file() else None
    if not num_characters:
        if not (folder / ELMO_VOCABULARY_FILE).is_file():
            raise InputError(f"{folder}: has no {ELMO_VOCABULARY_FILE}; export the tagger again")
        vocabulary = Vocabulary.load(folder / ELMO_VOCABULARY_FILE)
    if config.elmo_reads == "words":
        cut = load_segmenter(as_recorded(recorded))
    return Lookup(
        lookup.words, lookup.folder, lookup.characters, vocabulary, num_characters,
        config.elmo_unknown, cut, looks_up_normalized(stored.segmentation, recorded),
    )


def _num_characters(path: Path) -> int:
    """Return the number of characters of a word that ELMo reads; 0: it reads words or pieces."""
    shapes = read_json(path).get("shapes")
    shape = shapes.get("elmo") if isinstance(shapes, dict) else None
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise InputError(f"{path}: has no shape of the input elmo; export the tagger again")
    return max([0, *shape[2:]])
