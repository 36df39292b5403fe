"""The scores of a file of predicted words and tags, of any program, on a file of gold ones."""

from typing import Callable, Dict, List, NamedTuple, Optional

from bilm.errors import InputError, listed
from bilm.files import PathLike
from lac.analysis import words_of
from lac.tag_schemes import TagScheme
from lac.tagged_files import TaggedSentence, numbered_sentences, wrong_continuation
from lac.word_scores import WordScores


class _TaggedLines(NamedTuple):
    sentences: Dict[int, TaggedSentence]  # by the number of their line
    scheme: TagScheme


def score_files(
    gold: PathLike, predicted: PathLike, is_known: Optional[Callable[[str], bool]] = None
) -> WordScores:
    """Return the scores of predicted words and tags.

    Line i of one file belongs to line i of the other. Each file's tags are read in the scheme
    that they are written in: bare tags are words as they stand, marked ones are joined.

    Args:
        gold: Tagged text in a format of `lac.tagged_files`.
        predicted: The same text in such a format. A continuation without a beginning starts a
            word here, as in conlleval.
        is_known: See `WordScores`.

    Raises:
        InputError: A file is malformed or has no sentence, the files do not have their sentences
            in the same lines, or the text of a line is not the same in both.
    """
    right, own = _read(gold, is_gold=True), _read(predicted)
    for number in sorted(right.sentences.keys() ^ own.sentences.keys()):
        here, there = (predicted, gold) if number in right.sentences else (gold, predicted)
        raise InputError(
            f"{here}, line {number}: no sentence there, but {there} has one in this line "
            f"({len(right.sentences)} in {gold}, {len(own.sentences)} in {predicted}); write the "
            "sentences line for line"
        )
    scores = WordScores(is_known)
    for number, sentence in right.sentences.items():
        other = own.sentences[number]
        scores.add(
            *words_of(sentence.tokens, sentence.tags, right.scheme),
            *words_of(other.tokens, other.tags, own.scheme),
            where=f"{predicted}, line {number}, and {gold}",
        )
    return scores


def _read(path: PathLike, is_gold: bool = False) -> _TaggedLines:
    problems: List[object] = []
    sentences = dict(numbered_sentences(path, problems))
    if not problems and not sentences:
        raise InputError(f"{path}: no tagged sentence there")
    try:
        scheme = TagScheme.of(tag for sentence in sentences.values() for tag in sentence.tags)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    for number, sentence in sentences.items() if is_gold else ():
        problem = wrong_continuation(scheme, sentence.tags)
        if problem:
            problems.append(f"{path}, line {number}: {problem}")
    if problems:
        raise InputError(listed(problems))
    return _TaggedLines(sentences, scheme)
