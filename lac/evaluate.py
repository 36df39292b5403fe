"""The scores of a tagger on tagged text."""

import logging
from collections import Counter
from typing import Iterable, List, Optional

from tqdm import tqdm

from bilm.files import PathLike
from lac.analyser import Analyser, CutTexts
from lac.analysis import words_of
from lac.customization import Customization
from lac.layer_cache import LayerCache
from lac.model_folder import StoredTagger
from lac.tag_schemes import OUTSIDE, TagScheme
from lac.tagged_files import TaggedCorpus
from lac.word_scores import WordScores

_log = logging.getLogger("lac")


def texts_of(corpus: TaggedCorpus) -> List[str]:
    """Return the sentences as raw text: their words, joined."""
    return ["".join(sentence.tokens) for sentence in corpus.sentences]


def score(
    analyser: Analyser,
    corpus: TaggedCorpus,
    cut: CutTexts,
    customization: Optional[Customization] = None,
    training_words: Optional[Iterable[str]] = None,
    cache: Optional[LayerCache] = None,
    show_progress: bool = False,
) -> WordScores:
    """Return the scores of a tagger's words and tags.

    Args:
        analyser: The tagger.
        corpus: Sentences with their right tags. A word whose right tag the tagger does not know
            counts as wrong.
        cut: The same sentences as the tagger cuts them: `cut_texts` of `texts_of`, or of the
            words with spaces between them and segmented=True.
        customization: User dictionary to lay over the tagger's words.
        training_words: Words that the training data had; None: not known.
        cache: ELMo's layers of these sentences, or None.
        show_progress: Whether to show a progress bar, if stderr is a terminal.
    """
    known = None if training_words is None else set(training_words)
    scores = WordScores(None if known is None else known.__contains__)
    total = len(cut.sentences)
    with tqdm(total=total, unit="sentence", disable=None if show_progress else True) as bar:
        analyses = analyser.tag(cut, customization, cache, bar.update)
    for sentence, analysis in zip(corpus.sentences, analyses):
        gold = words_of(sentence.tokens, sentence.tags, corpus.scheme)
        scores.add(*gold, analysis.words, analysis.tags)
    return scores


def warn_of_unknown_types(corpus: TaggedCorpus, stored: StoredTagger, path: PathLike) -> None:
    """Warn of the types of a corpus that are not among those of a tagger."""
    own = TagScheme(stored.config.scheme)
    known = {own.parse(tag)[1] or OUTSIDE for tag in stored.tags}
    counts = Counter(
        kind for sentence in corpus.sentences
        for kind in words_of(sentence.tokens, sentence.tags, corpus.scheme)[1]
    )
    unknown = ", ".join(
        f"{kind} ({count})" for kind, count in sorted(counts.items()) if kind not in known
    )
    if unknown:
        _log.warning(
            f"{path}: types that the tagger does not know, all of which count as wrong: {unknown}"
        )
