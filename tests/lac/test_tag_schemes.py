"""Tag schemes: found from the tags, and what they say about spans."""

import pytest

from bilm.errors import InputError
from lac.tag_schemes import SCHEMES, TagScheme

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("tags, name", [
    (["n", "v", "O"], "bare"),
    (["n-B", "n-I", "O"], "suffix"),
    (["B-n", "I-n"], "prefix"),
    (["B-n", "I-n", "E-n", "S-v"], "prefix-bioes"),
    (["n-B", "n-E", "v-S"], "suffix-bioes"),
    (["a", "nr-B", "nr-I"], "mixed"),
    (["NN-B", ",-B", "``-B", "--B"], "suffix"),
    (["PRP$", "-LRB-", "NN", "X-I"], "bare"),  # a suffix that never comes with a B is a name
    (["B-B", "n-B", "n-I"], "suffix"),
    (["O"], "bare"),
])
def test_the_scheme_is_found_from_the_tags(tags, name):
    assert TagScheme.of(tags).name == name


@pytest.mark.parametrize("tags", [
    ["n-B", "B-v", "a"], ["B-n", "I-n", "v"], ["n", "nr-B", "nr-I", "nr-E"], ["n", "v-S"],
])
def test_schemes_side_by_side_are_refused(tags):
    with pytest.raises(InputError, match="side by side"):
        TagScheme.of(tags)


def test_bmes_is_told_by_name():
    with pytest.raises(InputError, match="M-PER is a tag of BMES; write I for M"):
        TagScheme.of(["B-PER", "M-PER", "E-PER", "O"])


def test_another_name_is_refused():
    with pytest.raises(InputError, match="one of bare, suffix"):
        TagScheme("iob1")


def spans(tags):
    return [tuple(span) for span in TagScheme.of([*tags]).spans(tags)]


@pytest.mark.parametrize("tags, expected", [
    (["n", "n", "O", "v"], [(0, 1, "n"), (1, 2, "n"), (3, 4, "v")]),
    (["nr-B", "nr-I", "nr-B", "O", "v-B"], [(0, 2, "nr"), (2, 3, "nr"), (4, 5, "v")]),
    (["B-nr", "I-nr", "I-nr"], [(0, 3, "nr")]),
    (["B-a", "E-a", "S-b", "B-a", "I-a", "E-a"], [(0, 2, "a"), (2, 3, "b"), (3, 6, "a")]),
    (["a", "nr-B", "nr-I", "a"], [(0, 1, "a"), (1, 3, "nr"), (3, 4, "a")]),
    (["nr-I", "ns-B", "nr-I"], [(0, 1, "nr"), (1, 2, "ns"), (2, 3, "nr")]),  # as conlleval
    ([], []),
])
def test_spans(tags, expected):
    assert spans(tags) == expected


@pytest.mark.parametrize("before, after, allowed", [
    ("O", "nr-I", False), ("ns-B", "nr-I", False), ("nr-B", "nr-I", True), ("nr-I", "nr-I", True),
    ("nr-I", "ns-B", True), ("nr-B", "O", True),
])
def test_what_may_follow_in_iob2(before, after, allowed):
    scheme = TagScheme.of(["nr-B", "nr-I", "ns-B", "ns-I"])
    assert scheme.may_follow(before, after) is allowed


@pytest.mark.parametrize("before, after, allowed", [
    ("B-a", "E-a", True), ("B-a", "O", False), ("B-a", "S-a", False), ("E-a", "I-a", False),
    ("S-a", "E-a", False), ("I-a", "E-a", True), ("E-a", "B-b", True), ("I-a", "E-b", False),
])
def test_what_may_follow_in_bioes(before, after, allowed):
    scheme = TagScheme.of(["B-a", "I-a", "E-a", "S-a", "B-b", "E-b"])
    assert scheme.may_follow(before, after) is allowed


@pytest.mark.parametrize("name", SCHEMES)
def test_encoded_spans_are_found_again(name):
    scheme = TagScheme(name)
    tags = [*scheme.encode("nr", 1), *scheme.encode("v", 1)]
    expected = [(0, 1, "nr"), (1, 2, "v")]
    if name != "bare":
        tags += scheme.encode("nt", 3)
        expected.append((2, 5, "nt"))
    assert scheme.spans(tags) == expected
    assert all(scheme.may_follow(*pair) for pair in zip(["O", *tags], [*tags, "O"]))


def test_tags_of_another_scheme_are_listed():
    TagScheme("mixed").check(["n", "nr-B"], "here")
    with pytest.raises(InputError, match="here: not written in the scheme prefix: n-B, v"):
        TagScheme("prefix").check(["B-n", "v", "n-B", "O"], "here")


def test_types_are_those_of_spans():
    assert TagScheme.of(["nr-B", "nr-I", "v-B"]).types(["nr-B", "nr-I", "O", "v-B"]) == ["nr", "v"]


@pytest.mark.parametrize("misuse, problem", [
    (lambda scheme: scheme.encode("nr", 0), "a span has at least one word, not 0"),
    (lambda scheme: scheme.encode("", 1), "the type of a span must not be empty"),
    (lambda scheme: scheme.parse(""), "a tag must be a string that is not empty, not ''"),
    (lambda scheme: scheme.spans(["v-B", None]), "a tag must be a string .*, not None"),
    (lambda scheme: scheme.of("nr-B"), "expected several tags, not the string 'nr-B'"),
], ids=range(5))
def test_what_is_no_tag_or_span_is_refused(misuse, problem):
    with pytest.raises(ValueError, match=problem):
        misuse(TagScheme("suffix"))
