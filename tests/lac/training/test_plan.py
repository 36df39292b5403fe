"""What a new tagger is, and what is said where its biLM read other text."""

import json
import logging
from collections import Counter

import pytest

from bilm.errors import InputError
from bilm.storage.run_folder import RunFolder
from bilm.text.segmenters import SegmentationOptions
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from lac.lookup import Lookup
from lac.model_folder import read_tagger
from lac.piece_files import looks_up_normalized
from lac.training.setup import set_up
from tests.reference.random_taggers import random_bilm, random_tagger
from tests.reference.taggers import LINES, options

JIEBA, NFKC = SegmentationOptions(), SegmentationOptions(normalize="nfkc")
RUNS, SPLIT = SegmentationOptions("characters"), SegmentationOptions("characters", split_latin=True)
PLAIN_DICTIONARY = SegmentationOptions("dictionary", dictionary="jieba")
SENTENCES = SegmentationOptions("characters", split_semicolons=True, split_newlines=True)


def planned(folder, trained_on, **changes):
    """Return the tagger that is planned over a biLM whose text was cut in some way."""
    segmentation = trained_on and trained_on.describe()
    bilm = random_bilm(folder, segmentation=segmentation)
    given = options(folder, elmo=str(bilm), **changes)
    with RunFolder(given.save_dir, "--save_dir") as run:
        return set_up(given, run).stored


@pytest.mark.parametrize("trained_on, changes, told", [
    (SPLIT, {"pieces": "characters"}, "with another split_latin: True, here False"),
    (RUNS, {"pieces": "characters", "split_latin": True}, "another split_latin: False, here True"),
    (PLAIN_DICTIONARY,
     {"pieces": "dictionary", "dictionary": "jieba", "dictionary_weights": "lengths"},
     "with another dictionary_weights: counts, here lengths"),
    (NFKC, {"pieces": "words"}, "with another normalize: nfkc, here none"),
    (RUNS, {"pieces": "words"}, "ELMo reads pieces (jieba), but the text of its biLM was cut by "
                                "characters"),
    (PLAIN_DICTIONARY, {"pieces": "words"}, "the text of its biLM was cut by dictionary"),
], ids=str)
def test_a_bilm_over_other_text_is_told_once(tmp_path, caplog, trained_on, changes, told):
    with caplog.at_level(logging.WARNING):
        planned(tmp_path, trained_on, **changes)
    warnings = [record.getMessage() for record in caplog.records
                if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 and told in warnings[0]


@pytest.mark.parametrize("trained_on, changes", [
    (RUNS, {"pieces": "characters"}), (SENTENCES, {"pieces": "characters"}),
    (SPLIT, {"pieces": "characters", "split_latin": True}),
    (JIEBA, {"pieces": "characters"}), (JIEBA, {"pieces": "words"}),
    (NFKC, {"pieces": "characters"}),  # whose words are normalized for ELMo
    (SegmentationOptions(hmm=False, split_newlines=True), {"pieces": "words"}),
    (SegmentationOptions(hmm=False), {"pieces": "characters"}),
], ids=str)
def test_a_bilm_over_the_same_text_is_no_remark(tmp_path, caplog, trained_on, changes):
    with caplog.at_level(logging.WARNING):
        planned(tmp_path, trained_on, **changes)
    assert not caplog.records


@pytest.mark.parametrize("pieces, known", [("characters", True), ("words", False)])
def test_words_are_looked_up_as_normalized_text_has_them(tmp_path, pieces, known):
    stored = planned(tmp_path, NFKC, pieces=pieces)
    vocabulary = Vocabulary([*SPECIAL_TOKENS, "1日", "kg"])
    lookup = Lookup(vocabulary, None, elmo_vocabulary=vocabulary,
                    elmo_is_normalized=looks_up_normalized(stored.segmentation, NFKC.describe()))
    assert [lookup.elmo_knows(word) for word in ("㏠", "㎏", "kg", "㎎")] == [
        known, known, True, False]


@pytest.mark.parametrize("pieces", ["words", "characters"])
def test_the_words_of_a_dictionary_that_is_not_there_cannot_be_read(tmp_path, pieces):
    with pytest.raises(InputError, match="trained on the pieces of a dictionary, which it does"):
        planned(tmp_path, PLAIN_DICTIONARY, pieces=pieces, elmo_reads="words")


def test_characters_of_a_dictionarys_pieces_are_counted_in_the_text(tmp_path):
    (tmp_path / "counts.txt").write_text("青石镇 2\n昨天 4\n", encoding="utf-8")
    given = options(tmp_path, pieces="dictionary", dictionary=str(tmp_path / "counts.txt"),
                    char_features=True)
    with RunFolder(given.save_dir, "--save_dir") as run:
        stored = set_up(given, run).stored
    text = "".join(line.split("\t")[0].replace(" ", "") for line in LINES)
    counts = Counter(stored.lookup().fold([*text]))
    expected = sorted((-count, character) for character, count in counts.items() if count > 1)
    assert stored.characters == [character for _, character in expected]


@pytest.mark.parametrize("values, told", [
    ({"segmenter": "jieba", "user_dict": "SECRET"}, "user_dict cannot stand there"),
    ({"segmenter": "dictionary", "dictionary": "SECRET"}, "dictionary cannot stand there"),
    ({"segmenter": "dictionary", "dictionary": "jieba"}, "dictionary cannot stand there"),
    ({"segmenter": "characters", "split_latin": "false"}, "split_latin must be true or false"),
    ({"segmenter": ["jieba"]}, "segmenter must be a string"),
    ({"segmenter": "jieba", "mode": "fast"}, "does not describe pieces"),
], ids=str)
def test_a_model_that_names_files_of_the_machine_is_refused(tmp_path, values, told):
    secret = tmp_path / "secret.txt"
    secret.write_text("春天 5\n", encoding="utf-8")
    folder = random_tagger(tmp_path, "characters")
    text = json.dumps(values).replace("SECRET", str(secret))
    (folder / "pieces.json").write_text(text, encoding="utf-8")
    (folder / "checksums.json").unlink()
    with pytest.raises(InputError, match=told) as refusal:
        read_tagger(folder)
    assert str(folder / "pieces.json") in str(refusal.value)
