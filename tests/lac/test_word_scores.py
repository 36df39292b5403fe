"""Scores of words, on cases counted by hand, against brute force, seqeval and spans."""

import random
from itertools import accumulate, combinations, product

import pytest

from bilm.errors import InputError
from lac.tag_schemes import TagScheme
from lac.tagged_files import TaggedCorpus, TaggedSentence
from lac.word_scores import WordScores, words_in, words_of


def split(text):
    """Return words and types of word/type items."""
    pairs = [item.rsplit("/", 1) for item in text.split(" ")] if text else []
    return [word for word, _ in pairs], [kind for _, kind in pairs]


def scores_of(*sentences, known=None):
    """Return the scores of pairs of gold and predicted items."""
    scores = WordScores(None if known is None else known.__contains__)
    for gold, predicted in sentences:
        scores.add(*split(gold), *split(predicted))
    return scores


def figures(correct, predicted, expected):
    return {"precision": correct / predicted, "recall": correct / expected,
            "f1": pytest.approx(2 * correct / (predicted + expected))}


SENTENCES = [
    # found: 小川 在 。; of these 在 has another type, and 。 none
    ("小川/nr 在/p 云溪/ns 大学/n 。/O", "小川/nr 在/v 云溪大学/nt 。/O"),
    ("他/r 来/v 了/O", "他/r 来/v 了/u"),
]


