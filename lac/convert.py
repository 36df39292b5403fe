"""Convert a folder of LARK's LAC demo, or of Baidu's LAC 2, to a tagger.

LARK's demo saves the tagger's variables and those of its biLM in one folder. The tagger that is
written computes what the demo computed: variant "lark", a GRU that resets before its product, one
vocabulary for both, no folding of widths, decoding without constraints.

Baidu's LAC 2 has a folder for each of its modes, `lac_model`, `seg_model` and `rank_model`, with
its dictionaries beside the weights. The tagger that is written gives the words, tags and ranks of
LAC 2.1.2.
"""

import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sized, Tuple

import numpy as np

from bilm.conversion.convert import convert
from bilm.errors import InputError
from bilm.files import PathLike, check_new_folder
from bilm.network.mixes import Mixes
from bilm.storage.formats import baidu_lac, lark, lark_lac
from bilm.storage.formats.tables import from_format
from bilm.storage.pretrained import open_model
from bilm.storage.stored_model import StoredModel
from bilm.storage.tensors import as_float32
from bilm.text.dictionary import Dictionary
from bilm.text.segmenters import SegmentationOptions
from bilm.text.vocabulary import Vocabulary
from lac.baidu import UNNAMED_TYPE, BaiduFolder, read_baidu_folder
from lac.model_folder import StoredTagger, read_tagger, write_tagger
from lac.network.config import TaggerConfig
from lac.pretrained import load_tagger
from lac.tag_schemes import TagScheme
from lac.tagged_files import load_tags

_log = logging.getLogger("lac")

_MAX_LAYERS = 8


class Import(NamedTuple):
    """A report on an import.

    Attributes:
        tensors: Number of the tagger's own parameters, without those of the biLM.
        words: Number of words of the vocabulary; 0 without one.
        tags: Number of tags.
    """

    tensors: int
    words: int
    tags: int


