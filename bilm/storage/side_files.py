"""What stands beside the weights, whatever their format: sizes, words, and where they come from.

    config.json         BiLMConfig
    vocab.txt           the words, one a line
    segmentation.json   how the training text was segmented
    mixes.json          a layer mix that was learned with the model

Each of them but the first may be absent.
"""

from pathlib import Path
from typing import NamedTuple, Optional

from bilm.errors import InputError
from bilm.files import read_json, write_json
from bilm.network.config import BiLMConfig
from bilm.network.mixes import MIXES_FILE, Mixes, mixes_to_json, read_mixes
from bilm.text.shards import SEGMENTATION_FILE
from bilm.text.vocabulary import Vocabulary

CONFIG_FILE, VOCABULARY_FILE = "config.json", "vocab.txt"


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


def read_side_files(folder) -> SideFiles:
    """Return what stands beside the weights in a folder.

    Raises:
        InputError: A file is damaged, or the vocabulary is not of the configuration's size.
    """
    folder = Path(folder)
    config = vocabulary = segmentation = mixes = None
    if (folder / CONFIG_FILE).is_file():
        config = BiLMConfig.load(folder / CONFIG_FILE)
    if (folder / VOCABULARY_FILE).is_file():
        vocabulary = Vocabulary.load(folder / VOCABULARY_FILE)
    if config and vocabulary and len(vocabulary) != config.vocab_size:
        raise InputError(
            f"{folder / VOCABULARY_FILE}: has {len(vocabulary)} words, but vocab_size in "
            f"{CONFIG_FILE} is {config.vocab_size}"
        )
    if (folder / SEGMENTATION_FILE).is_file():
        segmentation = read_json(folder / SEGMENTATION_FILE)
    if (folder / MIXES_FILE).is_file():
        mixes = read_mixes(folder)
    return SideFiles(config, vocabulary, segmentation, mixes)


def write_side_files(folder, files: SideFiles) -> None:
    """Write what is known to a folder."""
    folder = Path(folder)
    if files.config is not None:
        (folder / CONFIG_FILE).write_text(files.config.to_json(), encoding="utf-8")
    if files.vocabulary is not None:
        with open(folder / VOCABULARY_FILE, "w", encoding="utf-8", newline="") as file:
            file.write(files.vocabulary.to_text())
    if files.segmentation is not None:
        write_json(folder / SEGMENTATION_FILE, files.segmentation)
    if files.mixes is not None:
        (folder / MIXES_FILE).write_text(mixes_to_json(files.mixes), encoding="utf-8")
