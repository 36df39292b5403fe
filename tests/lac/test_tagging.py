"""The library and `lac tag`: text in, words and tags out, nothing lost."""

import io
import json
import logging
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilm.errors import InputError
from lac import LAC
from lac.analyser import Analyser, CutTexts
from lac.analysis import Token, analysis_of
from lac.commands.tag import main
from lac.tag_names import entity_types
from lac.tagged_files import TaggedSentence, read_tagged, to_line
from tests.reference.chains import all_scores
from tests.reference.refusals import refusal_of
from tests.reference.taggers import LINES, small_bilm, trained, write_text

ODD = (
    "小林　去了\t青石镇。\u200b😀👨\u200d👩\u200d👧  ＡＢＣ１２３\ufeff…\r"
    "\x00「好」\U0002a6b2!?\n\n 他说：“走！” \x1f完"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    return trained(folder, elmo=str(small_bilm(folder)))


@pytest.fixture(scope="module")
def lac(run):
    return LAC(run)


@pytest.fixture(scope="module")
def of_words(tmp_path_factory):
    """Return the run of a tagger of words, which a segmenter cuts."""
    folder = tmp_path_factory.mktemp("words")
    return trained(folder, elmo=str(small_bilm(folder)), pieces="words")


def fresh(run):
    return LAC(run)


@pytest.mark.smoke
def test_spans_become_words(lac):
    words, tags = lac.run("陈晨在云溪大学读书。")
    assert "".join(words) == "陈晨在云溪大学读书。"
    assert len(words) == len(tags)
    assert tags[-1] == "w"
    segmented, = lac.analyse(["陈 晨 在 云溪 大学 读书 。"], segmented=True)
    assert segmented.words == ["陈晨", "在", "云溪大学", "读书", "。"]
    assert segmented.tags == ["nr", "p", "nt", "v", "w"]
    assert segmented.tokens == list("陈晨在云溪大学读书。")
    assert segmented.token_tags == ["nr-B", "nr-I", "p-B", "nt-B", *["nt-I"] * 3, "v-B", "v-I",
                                    "w-B"]


@pytest.mark.smoke
def test_a_list_gives_a_list_and_is_not_touched(lac):
    texts = ["小林去了青石镇。", "", "  \t", "春天到了，花都开了。", "\u3000"]
    before = list(texts)
    found = lac.run(texts)
    assert texts == before
    assert [found[number] for number in (1, 2, 4)] == [[[], []]] * 3
    assert found[0] == lac.run(texts[0])
    assert "".join(found[3][0]) == texts[3]
    assert lac.run("") == [[], []]
    assert lac.run([]) == []
    assert lac.run(text for text in texts) == found


def test_a_tagger_without_elmo_has_no_layers(tmp_path):
    lac = fresh(trained(tmp_path, max_epochs=1))
    assert lac.knows("春") and not lac.knows("薛") and not lac.elmo_knows("春天")
    for ask in (lambda: lac.layers([["春天"]]), lambda: lac.elmo_words("春天")):
        with pytest.raises(InputError, match="the tagger has no ELMo"):
            ask()


def test_elmo_reads_pieces_or_words_of_its_own(of_words, tmp_path):
    lac = LAC(of_words)
    assert lac.elmo_words(" 我们喜欢 春天\n") == ["我们", "喜欢", "春天"]
    assert lac.elmo_reads_words and lac.knows("春天") and lac.elmo_knows("春天")
    bilm = str(small_bilm(tmp_path))
    taggers = []
    for reads in ("words", "pieces"):
        (tmp_path / reads).mkdir()
        taggers.append(
            LAC(trained(tmp_path / reads, elmo=bilm, elmo_reads=reads, max_epochs=1))
        )
    characters, stepwise = taggers
    assert characters.elmo_words("我们喜欢 春天") == ["我们", "喜欢", "春天"]
    assert characters.pieces("我们 喜欢") == ["我", "们", "喜", "欢"]
    assert characters.elmo_reads_words
    assert characters.elmo_knows("喜欢") and not characters.knows("喜欢") and characters.knows("喜")
    (layers,) = characters.layers([characters.elmo_words("我们喜欢")])
    assert layers.shape[:2] == (3, 2)
    assert stepwise.elmo_words("我们喜欢") == ["我", "们", "喜", "欢"]
    assert not stepwise.elmo_reads_words and not stepwise.elmo_knows("喜")


@pytest.mark.parametrize("wrong", [5, None, [1], ["好", None], b"\xe5\xa5\xbd", {"好": 1}])
def test_what_is_no_text_is_told(lac, wrong):
    with pytest.raises(InputError):
        lac.run(wrong)


@pytest.mark.smoke
@pytest.mark.parametrize("text", [ODD, "😀", "\u0301", "a b  c", "。。。", "\ud800" "x"])
def test_odd_text_is_preserved(lac, text):
    words, tags = lac.run(text)
    assert "".join(words) == text
    assert len(words) == len(tags)
    assert all(words) and all(tags)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.one_of(st.sampled_from("小林去青石镇。！” \t\n　ab1，"), st.characters())))
