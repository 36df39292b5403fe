"""Tiny models in the layout of Baidu's LAC, imported, against all cuts and paths, enumerated."""

import json
from functools import cache, partial
from itertools import product
from math import prod

import numpy as np
import pytest

from bilm.errors import InputError
from lac import LAC
from lac.commands.convert import main
from lac.convert import import_baidu
from lac.model_folder import read_tagger
from tests.reference import baidu_lac
from tests.reference.lark_files import tensor_bytes
from tests.reference.refusals import refusal_of

ALPHABET = [*"春天来了小明北京看花，a1A \u3000\tＡ１來雪", "春天", "小明"]
ODD = ["", " ", "\u3000", " \t ", "雪", "Ａ１", "春天 來了", "a1A1春", "OOV", "春天来了，", "a1春"]
# more words than in the tiny dictionary, so that words overlap
DICTIONARY = {**baidu_lac.DICTIONARY, "天来": 9, "明在北": 2, "花": 30}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = baidu_lac.write_package(tmp_path_factory.mktemp("LAC"))
    text = "".join(f"{word} {count}\n" for word, count in DICTIONARY.items())
    for mode in ("lac", "rank"):
        (folder / f"{mode}_model/conf/small_seg.dic").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def imported(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    for mode in baidu_lac.MODES:
        import_baidu(package / f"{mode}_model", folder / mode)
    return folder


@pytest.fixture(scope="module")
def models(imported):
    return {mode: LAC(imported / mode, threads=1) for mode in baidu_lac.MODES}


def all_cuts(text):
    """Yield every way to cut a text into words of the dictionary and single characters."""
    if not text:
        yield []
    for end in range(1, len(text) + 1):
        if end == 1 or text[:end] in DICTIONARY:
            yield from ([text[:end], *rest] for rest in all_cuts(text[end:]))


def pieces_of(text, mode):
    """Return what LAC's models read: words weigh their lengths, and runs of a-z and 0-9 join."""
    if mode == "seg":
        return list(text)
    total = sum(DICTIONARY.values())

    def goodness(cut):  # the larger the better; among equals the longer first piece
        weight = prod(len(piece) for piece in cut if piece in DICTIONARY)
        return weight * total ** (len(text) - len(cut)), list(map(len, cut))

    joined = [""]
    for piece in max(all_cuts(text), key=goodness):
        both_latin = all(part.isascii() and part.isalnum() for part in (joined[-1][-1:], piece))
        if len(piece) == 1 and both_latin and joined[-1]:
            joined[-1] += piece
        else:
            joined.append(piece)
    return [part for piece in joined[1:] for part in ([piece] if piece in baidu_lac.WORDS
                                                      else piece)]


def ids_of(pieces, mode):
    words = baidu_lac.words_of(mode)
    shown = [baidu_lac.FOLDS.get(piece, piece) for piece in pieces]
    return [words.index(word if word in words else "OOV") for word in shown]


def best_path(arrays, ids):
    """Return the best of all tag sequences; crfw holds start, stop and transitions."""
    emissions = baidu_lac.emissions_of(arrays, ids)
    start, stop, *transitions = arrays["crfw"].astype(np.float64)
    paths = np.array(list(product(range(emissions.shape[1]), repeat=len(ids))))
    scores = start[paths[:, 0]] + stop[paths[:, -1]]
    for step in range(len(ids)):
        scores += emissions[step, paths[:, step]]
        if step:
            scores += np.array(transitions)[paths[:, step - 1], paths[:, step]]
    return paths[scores.argmax()]


def lay_over(cells, text, entries):
    """Change [begins a word?, type] of each character as entries of a user dictionary say."""
    last = 0
    for start, end in product(range(len(text)), range(len(text) + 1)):
        words = entries.get(text[start:end])
        if words is None or end <= max(last, start):
            continue
        last = end
        place = start
        for word, kind in words:
            for cell in cells[place : place + len(word)]:
                cell[:] = False, cell[1] if kind is None else kind
            cells[place][0] = True
            place += len(word)
        if end < len(text):
            cells[end][0] = True


@cache
def cells_of(text, mode):
    """Return [begins a word?, type] and rank of each character, without a user dictionary."""
    pieces = pieces_of(text, mode)
    ids = ids_of(pieces, mode)
    path = best_path(baidu_lac.variables("seg" if mode == "seg" else "lac"), ids)
    ranks = [0] * len(pieces)
    if mode == "rank":
        scores = baidu_lac.rank_scores_of(baidu_lac.variables("rank"), ids, path)
        ranks = scores.argmax(axis=-1).tolist()
    cells, rank_of = [], []
    for piece, tag, rank in zip(pieces, path, ranks):
        kind, _, mark = baidu_lac.tags_of(mode)[tag].rpartition("-")
        cells += [(mark in ("B", "S") and not number, kind) for number in range(len(piece))]
        rank_of += [rank] * len(piece)
    return cells, rank_of


def expected(text, mode, entries=None):
    """Return words, types and ranks of a text."""
    if not text:
        return [[], [], []]
    cells, rank_of = cells_of(text, mode)
    cells = [list(cell) for cell in cells]
    lay_over(cells, text, entries or {})
    words, types, best = [], [], []
    for character, (begins, kind), rank in zip(text, cells, rank_of):
        if begins or not words:
            words, types, best = [*words, ""], [*types, ""], [*best, 0]
        words[-1], types[-1], best[-1] = words[-1] + character, kind, max(best[-1], rank)
    return [words, types if mode != "seg" else [kind or "word" for kind in types], best]


def texts_of(mode, number, seed=0):
    """Return texts that are short enough to enumerate their tags."""
    random = np.random.default_rng([seed, baidu_lac.MODES.index(mode)])
    drawn = ["".join(random.choice(ALPHABET, random.integers(0, 7))) for _ in range(number)]
    longest = 7 if mode == "seg" else 5
    return [text for text in [*ODD, *drawn] if len(pieces_of(text, mode)) <= longest]


@pytest.mark.smoke
@pytest.mark.parametrize("mode", baidu_lac.MODES)
def test_words_types_and_ranks_are_those_of_all_cuts_and_paths(models, mode):
    texts = texts_of(mode, 80)
    wanted = [expected(text, mode) for text in texts]
    assert models[mode].run(texts) == [[words, types] for words, types, _ in wanted]
    assert [models[mode].run(text) for text in texts[:15]] == [each[:2] for each in wanted[:15]]
    if mode == "rank":
        assert models[mode].rank(texts) == wanted
        assert models[mode].rank(texts[7]) == wanted[7]
    else:
        with pytest.raises(InputError, match="the tagger has no ranker"):
            models[mode].rank(texts)
    types = {kind for _, each, _ in wanted for kind in each}
    assert types == {"word"} if mode == "seg" else {"", "PER", "n", "v", "w"} <= types
    assert any(len(word) > 1 for words, _, _ in wanted for word in words)


def test_the_texts_reach_what_is_special():
    """Words that overlap, pieces that are split, folded and unknown ones."""
    pieces = [piece for text in texts_of("lac", 80) for piece in pieces_of(text, "lac")]
    assert {"春天", "春天来了", "小明", "a1", " ", "Ａ", "雪", "A"} <= set(pieces)
    assert pieces_of("春天来", "lac") == ["春天", "来"] != pieces_of("天来", "lac")
    assert pieces_of("天来", "lac") == ["天", "来"]  # no word of the model
    rows = [baidu_lac.WORDS.index(word) for word in ("A", "a", "OOV")]
    assert ids_of(["Ａ", "A", "雪"], "lac") == rows  # folded once


@pytest.mark.parametrize("mode", baidu_lac.MODES)
def test_user_dictionaries_change_the_tags_of_characters(models, mode):
    random = np.random.default_rng(baidu_lac.MODES.index(mode))
    texts = [text for text in texts_of(mode, 60, seed=1) if text]
    for _ in range(6):
        entries = {}
        for _ in range(8):
            text = random.choice(texts)
            start = random.integers(len(text))
            text = "".join(text[start : start + random.integers(1, 5)].split())
            if not text:
                continue
            cut = random.integers(1, len(text) + 1)
            words = [(part, random.choice(["n", "LOC", None])) for part in (text[:cut], text[cut:])
                     if part]
            if len(text) > 1 or words[0][1]:
                entries[text] = words
        lines = [" ".join(word + (f"/{kind}" if kind else "") for word, kind in words)
                 for words in entries.values()]
        models[mode].load_customization(lines)
        wanted = [expected(text, mode, entries) for text in texts]
        assert models[mode].run(texts) == [each[:2] for each in wanted]
        if mode == "rank":
            assert models[mode].rank(texts) == wanted
        assert wanted != [expected(text, mode) for text in texts]
    models[mode].load_customization([])


def test_a_text_longer_than_a_sentence_may_be_is_cut_at_its_sentences(
    models, monkeypatch
):
    sentences = ["小明看花。", "在北京，春天来了。", "花。"]
    together = models["rank"].rank("".join(sentences))
    monkeypatch.setattr("lac.analyser.MAX_SENTENCE_CHARACTERS", 15)
    wanted = [expected(sentence, "rank") for sentence in sentences]
    joined = [sum((each[part] for each in wanted), []) for part in range(3)]
    assert models["rank"].rank("".join(sentences)) == joined != together


def test_the_report_counts_tensors_words_and_tags(package, tmp_path, capsys):
    main([str(package / "rank_model"), str(tmp_path / "out"), "--to", "lac",
          "--json", str(tmp_path / "report.json")])
    words, tags = len(baidu_lac.WORDS) + 3, len(baidu_lac.tags_of("lac"))
    assert f"{words} words, {tags} tags; every tensor read back" in capsys.readouterr().out
    stored = read_tagger(tmp_path / "out")
    tensors = len(stored.weights) + len(stored.ranker)
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "tensors": tensors, "words": words, "tags": tags}
    assert stored.training_words is None and stored.elmo is None


