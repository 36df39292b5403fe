"""The files beside the weights, whatever the format of these.

    config.json         BiLMConfig
    vocab.txt           the words, one a line
    segmentation.json   how the training text was segmented
    mixes.json          a layer mix that was learned with the model

Each of them may be absent.
"""

from pathlib import Path
from typing import NamedTuple, Optional

from bilm.errors import InputError
from bilm.files import PathLike, read_json, write_json
from bilm.network.config import BiLMConfig
from bilm.network.mixes import Mixes, mixes_from_json, mixes_to_json
from bilm.storage.stored_model import StoredModel, config_for
from bilm.text.shards import SEGMENTATION_FILE
from bilm.text.vocabulary import Vocabulary

CONFIG_FILE, VOCABULARY_FILE, MIXES_FILE = "config.json", "vocab.txt", "mixes.json"


class SideFiles(NamedTuple):
    """The files beside the weights; None where there is none.

    Attributes:
        config: config.json, sizes and switches.
        vocabulary: vocab.txt.
        segmentation: segmentation.json, how the training text was segmented.
        mixes: mixes.json, a layer mix.
    """

    config: Optional[BiLMConfig]
    vocabulary: Optional[Vocabulary]
    segmentation: Optional[dict]
    mixes: Optional[Mixes]


def read_side_files(folder: PathLike) -> SideFiles:
    """Return what stands beside the weights in a folder.

    The configuration has the ids of special tokens that the vocabulary has.

    Raises:
        InputError: A file is damaged, or the vocabulary is not of the configuration's size.
    """
    folder = Path(folder)

    def optional(name, read):
        return read(folder / name) if (folder / name).is_file() else None

    config = optional(CONFIG_FILE, BiLMConfig.load)
    vocabulary = optional(VOCABULARY_FILE, Vocabulary.load)
    if config and vocabulary and len(vocabulary) != config.vocab_size:
        raise InputError(
            f"{folder / VOCABULARY_FILE}: has {len(vocabulary)} words, but vocab_size in "
            f"{CONFIG_FILE} is {config.vocab_size}"
        )
    if config and vocabulary:
        config = config_for(config, vocabulary)
    segmentation = optional(SEGMENTATION_FILE, read_json)
    return SideFiles(config, vocabulary, segmentation, optional(MIXES_FILE, read_mixes_file))


def read_mixes_file(path: PathLike) -> Mixes:
    """Return the mixes in a file that `ELMo.save_mixes` wrote.

    Raises:
        InputError: The file is damaged.
    """
    return mixes_from_json(Path(path).read_bytes(), str(path))


def write_side_files(folder: PathLike, model: StoredModel, with_config: bool = True) -> None:
    """Write what stands beside a model's weights; `with_config`: config.json, too."""
    folder = Path(folder)
    if with_config:
        (folder / CONFIG_FILE).write_text(model.config.to_json(), encoding="utf-8")
    if model.vocabulary is not None:
        with open(folder / VOCABULARY_FILE, "w", encoding="utf-8", newline="") as file:
            file.write(model.vocabulary.to_text())
    if model.segmentation is not None:
        write_json(folder / SEGMENTATION_FILE, model.segmentation)
    if model.mixes is not None:
        (folder / MIXES_FILE).write_text(mixes_to_json(model.mixes), encoding="utf-8")
