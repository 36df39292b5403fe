"""The scores of a tagger on tagged text."""

import logging
from typing import Callable, Iterable, Optional

from tqdm import tqdm

from bilm.files import PathLike
from lac.layer_cache import LayerCache
from lac.prediction import Predictor
from lac.tagged_files import TaggedCorpus, unknown_tags
from lac.word_scores import WordScores, words_of

_log = logging.getLogger("lac")


def score(
    predictor: Predictor,
    corpus: TaggedCorpus,
    is_known: Optional[Callable[[str], bool]] = None,
    cache: Optional[LayerCache] = None,
    show_progress: bool = False,
) -> WordScores:
    """Return the scores of a tagger's predictions.

    Args:
        predictor: The tagger.
        corpus: Sentences with their right tags. A word whose right tag the tagger does not know
            counts as wrong.
        is_known: See `WordScores`.
        cache: ELMo's layers of the sentences, or None.
        show_progress: Whether to show a progress bar, if stderr is a terminal.
    """
    scores = WordScores(is_known)
    tokens = [sentence.tokens for sentence in corpus.sentences]
    with tqdm(total=len(tokens), unit="sentence", disable=None if show_progress else True) as bar:
        predicted = predictor.predict(tokens, cache, bar.update)
    for sentence, tags in zip(corpus.sentences, predicted):
        scores.add(
            *words_of(sentence.tokens, sentence.tags, corpus.scheme),
            *words_of(sentence.tokens, tags, predictor.scheme),
        )
    return scores


def warn_of_unknown_tags(corpus: TaggedCorpus, tags: Iterable[str], path: PathLike) -> None:
    """Warn of the tags of a corpus that are not among those of a tagger."""
    unknown = unknown_tags(corpus, tags)
    if unknown:
        counted = ", ".join(f"{tag} ({count})" for tag, count in unknown.items())
        _log.warning(
            f"{path}: tags that the tagger does not know, all of which count as wrong: {counted}"
        )
