"""Folders of taggers: all that tagging needs, written whole, read strictly.

    config.json        TaggerConfig
    tags.txt           the tags in the order of their ids, one a line
    pieces.json        how text is cut into pieces; without it, by jieba
    dictionary.txt     words and counts, for pieces of a dictionary
    jieba_words.txt    user dictionary of jieba, for words as pieces, if there is one
    words.txt          the tagger's own vocabulary; a model imported without its words has none
    characters.txt     characters of the character features, if the tagger has any
    training_words.txt the words of the training data, which scores call known
    width.tsv          forms of characters that are folded, if any are
    customization.txt  user dictionary, where there is one
    mixes.json         the weights of ELMo's layers, for people to read
    elmo/              the biLM's model folder, without its softmax
    ranker.safetensors LAC's ranker, if there is one
    model.safetensors  the parameters, without the biLM's
    checksums.json     SHA-256 of every other file
    training/          the state for resuming; the rest is a complete model

A training run's folder holds such folders, step_00000125 and so on; its file `best` names the
one with the best joint F1 of the dev data from raw text, `latest` the newest one. Beside them are
the files that all of them share, to which theirs are linked: elmo/, and what the segmenter reads.
"""

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, TypeVar

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike, atomic_folder, read_json
from bilm.network.config import BiLMConfig
from bilm.network.mixes import Mixes, mixes_to_json
from bilm.storage.checkpoint import verify_checksums, write_checksums, write_training
from bilm.storage.ready_models import hint_at_ready_models, resolve_model
from bilm.storage.run_folder import BEST, LATEST, latest_checkpoint
from bilm.storage.safetensors_file import read_safetensors, write_safetensors
from bilm.storage.side_files import CONFIG_FILE, MIXES_FILE, VOCABULARY_FILE
from bilm.storage.tensors import as_float32
from bilm.text.lines import numbered_lines
from bilm.text.segment_files import load_segmentation
from bilm.text.segmenters import SegmentationOptions, as_recorded, load_segmenter
from bilm.text.vocabulary import Vocabulary
from lac.baidu import is_baidu_folder
from lac.customization import CUSTOMIZATION_FILE, Customization
from lac.lookup import Lookup, num_character_rows
from lac.network.config import TaggerConfig
from lac.piece_files import (
    link_file,
    looks_up_normalized,
    read_segmentation,
    write_segmentation,
)
from lac.pieces import Pieces, kind_of
from lac.tagged_files import load_tags
from lac.width import WIDTH_FILE, WholeWordFolder, WidthFolder, load_table, to_text

WEIGHTS_FILE, TAGS_FILE, WORDS_FILE = "model.safetensors", "tags.txt", "words.txt"
TRAINING_WORDS_FILE = "training_words.txt"
RANKER_FILE = "ranker.safetensors"
CHARACTERS_FILE, ELMO_FOLDER, TRAINING_FOLDER = "characters.txt", "elmo", "training"
STATE_FILE, OPTIMIZER_FILE = TRAINING_FILES = ("state.json", "optimizer.safetensors")

_Content = TypeVar("_Content")


