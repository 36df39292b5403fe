"""Scores, on cases counted by hand and against seqeval."""

import random

import pytest

from lac.span_scores import SpanScores
from lac.tag_schemes import TagScheme
from lac.tagged_files import TaggedSentence


def scores_of(wanted, found, scheme, is_known=None):
    scores = SpanScores(scheme, is_known)
    for number, (own, other) in enumerate(zip(wanted, found)):
        tokens = [f"w{number}.{place}" for place in range(len(own))]
        scores.add(TaggedSentence(tokens, own), other)
    return scores


@pytest.mark.smoke
def test_figures_counted_by_hand():
    scheme = TagScheme.of(["nr-B", "nr-I", "v-B"])
    wanted = [["nr-B", "nr-I", "v-B", "v-B"], ["nr-B"]]
    found = [["nr-B", "nr-B", "v-B", "v-B"], ["v-B"]]
    report = scores_of(wanted, found, scheme, {"w0.0", "w1.0"}.__contains__).report()
    assert (report["precision"], report["recall"]) == (2 / 5, 2 / 4)
    assert report["f1"] == pytest.approx(2 * 2 / (5 + 4))
    nr = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}
    assert report["types"] == {
        "nr": nr, "v": {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "support": 2}
    }
    assert report["tag_accuracy"] == 3 / 5
    assert report["unknown_word_accuracy"] == 2 / 3
    assert report["unknown_word_rate"] == 3 / 5
    assert report["confusion"] == {"nr": {"nr": 2, "v": 1}, "v": {"v": 2}}


@pytest.mark.smoke
def test_words_without_a_type_are_confused_as_well():
    scheme = TagScheme.of(["B-nr", "I-nr", "B-v", "O"])
    wanted, found = [["B-nr", "I-nr", "O", "O"]], [["O", "B-nr", "O", "B-v"]]
    report = scores_of(wanted, found, scheme).report()
    assert report["confusion"] == {"O": {"O": 1, "v": 1}, "nr": {"O": 1, "nr": 1}}


@pytest.mark.smoke
def test_labels_that_training_lacks_count_as_wrong():
    scheme = TagScheme.of(["n-B", "v-B"])
    report = scores_of([["n-B", "x-B"]], [["n-B", "n-B"]], scheme).report()
    assert report["types"]["x"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert report["recall"] == 0.5
    assert report["unknown_word_accuracy"] is None


@pytest.mark.parametrize("form", ["{mark}-{kind}", "{kind}-{mark}"])
@pytest.mark.parametrize("marks", ["BI", "BIES"])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_seqeval(seed, marks, form):
    metrics = pytest.importorskip("seqeval.metrics")
    draw = random.Random(seed)
    tags = [form.format(mark=mark, kind=kind) for mark in marks for kind in ("nr", "ns", "t")]

    def sentences():
        draw.seed(seed * 2 + 1)
        return [[draw.choice([*tags, "O"]) for _ in range(length % 12 + 1)] for length in range(60)]

    wanted, found = sentences(), [
        [tag if draw.random() < 0.7 else draw.choice(tags) for tag in own] for own in sentences()
    ]
    report = scores_of(wanted, found, TagScheme.of([*tags, "O"])).report()
    settings = {"suffix": form.startswith("{kind}")}
    for name, key in (("precision_score", "precision"), ("recall_score", "recall"),
                      ("f1_score", "f1")):
        assert report[key] == pytest.approx(getattr(metrics, name)(wanted, found, **settings))
    theirs = metrics.classification_report(wanted, found, output_dict=True, **settings)
    for kind, row in report["types"].items():
        assert row["f1"] == pytest.approx(theirs[kind]["f1-score"])
        assert row["support"] == theirs[kind]["support"]
    assert report["tag_accuracy"] == pytest.approx(metrics.accuracy_score(wanted, found))