def test_a_saved_tagger_ranks_as_before(models, tmp_path):
    models["rank"].load_customization(["小 明/PER"])
    models["rank"].save_pretrained(tmp_path / "saved")
    texts = texts_of("rank", 10)
    assert LAC(tmp_path / "saved").rank(texts) == models["rank"].rank(texts)
    models["rank"].load_customization([])


def remove(path):
    return path.unlink


def write(path, content):
    return partial(path.write_bytes, content)


@pytest.mark.parametrize("mode, name, change, told", [
    ("lac", "model/fc_4.w_0", remove, "no complete tagger of Baidu's LAC 2: missing fc_4.w_0"),
    ("rank", "model/lstm_1.b_0", remove, "no complete ranker of Baidu's LAC 2: missing lstm_1.b_0"),
    ("lac", "model/word_emb", partial(write, content=b"\0" * 30), "word_emb"),
    ("lac", "model/crfw", partial(write, content=b""), "crfw"),
    ("lac", "conf/word.dic", remove, "it has no conf/word.dic"),
    ("lac", "conf/tag.dic", partial(write, content=b"0\tn-B\n1\tn-I\n"),
     "lac_model/conf/tag.dic: has 2 entries, but the model has 8"),
    ("seg", "conf/q2b.dic", remove, "it has no conf/q2b.dic"),
    ("lac", "conf/word.dic", partial(write, content=b"99\tOOV\n"), "ids go to 99"),
    ("lac", "conf/args.ini", partial(write, content=b"[TRAIN_CONFIG]\nmodel = ner\n"),
     "must be one of lac, seg, rank, not 'ner'"),
])
def test_what_is_damaged_or_missing_is_told_in_one_line(
    tmp_path, capsys, mode, name, change, told
):
    source = baidu_lac.write_package(tmp_path / "LAC") / f"{mode}_model"
    change(source / name)()
    error = refusal_of(main, [str(source), str(tmp_path / "out"), "--to", "lac"], capsys)
    assert error.count("\n") == 1
    assert told in error
    assert [path.name for path in tmp_path.iterdir()] == ["LAC"]