class StoredTagger(NamedTuple):
    """The content of a tagger's folder.

    Attributes:
        config: Sizes and switches.
        tags: The tags in the order of their ids.
        words: The tagger's own vocabulary; None in a model imported without it.
        characters: Characters of the character features; None: the tagger has none.
        widths: Forms of characters that are folded; None: none are.
        customization: User dictionary, or None.
        weights: Parameters by name, without the biLM's.
        elmo: The biLM's model folder; None: the tagger has no ELMo.
        segmentation: How text is cut into pieces.
        training_words: The words of the training data; None: not known.
        ranker: Parameters of a `lac.network.ranker.Ranker`; None: there is none.
    """

    config: TaggerConfig
    tags: List[str]
    words: Optional[Vocabulary]
    characters: Optional[List[str]]
    widths: Optional[Dict[str, str]]
    customization: Optional[Customization]
    weights: Dict[str, np.ndarray]
    elmo: Optional[Path]
    segmentation: SegmentationOptions = SegmentationOptions()
    training_words: Optional[List[str]] = None
    ranker: Optional[Dict[str, np.ndarray]] = None

    def pieces(self) -> Pieces:
        """Return what cuts text into the tagger's pieces.

        Raises:
            InputError: The segmenter is not installed, or the tagger has no words.
        """
        if kind_of(self.segmentation) != "dictionary":
            return Pieces(self.segmentation)
        if self.words is None:
            raise InputError("the model has no words.txt, which says what its pieces are")
        # Baidu's LAC looks pieces up as they are typed, and folds them afterwards
        folder = None if self.config.convention == "baidu" else self._folder()
        words = self.words
        return Pieces(
            self.segmentation,
            lambda piece: (piece if folder is None else folder.fold(piece)) in words,
        )

    def _folder(self) -> Optional[WidthFolder]:
        if self.widths is None:
            return None
        is_baidu = self.config.convention == "baidu"
        return WholeWordFolder(self.widths) if is_baidu else WidthFolder(self.widths)

    def lookup(self) -> Lookup:
        """Return the lookup of this tagger's ids.

        Raises:
            InputError: The tagger has no words, or its biLM has none.
        """
        if self.words is None:
            raise InputError(
                "the model has no words.txt: it was imported without its vocabulary and takes ids "
                "only; import it again with --vocab"
            )
        elmo_vocabulary, elmo_characters, elmo_cut = None, 0, None
        elmo_is_normalized = False
        if self.elmo is not None:
            recorded = load_segmentation(self.elmo)
            elmo_is_normalized = looks_up_normalized(self.segmentation, recorded)
            if self.config.elmo_reads == "words":
                elmo_cut = load_segmenter(as_recorded(recorded))
            bilm_config = BiLMConfig.load(self.elmo / CONFIG_FILE)
            if bilm_config.char_cnn is not None:
                elmo_characters = bilm_config.max_characters
            elif not (self.elmo / VOCABULARY_FILE).is_file():
                raise InputError(f"{self.elmo}: has no {VOCABULARY_FILE}")
            else:
                elmo_vocabulary = Vocabulary.load(self.elmo / VOCABULARY_FILE)
        return Lookup(
            self.words,
            self._folder(),
            self.characters,
            elmo_vocabulary,
            elmo_characters,
            self.config.elmo_unknown,
            elmo_cut,
            elmo_is_normalized,
        )


def tagger_path(path: PathLike, pointer: str = BEST) -> Path:
    """Return `path`, or the checkpoint that `best` in a training run's folder names.

    Args:
        path: A tagger's folder, a training run's, or the name of a tagger that comes with the
            package.
        pointer: BEST or LATEST.

    Raises:
        InputError: The run has no such checkpoint.
    """
    folder = resolve_model(path, "lac")
    for name in (pointer, LATEST):
        if (folder / name).is_file():
            return latest_checkpoint(folder, name)
    return folder


def read_tagger(path: PathLike) -> StoredTagger:
    """Return the content of a tagger's folder; every file is checked against its checksum.

    Args:
        path: A tagger's folder, or a training run's, which stands for its best checkpoint.

    Raises:
        InputError: There is no tagger, or a file is missing, damaged or does not fit the others.
    """
    folder = tagger_path(path)
    missing = [
        name for name in (CONFIG_FILE, TAGS_FILE, WEIGHTS_FILE) if not (folder / name).is_file()
    ]
    if missing:
        raise InputError(
            f"{folder}: no tagger there: it has no {', '.join(missing)}{_hint(folder)}")
    verify_checksums(folder, training=False)
    config = TaggerConfig.from_dict(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))

    stored = StoredTagger(
        config,
        load_tags(folder / TAGS_FILE),
        read_optional(folder / WORDS_FILE, Vocabulary.load),
        read_optional(folder / CHARACTERS_FILE, load_lines),
        read_optional(folder / WIDTH_FILE, load_table),
        read_optional(folder / CUSTOMIZATION_FILE, Customization.load),
        as_float32(read_safetensors(folder / WEIGHTS_FILE), str(folder / WEIGHTS_FILE)),
        folder / ELMO_FOLDER if config.elmo_variant else None,
        read_segmentation(folder),
        read_optional(folder / TRAINING_WORDS_FILE, load_lines),
        read_optional(
            folder / RANKER_FILE, lambda path: as_float32(read_safetensors(path), str(path))
        ),
    )
    _check_sizes(stored, folder)
    return stored


def read_optional(path: Path, read: Callable[[Path], _Content]) -> Optional[_Content]:
    """Return what `read` makes of a file; None if there is no file."""
    return read(path) if path.is_file() else None


def load_lines(path: Path) -> List[str]:
    """Return the lines of a file."""
    return [line for _, line in numbered_lines(path)]


