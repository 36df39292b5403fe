"""Convert a biLM from one format to another; or, with `--to lac`, a folder of LARK's LAC demo.

LARK's demo saves the tagger's variables and those of its biLM in one folder. What it computed, the
tagger that is written computes: variant "lark", a GRU that resets before its product, one
vocabulary for both, no folding of widths, decoding without constraints.
"""

import logging
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bilm.conversion.convert import convert
from bilm.errors import InputError
from bilm.files import check_new_folder
from bilm.storage.formats import lark, lark_lac
from bilm.storage.formats.tables import from_format
from bilm.storage.pretrained import open_model
from bilm.storage.tensors import as_float32
from bilm.text.vocabulary import Vocabulary
from lac.model_folder import StoredTagger, read_tagger, write_tagger
from lac.network.config import TaggerConfig
from lac.tag_schemes import TagScheme
from lac.tagged_files import load_tags

_log = logging.getLogger("lac")

FORMAT = "lac"
_MAX_LAYERS = 8


class Import(NamedTuple):
    """What an import did.

    Attributes:
        tensors: Number of the tagger's own parameters, the biLM's aside.
        words: Words of the vocabulary; 0 without one.
        tags: Number of tags.
    """

    tensors: int
    words: int
    tags: int


def import_lark(source, target, vocab_path=None, tags_path=None, **settings) -> Import:
    """Write the tagger that LARK's LAC demo saved in `source` to the folder `target`.

    Args:
        source: The folder, or an `.npz` with the same variables.
        target: A folder that does not exist, or is empty; it appears whole or not at all.
        vocab_path: The vocabulary, of the word embedding and of ELMo; without it the model
            takes ids only.
        tags_path: The tags, as `lac.tagged_files.load_tags` reads them; None: numbers.
        settings: What the folder does not tell of its biLM: cell_clip, projection_clip.

    Raises:
        InputError: The source is no such folder, incomplete or damaged, the files do not fit it,
            or the target cannot be written.
    """
    target = Path(target)
    check_new_folder(target)
    weights, num_layers = _read_weights(source)
    bilm = open_model(source, **settings)
    mixes = bilm.mixes
    if mixes is None:
        raise InputError(f"{source}: lacks {lark.MIX_WEIGHTS} and {lark.MIX_GAMMA}")
    for name, array in zip(("weights", "gamma"), mixes.parameters[0]):
        weights[f"elmo.mixes.0.{name}"] = array
    odd = sorted(name for name, array in weights.items() if not np.isfinite(array).all())
    if odd:
        _log.warning(f"{source}: values that are not finite in {', '.join(odd)}")
    num_words, embedding_size = weights["word_embedding.weight"].shape
    gru_size2, num_tags = weights["emissions.weight"].shape
    tags = [str(number) for number in range(num_tags)]
    if tags_path:
        tags = _fitting(load_tags(tags_path), num_tags, tags_path)
    config = TaggerConfig(
        num_words=num_words,
        num_tags=num_tags,
        scheme=TagScheme.of(tags).name,
        word_embedding_size=embedding_size,
        gru_size=gru_size2 // 2,
        num_layers=num_layers,
        elmo_variant="lark",
        elmo_unknown="unk",
        reset_before=True,
        constrained_decoding=False,
    )
    rows = bilm.config.vocab_size
    if num_words != rows:
        raise InputError(f"{source}: word_emb has {num_words} rows, but {lark.EMBEDDING} {rows}")
    words = _fitting(Vocabulary.load(vocab_path), num_words, vocab_path) if vocab_path else None
    from lac.pretrained import load_tagger  # only now: it imports Paddle

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as folder:
        elmo = Path(folder) / "elmo"
        convert(source, elmo, "bilm", vocab_path=vocab_path, **settings)
        stored = StoredTagger(config, tags, words, None, None, None, weights, elmo)
        copy = Path(folder) / "tagger"
        write_tagger(copy, stored, mixes)
        load_tagger(copy)  # which refuses tensors that do not fit each other
        written = read_tagger(copy).weights
        for name, array in weights.items():
            if not np.array_equal(written[name], array, equal_nan=True):
                raise InputError(f"{target}: {name} is not what was read")
        os.replace(copy, target)
    return Import(len(weights), len(words or ()), len(tags))


def _read_weights(source):
    """Return the tagger's own parameters by our names, and its number of BiGRU layers."""
    if not Path(source).exists():
        raise InputError(f"{source}: no such folder; check the spelling")
    located = lark.find(Path(source))
    if located is None:
        raise InputError(
            f"{source}: no folder of LARK's LAC demo: expected one file a variable, such as "
            f"{lark.EMBEDDING} and crfw"
        )
    known = {name for entry in lark_lac.table(_MAX_LAYERS) for name in entry.theirs}
    variables = lark.read_variables(located, known)
    num_layers = sum(f"gru_{2 * layer}.w_0" in variables for layer in range(_MAX_LAYERS))
    table = lark_lac.table(num_layers)
    missing = sorted({name for entry in table for name in entry.theirs} - variables.keys())
    if not num_layers or missing:
        raise InputError(
            f"{source}: no complete tagger of LARK's LAC demo: missing "
            f"{', '.join(missing) or 'gru_0.w_0'}"
        )
    weights = from_format(table, variables, str(source))
    arrays = {name: np.asarray(array) for name, array in weights.items()}
    return as_float32(arrays, str(source)), num_layers


def _fitting(items, expected, path):
    if len(items) != expected:
        raise InputError(f"{path}: has {len(items)} entries, but the model has {expected}")
    return items
