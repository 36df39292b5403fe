"""The names of LAC's tags in Chinese and in English.

Source: the table of tags in the README of Baidu's LAC, names shortened.
"""

from typing import Collection, Dict, FrozenSet, NamedTuple

from lac.tag_schemes import OUTSIDE


class TagName(NamedTuple):
    """The names of a type, such as 人名 and person.

    Attributes:
        chinese: The name in Chinese.
        english: The name in English.
    """

    chinese: str
    english: str


TAG_NAMES: Dict[str, TagName] = {
    "n": TagName("名词", "noun"),
    "f": TagName("方位词", "direction"),
    "s": TagName("处所词", "location word"),
    "t": TagName("时间", "time"),
    "nr": TagName("人名", "person"),
    "ns": TagName("地名", "place"),
    "nt": TagName("机构名", "organisation"),
    "nw": TagName("作品名", "work"),
    "nz": TagName("其他专名", "other name"),
    "v": TagName("动词", "verb"),
    "vd": TagName("动副词", "adverbial verb"),
    "vn": TagName("名动词", "nominal verb"),
    "a": TagName("形容词", "adjective"),
    "ad": TagName("副形词", "adverbial adjective"),
    "an": TagName("名形词", "nominal adjective"),
    "d": TagName("副词", "adverb"),
    "m": TagName("数量词", "number"),
    "q": TagName("量词", "measure word"),
    "r": TagName("代词", "pronoun"),
    "p": TagName("介词", "preposition"),
    "c": TagName("连词", "conjunction"),
    "u": TagName("助词", "particle"),
    "xc": TagName("其他虚词", "other function word"),
    "w": TagName("标点", "punctuation"),
    "PER": TagName("人名", "person"),
    "LOC": TagName("地名", "place"),
    "ORG": TagName("机构名", "organisation"),
    "TIME": TagName("时间", "time"),
    OUTSIDE: TagName("无", "none"),
}

# persons, places, organisations, works and other names; TIME, but not t, which also is 今天
ENTITY_TYPES = frozenset(["nr", "ns", "nt", "nw", "nz", "PER", "LOC", "ORG", "TIME"])


def entity_types(types: Collection[str]) -> FrozenSet[str]:
    """Return the types of words that are entities.

    They are ENTITY_TYPES; where words may have no type, O, and none is a part of speech of LAC,
    all other types, too.

    Args:
        types: The types that a tagger knows, O among them if words may have none.
    """
    parts_of_speech = TAG_NAMES.keys() - ENTITY_TYPES - {OUTSIDE}
    if OUTSIDE in types and parts_of_speech.isdisjoint(types):
        return ENTITY_TYPES | (frozenset(types) - {OUTSIDE})
    return ENTITY_TYPES
