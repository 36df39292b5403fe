"""Scores of predicted words and their tags, which are compared by their places in the text."""

from collections import Counter
from os.path import commonprefix
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from bilm.errors import InputError
from lac.analysis import words_of
from lac.tag_schemes import OUTSIDE
from lac.tagged_files import TaggedCorpus

_SHOWN = 10  # characters of a text that is not the expected one


class SentenceCounts(NamedTuple):
    """Numbers of words with tags of one sentence.

    Attributes:
        correct: Predicted words whose borders and type are right.
        predicted: Predicted words with a type.
        expected: Gold words with a type.
    """

    correct: int
    predicted: int
    expected: int


class _Word(NamedTuple):
    text: str
    type: str


_Placed = Dict[Tuple[int, int], _Word]  # by first character and the one after the last


class WordScores:
    """Counts of words over sentences, and the figures made of them.

    Gold and predicted words are cuts of one text. White space is not part of it: it is taken
    from the words, and a word of nothing else is no word. A predicted word is found if it
    begins and ends at the characters at which a gold word does, and correct if its type is that
    word's, too. Words of type O have no tag: they count where borders alone count.

    Source: for words with tags conlleval (CoNLL-2000), on characters; seqeval computes the
    same. For words the evaluation of the SIGHAN bakeoffs.

    Args:
        is_known: Returns whether training had a word, which is given without white space; None:
            unknown words are not counted.

    Attributes:
        sentences: Numbers of words with tags of each sentence.
    """

    def __init__(self, is_known: Optional[Callable[[str], bool]] = None):
        self._is_known = is_known
        self._correct: Counter[str] = Counter()  # words with tags of each type
        self._predicted: Counter[str] = Counter()
        self._expected: Counter[str] = Counter()
        self._words: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._confusion: Dict[str, Counter[str]] = {}
        self.sentences: List[SentenceCounts] = []

    def add(
        self,
        words: Sequence[str],
        types: Sequence[str],
        predicted_words: Sequence[str],
        predicted_types: Sequence[str],
        where: Optional[str] = None,
    ) -> None:
        """Count a sentence.

        Args:
            words: The gold words.
            types: The type of each, O or an empty string for none.
            predicted_words: The predicted words of the same text.
            predicted_types: The type of each, O for none.
            where: Name of the sentence for messages; None: its number, from 1 on.

        Raises:
            InputError: The words are not of one text, or there is not one type a word.
        """
        where = where or f"sentence {len(self.sentences) + 1}"
        _check_text(words, predicted_words, where)
        expected = _placed(words, types, where)
        predicted = _placed(predicted_words, predicted_types, where)
        common = expected.keys() & predicted.keys()
        correct = {place for place in common if expected[place] == predicted[place]}
        counts = []
        for counter, tagged in (
            (self._correct, _types(expected[place] for place in correct)),
            (self._predicted, _types(predicted.values())),
            (self._expected, _types(expected.values())),
        ):
            counter.update(tagged)
            counts.append(len(tagged))
        self.sentences.append(SentenceCounts(*counts))
        self._words.update(correct=len(common), predicted=len(predicted), expected=len(expected))
        for place in common:
            row = self._confusion.setdefault(expected[place].type, Counter())
            row[predicted[place].type] += 1
        if self._is_known is not None:
            unknown = {place for place in expected if not self._is_known(expected[place].text)}
            self._unknown.update(
                correct=len(unknown & common), tagged=len(unknown & correct), expected=len(unknown),
                predicted=sum(not self._is_known(word.text) for word in predicted.values()),
            )

    def report(self) -> Dict[str, Any]:
        """Return the figures, from 0 to 1.

        Returns:
            `precision`, `recall` and `f1` of words with tags: borders and type; those of each
            type, with the number of its gold words as `support`, under `types`; those of words
            by their borders alone, O or not, under `words`. They are 0 where there is nothing to
            count. `unknown_words`, None if the words of training are not known, has `support`,
            the number of gold words that training did not have; `rate`, their share;
            `precision`, `recall` and `f1` of their borders; `tagged_recall`, of borders and
            type. Those are None where there is nothing to count. `confusion` has the
            number of gold words whose borders were found by their gold and their predicted type;
            pairs without words are left out. `sentences` and `tokens` are the numbers of
            sentences and of gold words.
        """
        tagged = self._correct, self._predicted, self._expected
        return {
            **_figures(*(sum(counter.values()) for counter in tagged)),
            "words": _figures(*(self._words[key] for key in SentenceCounts._fields)),
            "types": {
                kind: {
                    **_figures(*(counter[kind] for counter in tagged)),
                    "support": self._expected[kind],
                }
                for kind in sorted(self._expected.keys() | self._predicted.keys())
            },
            "unknown_words": None if self._is_known is None else self._figures_of_unknown(),
            "confusion": {
                kind: dict(sorted(row.items())) for kind, row in sorted(self._confusion.items())
            },
            "sentences": len(self.sentences),
            "tokens": self._words["expected"],
        }

    def _figures_of_unknown(self) -> Dict[str, Any]:
        counts = self._unknown
        return {
            "support": counts["expected"],
            "rate": _rate(counts["expected"], self._words["expected"]),
            "precision": _rate(counts["correct"], counts["predicted"]),
            "recall": _rate(counts["correct"], counts["expected"]),
            "f1": _rate(2 * counts["correct"], counts["predicted"] + counts["expected"]),
            "tagged_recall": _rate(counts["tagged"], counts["expected"]),
        }


def words_in(corpus: TaggedCorpus) -> Set[str]:
    """Return the different words of a text without white space, as `WordScores` asks for them."""
    return {
        _without_space(word)
        for sentence in corpus.sentences
        for word in words_of(sentence.tokens, sentence.tags, corpus.scheme)[0]
    }


def f1_of(correct: int, predicted: int, expected: int) -> float:
    """Return 2 * correct / (predicted + expected), or 0 where there are no words."""
    return 2 * correct / (predicted + expected) if predicted + expected else 0.0


def _without_space(text: str) -> str:
    return "".join(text.split())


def _check_text(words: Sequence[str], predicted_words: Sequence[str], where: str) -> None:
    """Raise an InputError if gold and predicted words do not have the same characters."""
    texts = [_without_space("".join(side)) for side in (words, predicted_words)]
    if texts[0] != texts[1]:
        place = len(commonprefix(texts))
        gold, predicted = (
            repr(text[place : place + _SHOWN]) if text[place:] else "at their end" for text in texts
        )
        raise InputError(
            f"{where}: the predicted words are not of the gold words' text: at character "
            f"{place + 1}, white space aside, the gold words are {gold}, the predicted {predicted}"
        )


def _placed(words: Sequence[str], types: Sequence[str], where: str) -> _Placed:
    """Return words by their places in the text without white space."""
    if len(words) != len(types):
        raise InputError(f"{where}: expected one type a word, found {len(words)} words and "
                         f"{len(types)} types")
    placed, start = {}, 0
    for word, kind in zip(map(_without_space, words), types):
        if word:
            placed[start, start + len(word)] = _Word(word, kind or OUTSIDE)
            start += len(word)
    return placed


def _types(words: Iterable[_Word]) -> List[str]:
    """Return the types of the words that have a tag."""
    return [word.type for word in words if word.type != OUTSIDE]


def _figures(correct: int, predicted: int, expected: int) -> Dict[str, float]:
    return {
        "precision": correct / predicted if predicted else 0.0,
        "recall": correct / expected if expected else 0.0,
        "f1": f1_of(correct, predicted, expected),
    }


def _rate(part: int, whole: int) -> Optional[float]:
    return part / whole if whole else None