def import_lark(
    source: PathLike,
    target: PathLike,
    vocab_path: Optional[PathLike] = None,
    tags_path: Optional[PathLike] = None,
    cell_clip: Optional[float] = None,
    projection_clip: Optional[float] = None,
) -> Import:
    """Write the tagger that LARK's LAC demo saved in `source` to the folder `target`.

    Args:
        source: The folder, or an `.npz` with the same variables.
        target: A folder that does not exist, or is empty; it appears whole or not at all.
        vocab_path: The vocabulary of the word embedding and of ELMo; without it the model takes
            ids only.
        tags_path: The tags, see `lac.tagged_files.load_tags`; None: numbers.
        cell_clip: Clip of the biLM's cells, which the folder does not hold; None: LARK's 3.
        projection_clip: Clip of the biLM's projections; None: LARK's 3.

    Raises:
        InputError: The source is no such folder, incomplete or damaged, the files do not fit it,
            or the target cannot be written.
    """
    target = Path(target)
    check_new_folder(target)
    clips: Dict[str, Any] = {"cell_clip": cell_clip, "projection_clip": projection_clip}
    weights, num_layers = _read_weights(source)
    bilm = open_model(source, **clips)
    mixes = _read_mixes(bilm, weights, source)
    _warn_of_values(weights, source)
    config, tags = _config_and_tags(weights, num_layers, tags_path)
    if config.num_words != bilm.config.vocab_size:
        raise InputError(
            f"{source}: word_emb has {config.num_words} rows, but {lark.EMBEDDING} "
            f"{bilm.config.vocab_size}"
        )
    words = None
    if vocab_path:
        words = Vocabulary.load(vocab_path)
        _check_size(words, config.num_words, vocab_path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as folder:
        elmo, tagger = Path(folder) / "elmo", Path(folder) / "tagger"
        convert(source, elmo, "bilm", vocab_path=vocab_path, **clips)
        stored = StoredTagger(config, tags, words, None, None, None, weights, elmo)
        write_tagger(tagger, stored, mixes)
        _check_written(tagger, weights, target)
        os.replace(tagger, target)
    return Import(len(weights), len(words or ()), len(tags))


def import_baidu(source: PathLike, target: PathLike) -> Import:
    """Write the tagger in a folder of Baidu's LAC 2 to the folder `target`.

    A ranker needs the tagger whose tags it reads: of `rank_model` the folder `lac_model` beside it
    is read, too, as LAC does. The types of `seg_model`, which has none, become UNNAMED_TYPE.

    Args:
        source: `lac_model`, `seg_model` or `rank_model` of the package LAC, or a folder that LAC
            wrote after training.
        target: A folder that does not exist, or is empty; it appears whole or not at all.

    Raises:
        InputError: The source is no such folder, incomplete or damaged, or the target cannot be
            written.
    """
    target = Path(target)
    check_new_folder(target)
    folder, ranker = read_baidu_folder(source), None
    if folder.mode == "rank":
        ranker = baidu_lac.read_ranker(folder.model)
        ranker["word_embedding.weight"] = folder.extended(ranker["word_embedding.weight"])
        folder = _tagger_of_ranker(Path(source))
    weights, num_layers = baidu_lac.read_tagger(folder.model)
    words = folder.vocabulary(len(weights["word_embedding.weight"]))
    weights["word_embedding.weight"] = folder.extended(weights["word_embedding.weight"])
    if ranker is not None and len(ranker["word_embedding.weight"]) != len(words):
        raise InputError(f"{source}: its ranker does not read the words of {folder.path}")
    _check_size(
        folder.tags, weights["emissions.weight"].shape[1], folder.path / "conf" / "tag.dic"
    )
    _warn_of_values(weights, source)
    tags = [UNNAMED_TYPE + tag if tag.startswith("-") else tag for tag in folder.tags]
    config, _ = _config_and_tags(weights, num_layers, None, tags)
    config = replace(config, elmo_variant=None, convention="baidu")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as temporary:
        segmentation = SegmentationOptions("characters", split_latin=True)
        if folder.dictionary is not None:
            path = Path(temporary) / "dictionary.txt"
            path.write_text(Dictionary(folder.dictionary).to_text(), encoding="utf-8")
            segmentation = SegmentationOptions(
                "dictionary", dictionary=str(path), dictionary_weights="lengths"
            )
        stored = StoredTagger(
            config, tags, words, None, folder.widths(), None, weights, None, segmentation,
            ranker=ranker,
        )
        tagger = Path(temporary) / "tagger"
        write_tagger(tagger, stored)
        _check_written(tagger, weights, target)
        os.replace(tagger, target)
    num_tensors = len(weights) + len(ranker or ())
    return Import(num_tensors, len(words), len(tags))


def _tagger_of_ranker(source: Path) -> BaiduFolder:
    path = source.absolute().parent / "lac_model"
    if not path.is_dir():
        raise InputError(f"{source}: ranks what a tagger found, but there is no {path}; put the "
                         "package's lac_model there")
    return read_baidu_folder(path)


def _read_mixes(bilm: StoredModel, weights: Dict[str, np.ndarray], source: PathLike) -> Mixes:
    """Return the mix of ELMo's layers, and add its parameters to the tagger's weights."""
    if bilm.mixes is None:
        raise InputError(f"{source}: lacks {lark.MIX_WEIGHTS} and {lark.MIX_GAMMA}")
    for name, array in zip(("weights", "gamma"), bilm.mixes.parameters[0]):
        weights[f"elmo.mixes.0.{name}"] = array
    return bilm.mixes


def _warn_of_values(weights: Dict[str, np.ndarray], source: PathLike) -> None:
    not_finite = sorted(name for name, array in weights.items() if not np.isfinite(array).all())
    if not_finite:
        _log.warning(f"{source}: values that are not finite in {', '.join(not_finite)}")


def _config_and_tags(
    weights: Dict[str, np.ndarray], num_layers: int, tags_path: Optional[PathLike],
    tags: Optional[List[str]] = None,
) -> Tuple[TaggerConfig, List[str]]:
    num_words, embedding_size = weights["word_embedding.weight"].shape
    both_directions, num_tags = weights["emissions.weight"].shape
    if tags_path:
        tags = load_tags(tags_path)
        _check_size(tags, num_tags, tags_path)
    elif tags is None:
        tags = [str(number) for number in range(num_tags)]
    config = TaggerConfig(
        num_words=num_words,
        num_tags=num_tags,
        scheme=TagScheme.of(tags).name,
        word_embedding_size=embedding_size,
        gru_size=both_directions // 2,
        num_layers=num_layers,
        elmo_variant="lark",
        elmo_unknown="unk",
        reset_before=True,
        constrained_decoding=False,
    )
    return config, tags


def _check_written(tagger: Path, weights: Dict[str, np.ndarray], target: Path) -> None:
    """Read a tagger's folder back, and compare its weights."""
    load_tagger(tagger)  # refuses tensors that do not fit each other
    written = read_tagger(tagger).weights
    for name, array in weights.items():
        if not np.array_equal(written[name], array, equal_nan=True):
            raise InputError(f"{target}: {name} is not what was read")


def _read_weights(source: PathLike) -> Tuple[Dict[str, np.ndarray], int]:
    """Return the tagger's own parameters by our names, and its number of BiGRU layers."""
    if not Path(source).exists():
        raise InputError(f"{source}: no such folder; check the spelling")
    located = lark.find(Path(source))
    if located is None:
        raise InputError(
            f"{source}: no folder of LARK's LAC demo: expected one file a variable, such as "
            f"{lark.EMBEDDING} and crfw; of Baidu's LAC 2, name lac_model, seg_model or rank_model"
        )
    known = {name for entry in lark_lac.table(_MAX_LAYERS) for name in entry.theirs}
    variables: Dict[str, Any] = lark.read_variables(located, known)
    num_layers = sum(f"gru_{2 * layer}.w_0" in variables for layer in range(_MAX_LAYERS))
    table = lark_lac.table(num_layers)
    missing = sorted({name for entry in table for name in entry.theirs} - variables.keys())
    if not num_layers or missing:
        raise InputError(
            f"{source}: no complete tagger of LARK's LAC demo: missing "
            f"{', '.join(missing) or 'gru_0.w_0'}"
        )
    weights = from_format(table, variables, str(source))
    return as_float32(weights, str(source)), num_layers


def _check_size(items: Sized, expected: int, path: PathLike) -> None:
    if len(items) != expected:
        raise InputError(f"{path}: has {len(items)} entries, but the model has {expected}")