@pytest.mark.smoke
def test_figures_counted_by_hand():
    report = scores_of(*SENTENCES).report()
    assert {name: report[name] for name in ("precision", "recall", "f1")} == figures(3, 6, 6)
    assert report["words"] == figures(6, 7, 8)
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert report["types"] == {
        "n": {**nothing, "support": 1}, "nr": {**figures(1, 1, 1), "support": 1},
        "ns": {**nothing, "support": 1}, "nt": {**nothing, "support": 0},
        "p": {**nothing, "support": 1}, "r": {**figures(1, 1, 1), "support": 1},
        "u": {**nothing, "support": 0},
        "v": {"precision": 1 / 2, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
    }
    assert report["confusion"] == {"O": {"O": 1, "u": 1}, "nr": {"nr": 1}, "p": {"v": 1},
                                   "r": {"r": 1}, "v": {"v": 1}}
    assert (report["sentences"], report["tokens"]) == (2, 8)
    assert report["unknown_words"] is None


@pytest.mark.smoke
def test_counts_of_each_sentence_are_those_of_words_with_tags():
    assert scores_of(*SENTENCES).sentences == [(1, 3, 4), (2, 3, 2)]


@pytest.mark.smoke
def test_unknown_words_counted_by_hand():
    # unknown are 小川 在 大学 of the gold words; 小川 在 云溪大学 of the predicted ones
    known = {"云溪", "。", "他", "来", "了"}
    assert scores_of(*SENTENCES, known=known).report()["unknown_words"] == {
        "support": 3, "rate": 3 / 8, "tagged_recall": 1 / 3, **figures(2, 3, 3)}


def test_where_there_is_nothing_to_count():
    report = scores_of(("他/O", "他/O"), ("", ""), known={"他"}).report()
    assert (report["precision"], report["recall"], report["f1"]) == (0.0, 0.0, 0.0)
    assert report["types"] == {} and (report["sentences"], report["tokens"]) == (2, 1)
    assert report["unknown_words"] == {
        "support": 0, "rate": 0.0, "precision": None, "recall": None, "f1": None,
        "tagged_recall": None}
    assert scores_of(known=set()).report()["unknown_words"]["rate"] is None


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\x1f", "\x85", "\xa0", "\u2003", "\u3000"])
def test_white_space_is_no_part_of_the_text(space):
    scores = WordScores({"ab", "ef"}.__contains__)
    scores.add(["ab", space, "cd", "ef"], ["x", "w", "y", "O"],
               [f"a{space}b", f"{space}cd", "e", f"{space}f", space * 2], ["x", "y", "O", "O", "w"])
    report = scores.report()
    assert {name: report[name] for name in ("precision", "recall", "f1")} == figures(2, 2, 2)
    assert report["words"] == figures(2, 4, 3)
    assert report["types"].keys() == {"x", "y"}
    assert report["unknown_words"]["support"] == 1  # cd


@pytest.mark.parametrize("predicted, told", [
    ("他/r 走/v", "character 2, white space aside, the gold words are '来了', the predicted '走'"),
    ("他/r 来/v", "character 3, white space aside, the gold words are '了', the predicted at their "
     "end"),
    ("他来/r 了吗/v", "character 4, white space aside, the gold words are at their end, the "
     "predicted '吗'"),
])
def test_another_text_is_told_with_its_first_difference(predicted, told):
    scores = scores_of(SENTENCES[0])
    with pytest.raises(InputError, match=r"^sentence 2: .* text: ") as error:
        scores.add(*split("他/r 来/v 了/O"), *split(predicted))
    assert str(error.value).endswith(f"at {told}")
    assert scores.report() == scores_of(SENTENCES[0]).report()  # nothing of it was counted


def test_a_word_without_a_type_is_told():
    with pytest.raises(InputError, match="there: expected one type a word, found 2 words and 1 ty"):
        WordScores().add(["a", "b"], ["x", "y"], ["a", "b"], ["x"], where="there")


def taggings(text, types):
    """Yield every way to cut a text into words and give each a type."""
    for number in range(len(text)):
        for inner in combinations(range(1, len(text)), number):
            cuts = [0, *inner, len(text)]
            words = [text[start:end] for start, end in zip(cuts, cuts[1:])]
            for kinds in product(types, repeat=len(words)):
                yield words, list(kinds)


def type_at(words, kinds, start, end):
    """Return the type of the word with these borders, None if there is no such word."""
    for word, kind, stop in zip(words, kinds, accumulate(map(len, words))):
        if (stop - len(word), stop) == (start, end):
            return kind
    return None


def brute_force(text, gold, predicted, known):
    """Return the counts of a sentence, by looking at every piece of its text."""
    counts = dict.fromkeys(("words", "predicted words", "found", "tagged", "predicted tagged",
                            "correct", "unknown", "predicted unknown", "unknown found",
                            "unknown correct"), 0)
    for start, end in combinations(range(len(text) + 1), 2):
        right, other = (type_at(*side, start, end) for side in (gold, predicted))
        is_unknown = text[start:end] not in known
        counts["words"] += right is not None
        counts["predicted words"] += other is not None
        counts["found"] += None not in (right, other)
        counts["tagged"] += right not in (None, "O")
        counts["predicted tagged"] += other not in (None, "O")
        counts["correct"] += right == other and right not in (None, "O")
        counts["unknown"] += is_unknown and right is not None
        counts["predicted unknown"] += is_unknown and other is not None
        counts["unknown found"] += is_unknown and None not in (right, other)
        counts["unknown correct"] += is_unknown and right is not None and right == other
    return counts


def test_every_pair_of_taggings_of_a_short_text_against_brute_force():
    text, known = "甲乙甲丙", {"甲", "乙甲", "甲乙甲丙"}
    everything = list(taggings(text, ["n", "O"]))
    assert len(everything) == 2 * 3**3
    for gold, predicted in product(everything, repeat=2):
        scores = WordScores(known.__contains__)
        scores.add(*gold, *predicted)
        counts, report = brute_force(text, gold, predicted, known), scores.report()
        assert scores.sentences == [
            (counts["correct"], counts["predicted tagged"], counts["tagged"])]
        ratios = [
            (report["precision"], "correct", "predicted tagged"),
            (report["recall"], "correct", "tagged"),
            (report["words"]["precision"], "found", "predicted words"),
            (report["words"]["recall"], "found", "words"),
            (report["unknown_words"]["rate"], "unknown", "words"),
            (report["unknown_words"]["precision"], "unknown found", "predicted unknown"),
            (report["unknown_words"]["recall"], "unknown found", "unknown"),
            (report["unknown_words"]["tagged_recall"], "unknown correct", "unknown"),
        ]
        for ratio, part, whole in ratios:
            assert (ratio or 0.0) * counts[whole] == pytest.approx(counts[part])
        for row in (report, report["words"], report["unknown_words"]):
            both = (row["precision"] or 0) + (row["recall"] or 0)
            wanted = 2 * (row["precision"] or 0) * (row["recall"] or 0) / both if both else 0.0
            assert (row["f1"] or 0.0) == pytest.approx(wanted)
        confused = sum(sum(row.values()) for row in report["confusion"].values())
        assert confused == counts["found"]
        assert report["confusion"].get("n", {}).get("n", 0) == counts["correct"]


def assert_as_seqeval(report, wanted, predicted, **settings):
    metrics = pytest.importorskip("seqeval.metrics")
    for name, key in (("precision_score", "precision"), ("recall_score", "recall"),
                      ("f1_score", "f1")):
        assert report[key] == pytest.approx(getattr(metrics, name)(wanted, predicted, **settings))
    theirs = metrics.classification_report(wanted, predicted, output_dict=True, **settings)
    assert report["types"].keys() == theirs.keys() - {"micro avg", "macro avg", "weighted avg"}
    for kind, row in report["types"].items():
        for ours, other in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[ours] == pytest.approx(theirs[kind][other])
        assert row["support"] == theirs[kind]["support"]


def character_tags(words, kinds):
    return [tag for word, kind in zip(words, kinds) for tag in (
        ["O"] * len(word) if kind == "O" else [f"B-{kind}"] + [f"I-{kind}"] * (len(word) - 1))]


@pytest.mark.parametrize("seed", range(5))
def test_entities_agree_with_seqeval_on_characters(seed):
    draw = random.Random(seed)

    def cut(text):
        inner = [place for place in range(1, len(text)) if draw.random() < 0.6]
        words = [text[start:end] for start, end in zip([0, *inner], [*inner, len(text)])]
        return words, [draw.choice(["PER", "LOC", "O", "O"]) for _ in words]

    scores, wanted, predicted = WordScores(), [], []
    for length in range(1, 60):
        text = "".join(draw.choice("甲乙丙丁戊") for _ in range(length))
        gold, other = cut(text), cut(text)
        if draw.random() < 0.3:
            other = gold
        scores.add(*gold, *other)
        wanted.append(character_tags(*gold))
        predicted.append(character_tags(*other))
    assert_as_seqeval(scores.report(), wanted, predicted)


@pytest.mark.parametrize("form", ["{mark}-{kind}", "{kind}-{mark}"])
@pytest.mark.parametrize("marks", ["BI", "BIES"])
@pytest.mark.parametrize("seed", range(5))
def test_gold_words_with_predicted_tags_are_scored_as_spans(seed, marks, form):
    """As conlleval and seqeval do, where marks are in any order, too."""
    draw = random.Random(seed)
    tags = [form.format(mark=mark, kind=kind) for mark in marks for kind in ("nr", "ns", "t")]
    scheme = TagScheme.of([*tags, "O"])
    scores, wanted, predicted = WordScores(), [], []
    for number in range(60):
        length = number % 12 + 1
        tokens = [draw.choice(["甲", "乙丙", "丁ab"]) for _ in range(length)]
        own = [draw.choice([*tags, "O"]) for _ in range(length)]
        other = [tag if draw.random() < 0.7 else draw.choice(tags) for tag in own]
        scores.add(*words_of(tokens, own, scheme), *words_of(tokens, other, scheme))
        spans, predicted_spans = set(scheme.spans(own)), set(scheme.spans(other))
        assert scores.sentences[-1] == (
            len(spans & predicted_spans), len(predicted_spans), len(spans))
        wanted.append(own)
        predicted.append(other)
    assert_as_seqeval(scores.report(), wanted, predicted, suffix=form.startswith("{kind}"))


@pytest.mark.smoke
@pytest.mark.parametrize("tags, kinds", [
    ("nr-B nr-I O v-B", ["nr", "O", "v"]),
    ("nr-B nr-I O-B O-B", ["nr", "O", "O"]),  # pieces of words without a tag
    ("nr-B nr-I O-B O-I", ["nr", "O"]),
    ("v-B nr-I O nr-I", ["v", "nr", "O", "nr"]),  # a continuation without a beginning
])
def test_spans_become_words(tags, kinds):
    tokens = ["小", "川", "又", "来"]
    words, types = words_of(tokens, tags.split(), TagScheme("suffix"))
    assert types == kinds and "".join(words) == "小川又来" and len(words) == len(kinds)


def test_words_of_training_are_joined_and_without_white_space():
    sentences = [TaggedSentence(["小", "川\u3000", "来"], ["nr-B", "nr-I", "v-B"]),
                 TaggedSentence(["来"], ["v-B"])]
    assert words_in(TaggedCorpus(sentences, TagScheme("suffix"))) == {"小川", "来"}