def test_any_text_is_preserved(lac, text):
    if not text.isspace():
        assert "".join(lac.run(text)[0]) == text


def test_sentences_do_not_depend_on_their_neighbours(lac):
    texts = ["小林昨天去了青石镇。", "你喜欢这本书吗？", "老周说，云溪大学很大。"]
    together = lac.run("".join(texts))
    alone = [lac.run(text) for text in texts]
    assert together == [sum((part[axis] for part in alone), []) for axis in (0, 1)]


def test_a_sentence_of_ten_thousand_characters(lac):
    text = "小林昨天去了青石镇，" * 1000
    words, tags = lac.run(text)
    assert "".join(words) == text
    assert len(set(tags)) > 2


def test_several_threads_find_what_one_finds(lac):
    texts = [line.split("\t")[0].replace(" ", "") for line in LINES] * 3
    expected = [lac.run(text) for text in texts]
    found = {}

    def work(number):
        found[number] = [lac.run(text) for text in texts]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(4)] == [expected] * 4


def read_as(run, convention, **changes):
    """Return a tagger whose tags are read by a convention."""
    tagger = LAC(run, **changes)
    tagger._analyser = Analyser(tagger._predictor, tagger._analyser.pieces, convention)
    return tagger


TEXT = "小林，去了 青石镇😀。\n他说：好！\u3000"


@pytest.mark.smoke
@pytest.mark.parametrize("convention", ["spans", "baidu"])
def test_offsets_are_places_in_the_text(run, of_words, convention):
    for tagger in (read_as(run, convention), read_as(of_words, convention)):
        for text in (TEXT, "", "\u3000", "  小林", ODD):
            analysis, = tagger.analyse([text])
            assert [text[start:end] for start, end in analysis.offsets()] == analysis.words
            assert [end for _, end in analysis.offsets()][-1:] == [len(text)] * bool(analysis.words)
            assert analysis.confidences == [None] * len(analysis.words)
    joined, = tagger.analyse(["小林 去\t了"], segmented=True)
    assert joined.offsets()[-1][1] == 4  # without the white space that separates words


def enumerated(tagger, tokens, convention="spans"):
    """Return {(start, end, type): probability} from the words of every path of a sentence."""
    predictor = tagger._predictor
    cut = CutTexts([""], [tokens], [1], any(token.continues for token in tokens))
    (batch,) = predictor.batches(cut.tokens(), None, cut.continues())
    scores = all_scores(batch.emissions[0], predictor._scores)
    total = np.logaddexp.reduce(list(scores.values()))
    words = {}
    for path, score in scores.items():
        tags = [predictor.tags[tag] for tag in path]
        analysis = analysis_of(tokens, tags, predictor.scheme, convention)
        for word in zip(analysis.offsets(), analysis.tags):
            words[word] = words.get(word, 0) + np.exp(score - total)
    return words


@pytest.mark.parametrize("convention", ["spans", "baidu"])
@pytest.mark.parametrize("constrained", [True, False])
def test_confidences_are_sums_over_all_taggings(run, convention, constrained):
    tagger = read_as(run, convention)
    predictor = tagger._predictor
    scores = tagger.tagger.crf.scores()
    predictor._scores = (
        scores.constrained(predictor.scheme, predictor.tags) if constrained else scores
    )
    sentences = [["小", "林"], ["青", " ", "镇"], ["说"], ["书", "走", "。"]]
    for pieces, analysis in zip(sentences, tagger.analyse(map("".join, sentences), False, True)):
        tokens = [Token(piece, is_space=piece == " " and convention == "spans") for piece in pieces]
        true = enumerated(tagger, tokens, convention)
        for word, kind, offsets, value in zip(
            analysis.words, analysis.tags, analysis.offsets(), analysis.confidences
        ):
            expected = None if word.isspace() else pytest.approx(true[offsets, kind], abs=1e-6)
            assert value == expected
        for place in range(len(pieces)):  # exactly one word holds each character
            share = sum(p for ((start, end), _), p in true.items() if start <= place < end)
            assert share == pytest.approx(1, abs=1e-6)