def write_tagger(
    path: PathLike,
    stored: StoredTagger,
    mixes: Optional[Mixes] = None,
    training: Optional[Dict[str, dict]] = None,
) -> None:
    """Write a tagger's folder; `path` holds all of it or is left as it was.

    Files of the biLM and of the segmenter are linked to where they are, or copied where that
    cannot be.

    Args:
        path: The folder.
        stored: The content.
        mixes: The weights of ELMo's layers.
        training: JSON objects, and dictionaries of arrays, by the names of their files.

    Raises:
        InputError: The folder cannot be written; the message says why.
    """
    try:
        with atomic_folder(path) as folder:
            _write_files(folder, stored, mixes)
            if training:
                write_training(folder / TRAINING_FOLDER, training)
            write_checksums(folder)
    except OSError as error:
        raise InputError(
            f"{path}: the tagger cannot be written: {error.strerror or error}"
        ) from None


def read_training(path: PathLike) -> Dict[str, Dict[str, Any]]:
    """Return the training state in a checkpoint, as `write_tagger` took it.

    Raises:
        InputError: The folder has none, or a file is missing or damaged.
    """
    verify_checksums(path, training=True)
    folder = Path(path) / TRAINING_FOLDER
    if not folder.is_dir():
        raise InputError(f"{path}: holds a model but no training state; it cannot be resumed")
    missing = [name for name in TRAINING_FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: missing {', '.join(missing)}; use another checkpoint")
    state = read_json(folder / STATE_FILE)
    lacking = [name for name in ("options", "step", "data") if name not in state]
    if lacking:
        hint = "; it belongs to a biLM's run" if "tokens_per_epoch" in state else ""
        raise InputError(f"{folder / STATE_FILE}: lacks {', '.join(lacking)}{hint}")
    return {STATE_FILE: state, OPTIMIZER_FILE: read_safetensors(folder / OPTIMIZER_FILE)}


def _write_files(folder: Path, stored: StoredTagger, mixes: Optional[Mixes]) -> None:
    def lines_of(items: Iterable[str]) -> str:
        return "".join(f"{item}\n" for item in items)

    texts = {CONFIG_FILE: stored.config.to_json(), TAGS_FILE: lines_of(stored.tags)}
    if stored.words is not None:
        texts[WORDS_FILE] = stored.words.to_text()
    if stored.characters is not None:
        texts[CHARACTERS_FILE] = lines_of(stored.characters)
    if stored.widths is not None:
        texts[WIDTH_FILE] = to_text(stored.widths)
    if stored.customization is not None:
        texts[CUSTOMIZATION_FILE] = stored.customization.to_text()
    if stored.training_words is not None:
        texts[TRAINING_WORDS_FILE] = lines_of(stored.training_words)
    if mixes is not None:
        texts[MIXES_FILE] = mixes_to_json(mixes)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode("utf-8"))
    write_segmentation(folder, stored.segmentation)
    write_safetensors(folder / WEIGHTS_FILE, stored.weights)
    if stored.ranker is not None:
        write_safetensors(folder / RANKER_FILE, stored.ranker)
    if stored.elmo is not None:
        _link_files(stored.elmo, folder / ELMO_FOLDER)


def _link_files(source: Path, target: Path) -> None:
    target.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file():
            link_file(path, target / path.name)


def _check_sizes(stored: StoredTagger, path: Path) -> None:
    config = stored.config
    counts = [(TAGS_FILE, len(stored.tags), "num_tags", config.num_tags)]
    if stored.words is not None:
        counts.append((WORDS_FILE, len(stored.words), "num_words", config.num_words))
    problems = [
        f"{name} has {count} lines, but {field} in {CONFIG_FILE} is {expected}"
        for name, count, field, expected in counts
        if count != expected
    ]
    num_characters = num_character_rows(stored.characters)
    if config.num_characters != num_characters:
        problems.append(f"num_characters is {config.num_characters}, but {CHARACTERS_FILE} makes "
                        f"it {num_characters}")
    if stored.elmo is not None and not (stored.elmo / CONFIG_FILE).is_file():
        problems.append(f"there is no biLM in {ELMO_FOLDER}")
    if problems:
        raise InputError(f"{path}: {'; '.join(problems)}")


def _hint(path: Path) -> str:
    if not path.exists():
        return " (there is no such folder)" + hint_at_ready_models(path, "lac")
    if is_baidu_folder(path):
        return f"; it is a model of Baidu's LAC: lac convert {path} NEW_FOLDER --to lac"
    if (path / CONFIG_FILE).is_file():
        return "; it may be a biLM, which lac train --elmo takes"
    return ""
