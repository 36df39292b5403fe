"""Tagged text: reading, checking and writing sentences of words with their tags.

    w1 w2 w3<TAB>t1 t2 t3      LARK's lines
    w1/t1 w2/t2 w3/t3          word/tag lines; the last slash counts, so a word may hold one

Both may stand in one file; blank lines are skipped. Words hold no ASCII white space.
"""

import glob
from collections import Counter
from itertools import chain
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from bilm.errors import InputError, listed
from bilm.files import PathLike
from bilm.text.lines import numbered_lines, split_words
from bilm.text.sentences import find_inputs
from lac.tag_schemes import OUTSIDE, TagScheme


class TaggedSentence(NamedTuple):
    """A sentence with tags.

    Attributes:
        tokens: The words.
        tags: One tag a word.
    """

    tokens: List[str]
    tags: List[str]


class TaggedCorpus(NamedTuple):
    """Tagged sentences and the scheme of their tags.

    Attributes:
        sentences: The sentences in the order of the files.
        scheme: The scheme in which all tags are written.
        sizes: Number of sentences of each corpus, where `read_together` read several.
    """

    sentences: List[TaggedSentence]
    scheme: TagScheme
    sizes: Sequence[int] = ()

    @property
    def tags(self) -> List[str]:
        """The different tags, sorted."""
        return sorted({tag for sentence in self.sentences for tag in sentence.tags})


def find_tagged_files(pattern: PathLike) -> List[str]:
    """Return the files that a path of a file or a folder, or a glob, stands for; sorted.

    Raises:
        InputError: There is none.
    """
    names = sorted(glob.glob(str(pattern), recursive=True)) or [str(pattern)]
    return find_inputs(names)


def read_tagged(pattern: PathLike, scheme: Optional[TagScheme] = None) -> TaggedCorpus:
    """Return the tagged sentences of a file, a folder or all files of a glob.

    Args:
        pattern: The files; `.gz` files are decompressed.
        scheme: The scheme of the tags; None: derived from the tags.

    Raises:
        InputError: There are no files, they have no sentence, or lines are malformed: not UTF-8,
            not as many tags as words, a word without a tag, or a tag that cannot follow the one
            before it. The first malformed lines are listed.
    """
    (sentences,), scheme = _read([find_tagged_files(pattern)], scheme)
    return TaggedCorpus(sentences, scheme)


def read_together(corpora: Sequence[Sequence[str]]) -> TaggedCorpus:
    """Return the tagged sentences of several corpora, one after another, in one scheme.

    Args:
        corpora: Names of the files of each corpus.

    Raises:
        InputError: As `read_tagged`; each corpus must have a sentence.
    """
    parts, scheme = _read(corpora, None)
    return TaggedCorpus(list(chain.from_iterable(parts)), scheme, [*map(len, parts)])


def _read(
    corpora: Sequence[Sequence[str]], scheme: Optional[TagScheme]
) -> Tuple[List[List[TaggedSentence]], TagScheme]:
    """Return the sentences of each corpus, and the scheme of all tags."""
    parts: List[List[TaggedSentence]] = []
    places: List[str] = []
    problems: List[object] = []
    for names in corpora:
        sentences: List[TaggedSentence] = []
        for name in names:
            for number, sentence in numbered_sentences(name, problems):
                sentences.append(sentence)
                places.append(f"{name}, line {number}")
        if not problems and not sentences:
            raise InputError(f"{', '.join(names)}: no tagged sentence there")
        parts.append(sentences)
    every = list(chain.from_iterable(parts))
    if scheme is None:
        scheme = TagScheme.of(tag for sentence in every for tag in sentence.tags)
    for where, sentence in zip(places, every):
        problem = wrong_continuation(scheme, sentence.tags)
        if problem:
            problems.append(f"{where}: {problem}")
    if problems:
        raise InputError(listed(problems))
    return parts, scheme


