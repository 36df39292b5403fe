"""Scores of predicted tags: exact spans, single tags, and words that the tagger does not know."""

from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from lac.tag_schemes import OUTSIDE, TagScheme
from lac.tagged_files import TaggedSentence


class SentenceCounts(NamedTuple):
    """Numbers of spans of one sentence.

    Attributes:
        correct: Predicted spans whose borders and type are right.
        predicted: Spans of the predicted tags.
        expected: Spans of the right tags.
    """

    correct: int
    predicted: int
    expected: int


class SpanScores:
    """Counts of spans and tags over sentences, and the figures made of them.

    A predicted span is correct if its borders and its type are those of an expected one.

    Source: conlleval (CoNLL-2000); seqeval computes the same.

    Args:
        scheme: The scheme of the tags.
        is_known: Returns whether a word is in the tagger's vocabulary; None: unknown words are
            not counted.

    Attributes:
        sentences: Numbers of spans of each sentence.
    """

    def __init__(self, scheme: TagScheme, is_known: Optional[Callable[[str], bool]] = None):
        self._scheme = scheme
        self._is_known = is_known
        self._correct: Counter[str] = Counter()  # spans of each type
        self._predicted: Counter[str] = Counter()
        self._expected: Counter[str] = Counter()
        self._tags: Counter[str] = Counter()
        self._confusion: Dict[str, Counter[str]] = {}
        self.sentences: List[SentenceCounts] = []

    def add(self, sentence: TaggedSentence, tags: Sequence[str]) -> None:
        """Count a sentence.

        Args:
            sentence: The sentence with its right tags.
            tags: The predicted tags, one a word.
        """
        expected, predicted = set(self._scheme.spans(sentence.tags)), set(self._scheme.spans(tags))
        correct = expected & predicted
        for counter, spans in (
            (self._correct, correct), (self._predicted, predicted), (self._expected, expected)
        ):
            counter.update(span.type for span in spans)
        self.sentences.append(SentenceCounts(len(correct), len(predicted), len(expected)))
        for token, own, other in zip(sentence.tokens, sentence.tags, tags):
            self._tags["all"] += 1
            self._tags["all right"] += own == other
            row = self._confusion.setdefault(self._type_of(own), Counter())
            row[self._type_of(other)] += 1
            if self._is_known is not None and not self._is_known(token):
                self._tags["unknown"] += 1
                self._tags["unknown right"] += own == other

    def _type_of(self, tag: str) -> str:
        return self._scheme.parse(tag)[1] or OUTSIDE

    def report(self) -> Dict[str, Any]:
        """Return the figures, from 0 to 1, with those of each type under `types`.

        Precision, recall and F1 are 0 where there is nothing to count, accuracies are None.
        `confusion` has the number of words by the types of their right and their predicted tag,
        O for none, whatever the borders of spans; pairs without words are left out.
        """
        spans = self._correct, self._predicted, self._expected
        return {
            **_figures(*(sum(counter.values()) for counter in spans)),
            "types": {
                kind: {
                    **_figures(*(counter[kind] for counter in spans)),
                    "support": self._expected[kind],
                }
                for kind in sorted(self._expected.keys() | self._predicted.keys())
            },
            "tag_accuracy": _rate(self._tags["all right"], self._tags["all"]),
            "unknown_word_accuracy": _rate(self._tags["unknown right"], self._tags["unknown"]),
            "unknown_word_rate": (
                None if self._is_known is None else _rate(self._tags["unknown"], self._tags["all"])
            ),
            "confusion": {
                kind: dict(sorted(row.items())) for kind, row in sorted(self._confusion.items())
            },
            "sentences": len(self.sentences),
            "tokens": self._tags["all"],
        }


def f1_of(correct: int, predicted: int, expected: int) -> float:
    """Return 2 * correct / (predicted + expected), or 0 where there are no spans."""
    return 2 * correct / (predicted + expected) if predicted + expected else 0.0


def _figures(correct: int, predicted: int, expected: int) -> Dict[str, float]:
    return {
        "precision": correct / predicted if predicted else 0.0,
        "recall": correct / expected if expected else 0.0,
        "f1": f1_of(correct, predicted, expected),
    }


def _rate(part: int, whole: int) -> Optional[float]:
    return part / whole if whole else None