def test_confidences_of_several_sentences_and_texts_stand_beside_their_words(run):
    tagger = LAC(run, batch_size=2)
    together = tagger.analyse([TEXT, "", "\u3000", "小林。去。"], confidence=True)
    assert [len(each.confidences) for each in together] == [len(each.words) for each in together]
    alone = tagger.analyse(["他说：好！", "去。"], confidence=True)
    for whole, part in ((together[0], alone[0]), (together[3], alone[1])):
        end = len(whole.words) - whole.words[::-1].index(part.words[-1])
        assert whole.words[end - len(part.words) : end] == part.words
        assert whole.confidences[end - len(part.words) : end] == pytest.approx(part.confidences)
    for analysis in together:
        assert [value is None for value in analysis.confidences] == [
            word.isspace() for word in analysis.words
        ]
        assert all(0 < value <= 1 for value in analysis.confidences if value is not None)


def test_given_words_are_certain_and_joined_ones_are_sums(run):
    tagger = LAC(run)
    analysis, = tagger.analyse(["青石 好"], segmented=True, confidence=True)
    tokens = [Token("青"), Token("石", continues=True), Token("好")]
    true = enumerated(tagger, tokens)
    expected = [true[word] for word in zip(analysis.offsets(), analysis.tags)]
    assert analysis.confidences == pytest.approx(expected, abs=1e-6)


def test_a_user_dictionary_has_no_confidence(run, of_words):
    for tagger in (LAC(run), LAC(of_words)):
        before, = tagger.analyse(["小林昨天去了青石镇。"], confidence=True)
        tagger.load_customization(["青石/nz", "林昨/t"])
        after, = tagger.analyse(["小林昨天去了青石镇。"], confidence=True)
        values = dict(zip(after.words, after.confidences))
        assert values["青石"] is None and values["林昨"] is None
        assert values["。"] is not None
        if tagger._analyser.pieces.kind == "characters":  # what the entries leave is not in doubt
            kept = dict(zip(zip(before.offsets(), before.words), before.confidences))
            beside = [
                (word, value) for word, value in zip(zip(after.offsets(), after.words),
                                                     after.confidences) if value is not None
            ]
            assert beside and all(kept[word] == value for word, value in beside)
            assert values["小"] is values["镇"] is None


@pytest.mark.smoke
def test_entities_are_words_of_their_types(lac):
    text = "老周说，\n小林 昨天去了青石镇。"
    names = lac.entities(text)
    assert names == [
        ("老周", "nr", 0, 2, None), ("小林", "nr", 5, 7, None), ("青石镇", "ns", 12, 15, None),
    ]
    assert lac.entities([text, "", "春天到了"]) == [names, [], []]
    assert [entity.text for entity in lac.entities(text, types=["t", "ns"])] == ["昨天", "青石镇"]
    assert all(entity.confidence > 0.5 for entity in lac.entities(text, confidence=True))
    assert lac.entities(text, types=[]) == []
    with pytest.raises(InputError, match=r"expected several types, such as \['nr'\]"):
        lac.entities(text, types="nr")
    with pytest.raises(InputError, match="expected texts, found int"):
        lac.entities(5)


def test_all_types_of_a_tagger_of_entities_are_entities(tmp_path):
    write_text(tmp_path, [
        "小林 去 了 青石镇 。\tB-人 O O B-地 O",
        "老周 说 云溪 大学 很 大 。\tB-人 O B-校 I-校 O O O",
    ])
    tagger = LAC(trained(tmp_path))
    assert tagger.types == {"人", "地", "校", "O"}
    assert tagger.entity_types >= {"人", "地", "校"} and "O" not in tagger.entity_types
    assert [entity[:4] for entity in tagger.entities("小林 去了青石镇。")] == [
        ("小林", "人", 0, 2), ("青石镇", "地", 5, 8),
    ]
    of_lac = {"n", "v", "nr", "ns", "nt", "nw", "nz", "PER", "LOC", "ORG", "TIME", "t", "O"}
    assert entity_types(of_lac) == of_lac - {"n", "v", "t", "O"}  # it has an O, too


