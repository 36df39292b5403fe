"""Taggers with random weights on disk, for every kind of pieces and of ELMo; made in no time."""

from pathlib import Path

import numpy as np
import paddle

from bilm.storage.pretrained import open_model
from bilm.text.segmenters import SegmentationOptions
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from lac.lookup import num_character_rows
from lac.model_folder import StoredTagger, write_tagger
from lac.network.config import TaggerConfig
from lac.network.model import Tagger
from lac.pieces import Pieces, kind_of
from lac.pretrained import load_bilm, own_weights
from lac.width import unicode_table
from tests.reference.models import CHARACTER_OPTIONS, random_model, write
from tests.reference.taggers import LINES, WORDS

TEXT = "".join(WORDS)
CHARACTERS = sorted(set(TEXT))
TAGS = sorted({tag[:-2] + mark for line in LINES for tag in line.split("\t")[1].split(" ")
               for mark in ("-B", "-I")})
SEGMENTED = {  # by jieba, in a way that is not the default
    "segmenter": "jieba", "version": None, "dictionary_sha256": None,
    "user_dictionary_sha256": None, "options": {"hmm": False, "normalize": "none"},
}


def segmentation_of(folder, kind) -> SegmentationOptions:
    """Return how the taggers of these tests cut text; `kind` is one of KINDS, or "letters"."""
    if kind == "letters":
        return SegmentationOptions("characters", split_latin=True)
    if kind == "dictionary":
        path = Path(folder) / "counts.txt"
        path.write_text("".join(f"{word} 5\n" for word in WORDS), encoding="utf-8")
        return SegmentationOptions("dictionary", dictionary=str(path))
    if kind == "words":
        path = Path(folder) / "more.txt"
        path.write_text("云溪大 9 nt\n天去 9 v\n", encoding="utf-8")
        return SegmentationOptions("jieba", user_dict=str(path))
    return SegmentationOptions("characters")


def random_bilm(folder, is_of_characters=False, segmentation=None, **settings) -> Path:
    """Write a biLM with random weights that knows half the words of LINES; return its folder."""
    words = [*SPECIAL_TOKENS, *WORDS[::2], *CHARACTERS[::2]]
    vocabulary = Vocabulary(dict.fromkeys(words))
    if is_of_characters:
        settings["char_cnn"], vocabulary = CHARACTER_OPTIONS, None
    size = 50 if vocabulary is None else len(vocabulary)
    model = random_model(5, softmax=False, vocab_size=size, **settings)
    return write(Path(folder) / "bilm",
                 model._replace(vocabulary=vocabulary, segmentation=segmentation), "bilm")


def random_tagger(folder, kind, bilm=None, has_characters=False, customization=None, **settings):
    """Write a tagger with random weights; return its folder.

    Args:
        folder: Where its folder is made.
        kind: See `segmentation_of`.
        bilm: Folder of its biLM, or None.
        has_characters: Whether it has character features.
        customization: Its user dictionary.
        settings: Fields of its configuration.
    """
    paddle.seed(4)
    segmentation = segmentation_of(folder, kind)
    every = sorted({*Pieces(segmentation).cut(TEXT), *CHARACTERS, "abc", "１２"})
    known = every[:-4] if kind_of(segmentation) != "words" else every[::2]
    words = Vocabulary([*SPECIAL_TOKENS, *known])
    characters = CHARACTERS[:20] if has_characters else None
    if bilm is not None:
        settings = {"elmo_variant": "elmo", **settings}
    config = TaggerConfig(
        num_words=len(words), num_tags=len(TAGS), scheme="suffix", word_embedding_size=6,
        gru_size=5, num_layers=2, character_size=4,
        num_characters=num_character_rows(characters), **settings,
    )
    loaded = None if bilm is None else load_bilm(open_model(bilm, moments=False), bilm)
    random = np.random.default_rng(2)
    weights = {
        name: (array + (0.3 if name.startswith("crf") else 1.0)
               * random.normal(size=array.shape)).astype(np.float32)
        for name, array in own_weights(Tagger(config, loaded)).items()
    }
    weights["emissions.weight"] *= 3  # so that the CRF does not decide alone
    stored = StoredTagger(config, TAGS, words, characters, unicode_table(), customization, weights,
                          bilm, segmentation)
    write_tagger(Path(folder) / "tagger", stored)
    return Path(folder) / "tagger"
