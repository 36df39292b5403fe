"""How well tags were found: exact spans, single tags, and words that the tagger does not know."""

from collections import Counter
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from lac.tag_schemes import OUTSIDE, TagScheme
from lac.tagged_files import TaggedSentence


class SentenceCounts(NamedTuple):
    """Spans of one sentence.

    Attributes:
        correct: Those found that are wanted: same borders, same type.
        found: Those that the tagger found.
        wanted: Those of the data.
    """

    correct: int
    found: int
    wanted: int


class SpanScores:
    """Counts of spans and tags over sentences, and the figures made of them.

    A found span is right if its place and its type are those of a wanted one.

    Source: conlleval (CoNLL-2000); seqeval computes the same.

    Args:
        scheme: What the tags mean.
        is_known: Tells whether a word is in the tagger's vocabulary; None: nothing is said of
            unknown words.
    """

    def __init__(self, scheme: TagScheme, is_known: Optional[Callable[[str], bool]] = None):
        self._scheme = scheme
        self._is_known = is_known
        self._correct, self._found, self._wanted = Counter(), Counter(), Counter()
        self._tags = Counter()
        self._confusion: Dict[str, Counter] = {}
        self.sentences: List[SentenceCounts] = []

    def add(self, sentence: TaggedSentence, tags: Sequence[str]) -> None:
        """Count a sentence with its own tags, and those that were found.

        Args:
            sentence: With the tags that are wanted.
            tags: Those that were found, one a word.
        """
        wanted, found = set(self._scheme.spans(sentence.tags)), set(self._scheme.spans(tags))
        correct = wanted & found
        for counter, spans in (
            (self._correct, correct), (self._found, found), (self._wanted, wanted)
        ):
            counter.update(span.type for span in spans)
        self.sentences.append(SentenceCounts(len(correct), len(found), len(wanted)))
        for token, own, other in zip(sentence.tokens, sentence.tags, tags):
            self._tags["all"] += 1
            self._tags["all right"] += own == other
            row = self._confusion.setdefault(self._type_of(own), Counter())
            row[self._type_of(other)] += 1
            if self._is_known is not None and not self._is_known(token):
                self._tags["unknown"] += 1
                self._tags["unknown right"] += own == other

    def _type_of(self, tag):
        return self._scheme.parse(tag)[1] or OUTSIDE

    def report(self) -> Dict:
        """Return the figures, from 0 to 1, with those of each type under `types`.

        A figure of which there is no case is 0; accuracies of no word are None. Under
        `confusion` stands how many words of a type were found to be of which type, right type
        first, pairs without words left out; a word in no span has the type O there. Borders of
        spans do not count in it.
        """
        return {
            **_figures(*(sum(c.values()) for c in (self._correct, self._found, self._wanted))),
            "types": {
                kind: {
                    **_figures(self._correct[kind], self._found[kind], self._wanted[kind]),
                    "support": self._wanted[kind],
                }
                for kind in sorted(self._wanted.keys() | self._found.keys())
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


def f1_of(correct: int, found: int, wanted: int) -> float:
    """Return 2 * correct / (found + wanted), or 0 where there are no spans."""
    return 2 * correct / (found + wanted) if found + wanted else 0.0


def _figures(correct, found, wanted):
    return {
        "precision": correct / found if found else 0.0,
        "recall": correct / wanted if wanted else 0.0,
        "f1": f1_of(correct, found, wanted),
    }


def _rate(part, whole):
    return part / whole if whole else None
