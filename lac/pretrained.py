"""Load and save taggers."""

import tempfile
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np

from bilm.conversion.convert import convert
from bilm.errors import InputError
from bilm.files import PathLike, check_new_folder
from bilm.network.model import BiLM
from bilm.storage.models import build_model
from bilm.storage.pretrained import open_model
from bilm.storage.stored_model import StoredModel
from bilm.storage.tensors import set_weights, weights_of
from lac.analyser import Analyser
from lac.model_folder import ELMO_FOLDER, StoredTagger, read_tagger, write_tagger
from lac.network.model import PLACE_SIZE, Tagger
from lac.prediction import Predictor
from lac.ranking import Ranking
from lac.tag_schemes import TagScheme

BILM_PREFIX = "elmo.bilm."
_INPUT_WEIGHTS = ("weight_ih", "weight_ih_l0", "weight_ih_l0_reverse")  # of Paddle's GRU


def load_tagger(path: PathLike) -> Tuple[Tagger, StoredTagger]:
    """Return the tagger at `path`, in evaluation mode, and the content of its folder.

    Args:
        path: A tagger's folder, or a training run's, which stands for its best checkpoint.

    Raises:
        InputError: There is no tagger, or it is incomplete or damaged.
    """
    stored = read_tagger(path)
    bilm = None
    if stored.elmo is not None:
        bilm = load_bilm(open_model(stored.elmo, moments=False), stored.elmo)
    tagger = Tagger(stored.config, bilm)
    set_own_weights(tagger, stored.weights, str(path))
    tagger.eval()
    return tagger, stored


def load_bilm(stored: StoredModel, source: PathLike) -> BiLM:
    """Return a stored biLM as a layer, without its softmax: ELMo needs none.

    Raises:
        InputError: Its weights do not fit its configuration.
    """
    return build_model(stored, str(source), has_softmax=False)


def load_analyser(path: PathLike, batch_size: int = 32) -> Analyser:
    """Return what cuts and tags texts with the tagger at `path`.

    Raises:
        InputError: As `load_tagger`; or the tagger has no words.
    """
    return analyser_of(*load_tagger(path), batch_size)


def analyser_of(tagger: Tagger, stored: StoredTagger, batch_size: int = 32) -> Analyser:
    """Return what cuts and tags texts with the result of `load_tagger`.

    Raises:
        InputError: The tagger has no words, or its segmenter is not installed.
    """
    scheme = TagScheme(stored.config.scheme)
    predictor = Predictor(tagger, stored.lookup(), stored.tags, scheme, batch_size)
    return Analyser(predictor, stored.pieces(), stored.config.convention)


def load_ranking(
    stored: StoredTagger, predictor: Predictor, batch_size: int = 32
) -> Optional[Ranking]:
    """Return LAC's ranker of a tagger's pieces; None: the tagger has none.

    Raises:
        InputError: Its parameters do not fit each other.
    """
    if stored.ranker is None:
        return None
    return Ranking(stored.ranker, predictor.lookup, predictor.tags, batch_size)


def save_tagger(
    path: PathLike, stored: StoredTagger, tagger: Tagger, dtype: str = "float32"
) -> None:
    """Write a loaded tagger to a new folder; it appears whole or not at all.

    Args:
        path: A folder that does not exist, or is empty.
        stored: The folder's content.
        tagger: The network, for its mix of layers.
        dtype: "float32", or "float16" for files half as large; computation stays in float32.

    Raises:
        InputError: The folder holds something, or cannot be written, or there is no such type.
    """
    check_new_folder(path)
    if dtype not in ("float32", "float16"):
        raise InputError(f"dtype must be float32 or float16, not {dtype!r}")
    mixes = None if tagger.elmo is None else tagger.elmo.to_mixes()
    if dtype == "float32":
        write_tagger(path, stored, mixes)
        return
    weights = {name: array.astype(dtype) for name, array in stored.weights.items()}
    with tempfile.TemporaryDirectory() as folder:
        elmo = None
        if stored.elmo is not None:
            elmo = Path(folder) / ELMO_FOLDER
            convert(stored.elmo, elmo, "bilm", dtype=dtype)
        write_tagger(path, stored._replace(weights=weights, elmo=elmo), mixes)


def own_weights(tagger: Tagger) -> Dict[str, np.ndarray]:
    """Return the parameters of a tagger by name, without those of its biLM."""
    return {
        name: array for name, array in weights_of(tagger).items()
        if not name.startswith(BILM_PREFIX)
    }


def set_own_weights(tagger: Tagger, weights: Dict[str, np.ndarray], source: str) -> None:
    """Set the parameters of a tagger except those of its biLM.

    Args:
        tagger: The tagger.
        weights: The parameters by name.
        source: Where they come from, for messages.

    Raises:
        InputError: Arrays are missing, not known or of another shape or type; all are listed.
    """
    of_bilm = {
        name: array for name, array in weights_of(tagger).items() if name.startswith(BILM_PREFIX)
    }
    set_weights(tagger, {**of_bilm, **weights}, source)


def set_widened_weights(tagger: Tagger, weights: Dict[str, np.ndarray], source: str) -> None:
    """Set the parameters of a tagger from those of one with fewer features at its input.

    A tagger that gets ELMo has more inputs to its first BiGRU layer: the rows for ELMo's vectors,
    which come first, and for a piece's place in ELMo's word, which come last, are zero. The tagger
    then computes what it did without ELMo. ELMo's own parameters stay as they are.

    Args:
        tagger: The tagger.
        weights: The parameters by name.
        source: Where they come from, for messages.

    Raises:
        InputError: Arrays are missing, not known or of another shape or type; all are listed.
    """
    own = own_weights(tagger)
    if tagger.elmo is None or any(name.startswith("elmo.") for name in weights):
        set_own_weights(tagger, weights, source)
        return
    added = {name: own[name] for name in own if name.startswith(("elmo.", "place_embedding."))}
    before, after = tagger.elmo_size, 0 if tagger.place_embedding is None else PLACE_SIZE
    widened = dict(weights)
    for name, array in weights.items():
        if name.startswith("gru_layers.0.") and name.endswith(("input_weight", *_INPUT_WEIGHTS)):
            is_by_column = name.endswith(_INPUT_WEIGHTS)  # (gates, features)
            padding = ((0, 0), (before, after)) if is_by_column else ((before, after), (0, 0))
            widened[name] = np.pad(array, padding)
    set_own_weights(tagger, {**widened, **added}, source)
