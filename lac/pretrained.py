"""Taggers from their folders."""

from typing import Dict, Tuple

import numpy as np

from bilm.files import PathLike
from bilm.network.model import BiLM
from bilm.storage.models import build_model
from bilm.storage.pretrained import open_model
from bilm.storage.stored_model import StoredModel
from bilm.storage.tensors import set_weights, weights_of
from lac.model_folder import StoredTagger, read_tagger
from lac.network.model import Tagger
from lac.prediction import Predictor
from lac.tag_schemes import TagScheme

BILM_PREFIX = "elmo.bilm."


def load_tagger(path) -> Tuple[Tagger, StoredTagger]:
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


def load_predictor(path, batch_size: int = 32) -> Predictor:
    """Return what tags sentences of words with the tagger at `path`.

    Raises:
        InputError: As `load_tagger`; or the tagger has no words.
    """
    return predictor_of(*load_tagger(path), batch_size)


def predictor_of(tagger: Tagger, stored: StoredTagger, batch_size: int = 32) -> Predictor:
    """Return what tags sentences of words with what `load_tagger` returned.

    Raises:
        InputError: The tagger has no words.
    """
    scheme = TagScheme(stored.config.scheme)
    return Predictor(tagger, stored.lookup(), stored.tags, scheme, batch_size)


def own_weights(tagger: Tagger) -> Dict[str, np.ndarray]:
    """Return the parameters of a tagger by name, without those of its biLM."""
    return {
        name: array for name, array in weights_of(tagger).items()
        if not name.startswith(BILM_PREFIX)
    }


def set_own_weights(tagger: Tagger, weights: Dict[str, np.ndarray], source: str) -> None:
    """Set the parameters of a tagger that are not its biLM's.

    Raises:
        InputError: Arrays are missing, not known or of another shape or type; all are listed.
    """
    of_bilm = {
        name: array for name, array in weights_of(tagger).items() if name.startswith(BILM_PREFIX)
    }
    set_weights(tagger, {**of_bilm, **weights}, source)