def test_nothing_is_logged_or_printed(run, capsys):
    state = logging.root.level, list(logging.root.handlers)
    LAC(run).run("小林去了青石镇。")
    assert (logging.root.level, list(logging.root.handlers)) == state
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_memory_does_not_grow_with_calls(tmp_path):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    lac = LAC(trained(tmp_path, max_epochs=1, gru_size=4))
    for number in range(1000):
        lac.run(f"买了{number}本")
    before = resident()
    for number in range(6000):  # 100 bytes a call would be 600 KB
        lac.run(f"买了{number}本")
    assert resident() - before < 400 << 10


@pytest.mark.smoke
def test_a_user_dictionary_wins_over_the_model(run):
    lac = fresh(run)
    lac.load_customization(["青石/nz 镇", "林昨/t"])
    words, tags = lac.run("小林昨天去了青石镇。")
    assert "".join(words) == "小林昨天去了青石镇。"
    pairs = dict(zip(words, tags))
    assert pairs["林昨"] == "t"
    assert pairs["青石"] == "nz"
    assert "镇" in words
    lac.load_customization([])
    assert "林昨" not in lac.run("小林昨天去了青石镇。")[0]


@pytest.mark.smoke
@pytest.mark.parametrize("entries, text, words", [
    (["云溪 大学"], "陈晨在云溪大学读书。", ["云溪", "大学"]),  # which the model takes for one
    (["上午"], "我们明天上午坐火车去海边！", ["明天", "上午"]),
    (["你好。世界/nz"], "我说你好。世界很大。", ["你好。世界"]),  # a sentence's end inside
    (["\u3000/w"], "我 \u3000爱", [" ", "\u3000"]),
    (["12/m"], "2012年", ["2012年"]),
    (["\ud800"], "好\ud800", ["\ud800"]),
])
def test_entries_win_whatever_they_are(run, entries, text, words):
    lac = fresh(run)
    lac.load_customization(entries)
    found, _ = lac.run(text)
    assert "".join(found) == text
    assert set(words) <= set(found)


def test_white_space_side_by_side_is_kept(lac):
    text = "我 \u3000爱\u3000\u3000 \t你"
    assert "".join(lac.run(text)[0]) == text
    found, = lac.analyse(["我 \u3000 \u3000 爱"], segmented=True)
    assert found.tokens == ["我", "\u3000", "\u3000", "爱"]
    assert "".join(found.words) == "我\u3000\u3000爱"
    assert lac.analyse(["\ud800 好"], segmented=True)[0].tokens == ["\ud800", "好"]


@pytest.mark.parametrize("entries", [["云溪/ZZ"], ["读书/vn"], ["大学"]])
def test_tags_with_a_dictionary_can_be_read_again(run, entries, tmp_path):
    lac = fresh(run)
    lac.load_customization(entries)
    found, = lac.analyse(["陈 晨 在 云溪 大学 读书 。"], segmented=True)
    line = to_line(TaggedSentence(found.tokens, found.token_tags))
    (tmp_path / "out.tsv").write_text(f"{line}\n", encoding="utf-8")
    corpus = read_tagged(tmp_path / "out.tsv")
    types = [span.type for span in corpus.scheme.spans(found.token_tags)]
    assert types == found.tags


def test_a_word_of_the_dictionary_ends_a_span(run):
    lac = fresh(run)
    lac.load_customization(["云溪/ns"])
    found, = lac.analyse(["陈 晨 在 云溪 大学 读书 。"], segmented=True)
    assert found.words[2:4] == ["云溪", "大学"]
    assert found.token_tags[3] == "ns-B"


def test_the_dictionary_is_saved_with_the_tagger(run, tmp_path):
    lac = fresh(run)
    lac.load_customization(io.StringIO("青石镇/nz\n"))
    lac.save_pretrained(tmp_path / "saved")
    again = LAC(tmp_path / "saved")
    assert again.run("去青石镇")[1][-1] == "nz"
    assert again.run("小林去了") == fresh(run).run("小林去了")
    with pytest.raises(InputError, match="is there already"):
        lac.save_pretrained(tmp_path / "saved")


@pytest.mark.parametrize("path, told", [
    ("nowhere", "no tagger there: .*no such folder"),
    ("bilm", "it may be a biLM, which lac train --elmo takes"),
    ("", "no tagger there"),
])
def test_a_folder_of_another_kind_is_told(run, path, told):
    with pytest.raises(InputError, match=told):
        LAC(run.parent / path)


