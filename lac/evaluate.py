"""The scores of a tagger on tagged text."""

import logging
from typing import Any, Dict, Iterable, List, Optional

from tqdm import tqdm

from bilm.files import PathLike
from lac.layer_cache import LayerCache
from lac.prediction import Predictor
from lac.span_scores import SpanScores
from lac.tagged_files import TaggedCorpus, unknown_tags

_log = logging.getLogger("lac")


def score(
    predictor: Predictor,
    corpus: TaggedCorpus,
    cache: Optional[LayerCache] = None,
    show_progress: bool = False,
) -> SpanScores:
    """Return the scores of a tagger's predictions.

    Args:
        predictor: The tagger.
        corpus: Sentences with their right tags. A word whose right tag the tagger does not know
            counts as wrong.
        cache: ELMo's layers of the sentences, or None.
        show_progress: Whether to show a progress bar, if stderr is a terminal.
    """
    lookup = predictor.lookup
    scores = SpanScores(corpus.scheme, lambda token: lookup.fold([token])[0] in lookup.words)
    tokens = [sentence.tokens for sentence in corpus.sentences]
    with tqdm(total=len(tokens), unit="sentence", disable=None if show_progress else True) as bar:
        predicted = predictor.predict(tokens, cache, bar.update)
    for sentence, tags in zip(corpus.sentences, predicted):
        scores.add(sentence, tags)
    return scores


def warn_of_unknown_tags(corpus: TaggedCorpus, tags: Iterable[str], path: PathLike) -> None:
    """Warn of the tags of a corpus that are not among those of a tagger."""
    unknown = unknown_tags(corpus, tags)
    if unknown:
        counted = ", ".join(f"{tag} ({count})" for tag, count in unknown.items())
        _log.warning(
            f"{path}: tags that the tagger does not know, all of which count as wrong: {counted}"
        )


def report_lines(report: Dict[str, Any]) -> List[str]:
    """Return the figures of `SpanScores.report` as the lines of a table."""
    lines = [f"{'type':<12} {'precision':>9} {'recall':>9} {'F1':>9} {'spans':>8}"]
    total = {**report, "support": sum(kind["support"] for kind in report["types"].values())}
    for name, row in [*report["types"].items(), ("all", total)]:
        figures = " ".join(f"{row[key]:>9.2%}" for key in ("precision", "recall", "f1"))
        lines.append(f"{name:<12} {figures} {row['support']:>8}")
    lines.append(
        f"tag accuracy {_percent(report['tag_accuracy'])} of {report['tokens']} words; of unknown "
        f"words ({_percent(report['unknown_word_rate'])}): "
        f"{_percent(report['unknown_word_accuracy'])}"
    )
    return lines


def _percent(rate: Optional[float]) -> str:
    return "-" if rate is None else f"{rate:.2%}"
