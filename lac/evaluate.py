"""`lac evaluate`: how many spans and tags of a tagged text a tagger finds."""

import logging
from typing import Optional

from tqdm import tqdm

from lac.span_scores import SpanScores
from lac.tagged_files import TaggedCorpus, unknown_tags

_log = logging.getLogger("lac")


def score(predictor, corpus: TaggedCorpus, cache=None, show_progress: bool = False) -> SpanScores:
    """Return the scores of a tagger's predictions.

    Args:
        predictor: A `Predictor`.
        corpus: Sentences with their right tags; tags that the tagger does not know are wrong
            whatever it says.
        cache: ELMo's layers of the sentences, or None.
        show_progress: Whether to show a progress bar, if stderr is a terminal.
    """
    lookup = predictor.lookup
    scores = SpanScores(corpus.scheme, lambda token: lookup.fold([token])[0] in lookup.words)
    tokens = [sentence.tokens for sentence in corpus.sentences]
    with tqdm(total=len(tokens), unit="sentence", disable=None if show_progress else True) as bar:
        found = predictor.predict(tokens, cache, bar.update)
    for sentence, tags in zip(corpus.sentences, found):
        scores.add(sentence, tags)
    return scores


def warn_of_unknown_tags(corpus, tags, path) -> None:
    """Tell which tags of a corpus a tagger does not know."""
    new = unknown_tags(corpus, tags)
    if new:
        told = ", ".join(f"{tag} ({count})" for tag, count in new.items())
        _log.warning(f"{path}: tags that the tagger does not know, all of which count as wrong: {told}")


def report_lines(report: dict) -> list:
    """Return the figures of `SpanScores.report` as a table for people."""
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