def numbered_sentences(
    name: PathLike, problems: List[object]
) -> Iterator[Tuple[int, TaggedSentence]]:
    """Yield the number of each line of a file that is not blank, from 1 on, and its sentence.

    Args:
        name: The file; see `open_input`.
        problems: Gets what is wrong with each malformed line, which is skipped.
    """
    for number, line in numbered_lines(name, on_error=problems.append):
        try:
            sentence = parse_line(line)
        except InputError as error:
            problems.append(f"{name}, line {number}: {error}")
        else:
            if sentence is not None:
                yield number, sentence


def parse_line(line: str) -> Optional[TaggedSentence]:
    """Return the sentence in a line; None if the line is blank.

    Raises:
        InputError: The line is malformed; the message does not name the line.
    """
    if not line.strip(" \t\r\n\v\f"):
        return None
    if "\t" in line:
        parts = line.split("\t")
        if len(parts) != 2:
            raise InputError(f"expected one tab, between words and tags, found {len(parts) - 1}")
        tokens, tags = map(split_words, parts)
        if len(tokens) != len(tags) or not tokens:
            raise InputError(f"{len(tokens)} words and {len(tags)} tags")
        return TaggedSentence(tokens, tags)
    tokens, tags = [], []
    for number, item in enumerate(split_words(line), start=1):
        word, slash, tag = item.rpartition("/")
        if not (slash and word and tag):
            raise InputError(
                f"expected words, a tab and tags, or word/tag; item {number} is "
                f"{item[:20]!r}"
            )
        tokens.append(word)
        tags.append(tag)
    return TaggedSentence(tokens, tags)


def wrong_continuation(scheme: TagScheme, tags: Sequence[str]) -> str:
    """Return the problem with the order of a sentence's tags, or an empty string."""
    previous = OUTSIDE
    for number, tag in enumerate([*tags, OUTSIDE], start=1):
        if not scheme.may_follow(previous, tag):
            before = f"after {previous}" if number > 1 else "at the start"
            what = f"tag {number}, {tag}," if number <= len(tags) else "the sentence's end"
            return f"{what} cannot stand {before}"
        previous = tag
    return ""


def to_line(sentence: TaggedSentence) -> str:
    """Return a sentence as one of LARK's lines, without its line end."""
    return " ".join(sentence.tokens) + "\t" + " ".join(sentence.tags)


def load_tags(path: PathLike) -> List[str]:
    """Return the tags in a file: one a line, or as LARK numbers them, `0<TAB>n-B`.

    Raises:
        InputError: The file is empty, a line is malformed, a tag appears twice, or the
            numbers are not those of the lines.
    """
    tags: List[str] = []
    for number, line in numbered_lines(path):
        items = split_words(line)
        if not items:
            continue
        if len(items) > 2 or (len(items) == 2 and items[0] != str(len(tags))):
            raise InputError(
                f"{path}, line {number}: expected a tag, or {len(tags)}, a tab and a tag, found "
                f"{line.strip()!r}"
            )
        if items[-1] in tags:
            raise InputError(f"{path}, line {number}: {items[-1]} stands there twice")
        tags.append(items[-1])
    if not tags:
        raise InputError(f"{path}: no tags there; expected one a line")
    return tags


def unknown_tags(corpus: TaggedCorpus, tags: Iterable[str]) -> Dict[str, int]:
    """Return the tags of a corpus that are not among `tags`, and how often each occurs."""
    known = set(tags)
    counts = Counter(tag for sentence in corpus.sentences for tag in sentence.tags)
    return {tag: count for tag, count in sorted(counts.items()) if tag not in known}


def check_known(corpus: TaggedCorpus, tags: Iterable[str], source: str, where: str) -> None:
    """Raise an InputError that lists the tags of a corpus that are not among `tags`."""
    missing = unknown_tags(corpus, tags)
    if missing:
        raise InputError(f"{source}: lacks tags that occur in {where}: {', '.join(missing)}")