def test_a_ranker_needs_the_tagger_beside_it(tmp_path, capsys):
    package = baidu_lac.write_package(tmp_path / "LAC")
    (package / "lac_model").rename(tmp_path / "elsewhere")
    arguments = [str(package / "rank_model"), str(tmp_path / "out"), "--to", "lac"]
    error = refusal_of(main, arguments, capsys)
    assert error.count("\n") == 1
    assert "rank_model: ranks what a tagger found, but there is no" in error
    assert not (tmp_path / "out").exists()


def test_a_ranker_of_other_words_is_refused(tmp_path, capsys):
    package = baidu_lac.write_package(tmp_path / "LAC")
    rows = baidu_lac.variables("lac")["word_emb"]
    (package / "lac_model/model/word_emb").write_bytes(tensor_bytes(np.vstack([rows, rows[:1]])))
    arguments = [str(package / "rank_model"), str(tmp_path / "out"), "--to", "lac"]
    error = refusal_of(main, arguments, capsys)
    assert "rank_model: its ranker does not read the words of" in error


@pytest.mark.parametrize("flags, told", [
    (["--vocab", "x"], "has its own dictionaries; leave out --vocab"),
    (["--vocab", "x", "--tags", "y"], "leave out --vocab, --tags"),
    (["--cell_clip", "3"], "leave out --cell_clip"),
    (["--dtype", "float16"], "--to lac goes without --dtype float16"),
])
def test_flags_without_a_meaning_are_refused(package, tmp_path, capsys, flags, told):
    arguments = [str(package / "lac_model"), str(tmp_path / "out"), "--to", "lac", *flags]
    error = refusal_of(main, arguments, capsys)
    assert told in error and error.count("\n") == 1


def test_a_target_that_holds_something_is_left_alone(package, tmp_path, capsys):
    (tmp_path / "note.txt").write_text("mine")
    arguments = [str(package / "seg_model"), str(tmp_path), "--to", "lac"]
    assert refusal_of(main, arguments, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