def test_a_tagger_is_no_bilm(run):
    from bilm import BiLM
    from lac.model_folder import tagger_path

    with pytest.raises(InputError, match="is that of a tagger, not of a biLM"):
        BiLM.from_pretrained(tagger_path(run))


@pytest.mark.parametrize("damage, told", [
    (lambda folder: (folder / "tags.txt").write_text("n-B\n"), "tags.txt: the file is truncated"),
    (lambda folder: (folder / "words.txt").unlink(), "words.txt: the file is missing"),
    (lambda folder: (folder / "checksums.json").unlink()
     or (folder / "tags.txt").write_text("n-B\n"), "tags.txt has 1 lines, but num_tags"),
    (lambda folder: (folder / "checksums.json").unlink()
     or (folder / "config.json").write_text('{"num_words": 5, "layers": 2}'),
     "no tagger's configuration: unknown keys: layers; missing keys: num_tags, scheme"),
    (lambda folder: (folder / "checksums.json").unlink()
     or (folder / "model.safetensors").write_bytes(b"x"), "not a readable safetensors file"),
])
def test_damaged_folders_are_told(run, tmp_path, damage, told):
    folder = tmp_path / "copy"
    fresh(run).save_pretrained(folder)
    damage(folder)
    with pytest.raises(InputError, match=told):
        LAC(folder)


def tag(arguments, text, monkeypatch, capsys, is_live=False):
    raw = text if isinstance(text, bytes) else text.encode("utf-8")
    stdin = SimpleNamespace(buffer=io.BytesIO(raw), isatty=lambda: is_live)
    monkeypatch.setattr(sys, "stdin", stdin)
    main(arguments)
    return capsys.readouterr().out


@pytest.mark.smoke
def test_formats_of_the_command(run, tmp_path, monkeypatch, capsys):
    text = "小林昨天去了青石镇。\n\n你喜欢 这本书吗？"
    common = ["--model", str(run)]
    words = tag(common, text, monkeypatch, capsys).split("\n")
    assert len(words) == 4 and words[1] == ""
    assert words[0].split(" ")[-1] == "。/w"
    lines = tag([*common, "--format", "json"], text, monkeypatch, capsys).splitlines()
    objects = [json.loads(line) for line in lines]
    for line, found in zip(text.split("\n"), objects):
        assert found["text"] == line == "".join(found["words"])
    tsv = tag([*common, "--format", "tsv"], text, monkeypatch, capsys)
    (tmp_path / "out.tsv").write_text(tsv, encoding="utf-8")
    corpus = read_tagged(tmp_path / "out.tsv")
    assert [s.tokens for s in corpus.sentences] == [objects[0]["tokens"], objects[2]["tokens"]]
    conll = tag([*common, "--format", "conll"], text, monkeypatch, capsys)
    rows = [line.split("\t") for line in conll.split("\n\n")[0].split("\n")]
    assert [row[0] for row in rows] == objects[0]["tokens"]
    assert [row[1] for row in rows] == objects[0]["token_tags"]
    (tmp_path / "in.txt").write_text(text, encoding="utf-8")
    assert tag([*common, str(tmp_path / "in.txt")], "", monkeypatch, capsys).split("\n") == words
    assert tag(common, text, monkeypatch, capsys, is_live=True).split("\n") == words


def test_words_alone_and_entities_alone(run, lac, monkeypatch, capsys):
    text = "小林昨天 去了青石镇。\n\n你喜欢这本书吗？\n"
    common = ["--model", str(run), "--format"]
    cut = tag([*common, "cut"], text, monkeypatch, capsys).split("\n")
    assert cut[:3] == [" ".join(words) for words in lac.cut(text.split("\n")[:3])]
    assert cut[0] == "小林 昨天 去 了 青石镇 。"
    lines = tag([*common, "entities"], text, monkeypatch, capsys).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "小林昨天 去了青石镇。", "entities": [
            {"text": "小林", "type": "nr", "start": 0, "end": 2},
            {"text": "青石镇", "type": "ns", "start": 7, "end": 10}]},
        {"text": "", "entities": []}, {"text": "你喜欢这本书吗？", "entities": []},
    ]
    sure = tag([*common, "entities", "--confidence"], text, monkeypatch, capsys).splitlines()
    expected = lac.entities("小林昨天 去了青石镇。", confidence=True)
    assert [entity["confidence"] for entity in json.loads(sure[0])["entities"]] == pytest.approx(
        [entity.confidence for entity in expected], abs=1e-6)


