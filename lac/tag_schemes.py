"""Tag schemes: how tags mark the borders of spans.

    bare           n v                 every word is a span
    suffix, IOB2   nr-B nr-I           B starts a span, I continues it
    prefix, IOB2   B-nr I-nr
    BIOES          B-nr I-nr E-nr S-nr (or as suffix): E ends a span, S is one of a single word
    mixed          n nr-B nr-I         LARK's: a bare tag is a span of a single word

`O` stands for no span in each of them. A model keeps the tags as they are in the data; the
functions here interpret them.
"""

import re
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

from bilm.errors import InputError

OUTSIDE = "O"
SCHEMES = ("bare", "suffix", "prefix", "suffix-bioes", "prefix-bioes", "mixed")
_SUFFIXED = re.compile(r"(.+)-([BIES])", re.DOTALL)
_PREFIXED = re.compile(r"([BIES])-(.+)", re.DOTALL)


class Span(NamedTuple):
    """Consecutive words that are one unit.

    Attributes:
        start: Its first word.
        end: The word after its last.
        type: Such as "nr".
    """

    start: int
    end: int
    type: str


class TagScheme:
    """How the tags of one data set mark spans.

    Examples:
        >>> scheme = TagScheme.of(["nr-B", "nr-I", "v-B"])
        >>> scheme.name
        'suffix'
        >>> scheme.spans(["nr-B", "nr-I", "v-B"])
        [Span(start=0, end=2, type='nr'), Span(start=2, end=3, type='v')]
        >>> scheme.encode("nr", length=2)
        ['nr-B', 'nr-I']

    Args:
        name: One of SCHEMES.

    Raises:
        InputError: There is no scheme of this name.
    """

    def __init__(self, name: str):
        if name not in SCHEMES:
            raise InputError(f"the tag scheme must be one of {', '.join(SCHEMES)}, not {name!r}")
        self.name = name
        self._parsed: Dict[str, Tuple[str, str]] = {}
        self._continuing: Dict[Tuple[str, str], bool] = {}

    @classmethod
    def of(cls, tags: Iterable[str]) -> "TagScheme":
        """Return the scheme that a set of tags is written in.

        Tags with B and I are suffixed or prefixed if all of them are (O aside), and mixed if
        some are bare; a suffix that never comes with a B is part of the tag's name.

        Raises:
            InputError: Tags of different schemes stand side by side, or `tags` is one string.
        """
        if isinstance(tags, str):
            raise InputError(f"expected several tags, not the string {tags!r}")
        names = sorted(set(tags) - {OUTSIDE})
        middle = [tag for tag in names if tag.startswith("M-") or tag.endswith("-M")]
        if middle and any(tag.startswith(("B-", "E-")) or tag.endswith(("-B", "-E"))
                          for tag in names):
            raise InputError(f"{middle[0]} is a tag of BMES; write I for M, which makes it BIOES")
        suffixed = [tag for tag in names if _SUFFIXED.fullmatch(tag)]
        prefixed = [tag for tag in names if _PREFIXED.fullmatch(tag)]
        if not any(tag.endswith(("-B", "-S")) for tag in suffixed):
            suffixed = []
        if not any(tag.startswith(("B-", "S-")) for tag in prefixed):
            prefixed = []
        if suffixed and prefixed and len(suffixed) != len(names) != len(prefixed):
            raise InputError(
                f"tags of two schemes stand side by side: {suffixed[0]} and {prefixed[0]}; "
                "write all of them in one"
            )
        if names and len(suffixed) == len(names):
            has_ends = any(tag.endswith(("-E", "-S")) for tag in names)
            return cls("suffix-bioes" if has_ends else "suffix")
        if names and len(prefixed) == len(names):
            has_ends = any(tag.startswith(("E-", "S-")) for tag in names)
            return cls("prefix-bioes" if has_ends else "prefix")
        if prefixed:
            bare = next(tag for tag in names if tag not in prefixed)
            raise InputError(f"bare and prefixed tags stand side by side: {bare} and {prefixed[0]}")
        if any(tag.endswith(("-E", "-S")) for tag in suffixed):
            bare = next(tag for tag in names if tag not in suffixed)
            raise InputError(f"bare tags and BIOES stand side by side: {bare} and {suffixed[0]}")
        return cls("mixed" if suffixed else "bare")

    def parse(self, tag: str) -> Tuple[str, str]:
        """Return the mark (B, I, E, S or O) and the type of a tag.

        A tag that is not written in this scheme is a span of a single word, as a bare one.

        Raises:
            InputError: The tag is empty or no string.
        """
        if tag not in self._parsed:
            self._parsed[tag] = self._parse(tag)
        return self._parsed[tag]

    def _parse(self, tag: str) -> Tuple[str, str]:
        if not isinstance(tag, str) or not tag:
            raise InputError(f"a tag must be a string that is not empty, not {tag!r}")
        if tag == OUTSIDE:
            return "O", ""
        if self.name == "bare":
            return "S", tag
        match = (_PREFIXED if self.name.startswith("prefix") else _SUFFIXED).fullmatch(tag)
        if match is None:
            return "S", tag
        mark, kind = match.groups() if self.name.startswith("prefix") else match.groups()[::-1]
        if mark in "ES" and not self.name.endswith("bioes"):
            return "S", tag
        return mark, kind

    def encode(self, kind: str, length: int) -> List[str]:
        """Return the tags of a span.

        Args:
            kind: The span's type, such as "nr".
            length: Number of words, at least 1. Bare tags make a span of each word.

        Raises:
            InputError: The type is empty, or the length is less than 1.
        """
        if not kind:
            raise InputError("the type of a span must not be empty")
        if length < 1:
            raise InputError(f"a span has at least one word, not {length}")
        if self.name == "bare":
            return [kind] * length
        if self.name == "mixed" and length == 1:
            return [kind]
        marks = ["B"] + ["I"] * (length - 1)
        if self.name.endswith("bioes"):
            marks = ["S"] if length == 1 else [*marks[:-1], "E"]
        is_prefix = self.name.startswith("prefix")
        return [f"{mark}-{kind}" if is_prefix else f"{kind}-{mark}" for mark in marks]

    def check(self, tags: Iterable[str], source: str) -> None:
        """Raise an InputError that lists the tags that are not written in this scheme."""
        wrong = [
            tag for tag in sorted(set(tags) - {OUTSIDE})
            if self.name not in ("bare", "mixed") and self.parse(tag)[1] == tag
        ]
        if wrong:
            raise InputError(f"{source}: not written in the scheme {self.name}: {', '.join(wrong)}")

    def starts_span(self, previous: str, tag: str) -> bool:
        """Return whether a span starts at `tag` when the tag before it is `previous`."""
        mark, kind = self.parse(tag)
        if mark in "IE":
            before, kind_before = self.parse(previous)
            return before not in "BI" or kind_before != kind
        return mark in "BS"

    def continues(self, previous: str, tag: str) -> bool:
        """Return whether a span goes on at `tag` when the tag before it is `previous`."""
        pair = previous, tag
        if pair not in self._continuing:
            is_inside = self.parse(tag)[0] in "IE"
            self._continuing[pair] = is_inside and not self.starts_span(previous, tag)
        return self._continuing[pair]

    def may_follow(self, previous: str, tag: str) -> bool:
        """Return whether `tag` may follow `previous`; O also stands for a sentence's border."""
        before, kind_before = self.parse(previous)
        mark, kind = self.parse(tag)
        continues = mark in "IE"
        if continues and (before not in "BI" or kind_before != kind):
            return False
        is_open = self.name.endswith("bioes") and before in "BI"
        return continues or not is_open

    def spans(self, tags: Sequence[str]) -> List[Span]:
        """Return the spans of a sentence, in order.

        A continuation without a beginning starts a span, as in conlleval and seqeval.
        """
        spans: List[Span] = []
        start, kind, previous = 0, "", OUTSIDE
        for place, tag in enumerate(tags):
            mark, own_kind = self.parse(tag)
            begins = self.starts_span(previous, tag)
            if kind and (begins or mark == "O"):
                spans.append(Span(start, place, kind))
                kind = ""
            if begins:
                start, kind = place, own_kind
            if kind and mark in "ES":
                spans.append(Span(start, place + 1, kind))
                kind = ""
            previous = tag
        if kind:
            spans.append(Span(start, len(tags), kind))
        return spans

    def types(self, tags: Iterable[str]) -> List[str]:
        """Return the types of the tags, sorted."""
        return sorted({kind for _, kind in map(self.parse, tags) if kind})