def test_json_has_offsets_and_confidences_if_asked_for(run, lac, monkeypatch, capsys):
    text = "小林昨天 去了😀青石镇。"
    common = ["--model", str(run), "--format", "json"]
    plain = json.loads(tag(common, text, monkeypatch, capsys))
    assert [text[start:end] for start, end in plain["offsets"]] == plain["words"]
    assert "confidences" not in plain
    sure = json.loads(tag([*common, "--confidence"], text, monkeypatch, capsys))
    analysis, = lac.analyse([text], confidence=True)
    assert sure.pop("confidences") == [
        value if value is None else pytest.approx(value, abs=1e-6)
        for value in analysis.confidences
    ]
    assert sure == plain
    told = refusal_of(main, ["--model", str(run), "--confidence"], capsys)
    assert "--confidence needs --format json or entities, not words" in told


def test_segmented_input_and_a_dictionary(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "d.txt").write_text("读书/vn\n", encoding="utf-8")
    out = tag(
        ["--model", str(run), "--input", "segmented", "--customization", str(tmp_path / "d.txt")],
        "陈 晨 在 云溪 大学 读书 。\n", monkeypatch, capsys,
    )
    assert out == "陈晨/nr 在/p 云溪大学/nt 读书/vn 。/w\n"


def test_what_is_no_utf8_is_told_with_its_line(run, tmp_path, capsys):
    (tmp_path / "in.txt").write_bytes("好\n".encode() + "好\n".encode("gb18030"))
    error = refusal_of(main, ["--model", str(run), str(tmp_path / "in.txt")], capsys)
    assert "in.txt, line 2: not UTF-8" in error and "iconv" in error
    assert "No such file" in refusal_of(main, ["--model", str(run), "nowhere.txt"], capsys)
    assert "nowhere: no tagger there" in refusal_of(main, ["--model", "nowhere"], capsys)


@pytest.mark.smoke
def test_evaluate_prints_and_writes_figures(run, tmp_path, capsys):
    from lac.commands.evaluate import main as evaluate

    data = str(run.parent / "train.tsv")
    evaluate(["--model", str(run), "--data", data, "--json", str(tmp_path / "f.json")])
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "f.json").read_text("utf-8"))
    assert set(figures) >= {"precision", "recall", "f1", "words", "types", "confusion"}
    assert figures["f1"] == figures["words"]["f1"] == 1.0
    assert figures["types"]["nr"]["support"] == 4 and figures["unknown_words"]["support"] == 0
    assert "100.00%" in printed
    evaluate(["--model", str(run), "--data", data, "--json", "-"])
    assert json.loads(capsys.readouterr().out) == figures
    (tmp_path / "own.tsv").write_text("小林\tnr-B\n", encoding="utf-8")
    evaluate(["--model", str(run), "--data", data, "--train", str(tmp_path / "own.tsv")])
    unknown = figures["tokens"] - 2  # the known word stands in two sentences
    assert f"training did not have: {unknown} " in capsys.readouterr().out
    (tmp_path / "more.tsv").write_text("小林 走\tnr-B zz-B\n", encoding="utf-8")
    evaluate(["--model", str(run), "--data", str(tmp_path / "more.tsv")])
    assert "does not know, all of which count as wrong: zz (1)" in capsys.readouterr().err
    assert "batch_size must be at least 1, not 0" in refusal_of(
        evaluate, ["--model", str(run), "--data", data, "--batch_size", "0"], capsys)


def test_float16_halves_the_files_and_keeps_the_tags(run, tmp_path):
    lac = LAC(run)
    lac.save_pretrained(tmp_path / "whole")
    lac.save_pretrained(tmp_path / "half", dtype="float16")
    for name in ("model.safetensors", "elmo/model.safetensors"):
        whole, half = ((tmp_path / kind / name).stat().st_size for kind in ("whole", "half"))
        assert half < 0.8 * whole
    texts = [line.split("\t")[0].replace(" ", "") for line in LINES]
    assert LAC(tmp_path / "half").run(texts) == lac.run(texts)
    with pytest.raises(InputError, match="float32 or float16, not 'int8'"):
        lac.save_pretrained(tmp_path / "other", dtype="int8")
