"""Streaming a corpus: nothing lost, nothing twice, and every place can be gone back to."""

import gzip
import hashlib
import json
import os
import tracemalloc
from collections import Counter
from itertools import islice
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bilm.errors import InputError
from bilm.text import corpus as corpus_module
from bilm.text import counting
from bilm.text.corpus import Corpus, CorpusCounts, WindowReader, pack_position, unpack_position
from bilm.text.lines import open_bytes
from bilm.text.vocabulary import BOS, EOS, SPECIAL_TOKENS, Vocabulary
from tests.reference.plain_windows import plain_windows, rows_of

SHARD_SENTENCES = (13, 1, 17)


@pytest.fixture(scope="module")
def sentences():
    """Lists of words, none of which occurs twice, so that a word tells its place."""
    random, words = np.random.default_rng(8), iter(range(10**6))
    return [[f"词{next(words)}" for _ in range(random.integers(1, 10))]
            for _ in range(sum(SHARD_SENTENCES))]


@pytest.fixture(scope="module")
def vocabulary(sentences):
    return Vocabulary([*SPECIAL_TOKENS, *(word for words in sentences for word in words)])


@pytest.fixture(scope="module", params=["plain", "gz"])
def corpus(request, tmp_path_factory, sentences, vocabulary):
    """Three shards and an empty one, with blank lines in them."""
    folder, rest = tmp_path_factory.mktemp("corpus"), iter(sentences)
    for number, size in enumerate((*SHARD_SENTENCES, 0)):
        lines = (" ".join(next(rest)) + "\n" + "\n \n" * (k % 3 == 0) for k in range(size))
        data = "".join(lines).encode()
        if request.param == "gz":
            (folder / f"shard_{number}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / f"shard_{number}").write_bytes(data)
    return Corpus(f"{folder}/shard_*", vocabulary)


def written(folder, content, vocabulary):
    path = folder / "text"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Corpus(str(path), vocabulary)


def words_of(token_ids, vocabulary):
    return vocabulary.decode(token_ids.tolist())


def read(corpus, **order):
    """Return the words of each sentence, special tokens taken off."""
    read = [words_of(ids, corpus.vocabulary) for ids, _ in corpus.sentences(**order)]
    assert all(words[0] == BOS and words[-1] == EOS for words in read)
    return [words[1:-1] for words in read]


def windows_of(batches, vocabulary):
    """Return batches in the form of `plain_windows`."""
    windows = []
    for batch in batches:
        directions, rows, steps = batch.inputs.shape
        mask = np.ones((rows, steps), bool) if batch.mask is None else batch.mask
        columns = [ids[n] for n in range(directions) for ids in (batch.inputs, batch.targets)]
        windows.append([
            list(zip(*(words_of(column[row][mask[row]], vocabulary) for column in columns)))
            for row in range(rows)
        ])
    return windows


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second):
        for name in ("inputs", "targets", "mask"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.num_tokens == other.num_tokens
        assert one.position.stream == other.position.stream


@pytest.mark.parametrize("batch_size, num_steps", [(1, 1), (2, 3), (3, 20), (40, 7)])
@pytest.mark.parametrize("epochs", [1, 3])
def test_windows_are_those_of_a_plain_reader(corpus, sentences, batch_size, num_steps, epochs):
    batches = list(WindowReader(corpus, batch_size, num_steps, epochs=epochs))
    expected = list(plain_windows(sentences * epochs, batch_size, num_steps))
    assert windows_of(batches, corpus.vocabulary) == expected
    for batch, window in zip(batches, expected):
        assert batch.num_tokens == sum(map(len, window))
        assert (batch.mask is None) == (batch.num_tokens == batch_size * num_steps)
        if batch.mask is not None:  # rows are filled from the left
            assert batch.mask.tolist() == [
                [step < len(row) for step in range(num_steps)] for row in window
            ]


def test_one_direction_is_the_first_of_two(corpus):
    both = list(WindowReader(corpus, 3, 5))
    alone = list(WindowReader(corpus, 3, 5, directions=1))
    for one, two in zip(alone, both):
        np.testing.assert_array_equal(one.inputs, two.inputs[:1])
        np.testing.assert_array_equal(one.targets, two.targets[:1])
    assert len(alone) == len(both)


@pytest.mark.parametrize("order", [
    {}, {"shuffle": True}, {"shuffle": True, "block_sentences": 4}, {"block_sentences": 1},
], ids=str)
@pytest.mark.parametrize("epochs", [1, 2])
def test_no_sentence_is_lost_or_repeated(corpus, sentences, order, epochs):
    batches = list(WindowReader(corpus, 4, 6, epochs=epochs, seed=3, **order))
    found, turned = Counter(), Counter()
    for row in rows_of(windows_of(batches, corpus.vocabulary)):
        text = []
        for word, target, turned_word, turned_target in row:
            text.append((word, turned_word))
            if target == EOS:
                assert turned_target == BOS  # both directions end the same sentence here
                ahead, back = zip(*text)
                found[ahead[1:]] += 1
                turned[back[:0:-1]] += 1
                text = []
        assert not text
    assert found == turned == Counter({tuple(words): epochs for words in sentences})


def test_every_epoch_holds_every_sentence_once(corpus, sentences):
    order = {"shuffle": True, "block_sentences": 5, "epochs": 3}
    stream = read(corpus, **order)
    for start in range(0, len(stream), len(sentences)):
        assert sorted(stream[start : start + len(sentences)]) == sorted(sentences)


def test_shuffling_depends_on_seed_and_epoch_and_on_nothing_else(corpus, sentences):
    size = len(sentences)
    stream = read(corpus, shuffle=True, seed=1, epochs=2)
    assert stream == read(corpus, shuffle=True, seed=1, epochs=2)
    first, second = stream[:size], stream[size:]
    other = read(corpus, shuffle=True, seed=2)
    assert len({str(order) for order in (sentences, first, second, other)}) == 4


def test_sentences_of_one_shard_come_in_another_order_each_time(tmp_path, sentences, vocabulary):
    text = "\n".join(" ".join(words) for words in sentences)
    corpus, size = written(tmp_path, text, vocabulary), len(sentences)
    orders = [[sentences.index(words) for words in read(corpus, shuffle=True, seed=seed, epochs=2)]
              for seed in (0, 1)]
    orders = [order[epoch] for order in orders for epoch in (slice(size), slice(size, None))]
    assert all(sorted(order) == list(range(size)) for order in orders)
    for number, order in enumerate(orders):
        for other in (range(size), *orders[:number]):
            assert sum(a == b for a, b in zip(order, other)) < size / 2
    blocks = read(corpus, shuffle=True, block_sentences=10)
    moves = [[sentences.index(words) % 10 for words in blocks[k : k + 10]] for k in (0, 10, 20)]
    assert len(set(map(tuple, moves))) == 3


def test_shuffling_moves_shards_and_keeps_sentences_in_their_block(corpus, sentences):
    shards, rest = [], iter(sentences)
    for size in SHARD_SENTENCES:
        shards.append([next(rest) for _ in range(size)])
    shard_orders = set()
    for seed in range(12):
        stream = iter(read(corpus, shuffle=True, seed=seed, block_sentences=5))
        order, left = [], list(range(len(shards)))
        while left:
            first = next(stream)
            shard = next(n for n in left if first in shards[n])
            left.remove(shard)
            order.append(shard)
            text = [first, *(next(stream) for _ in shards[shard][1:])]
            for start in range(0, len(text), 5):
                block = slice(start, start + 5)
                assert sorted(text[block]) == sorted(shards[shard][block])
        shard_orders.add(tuple(order))
    assert len(shard_orders) > 1


@pytest.mark.smoke
@pytest.mark.parametrize("order", [
    {}, {"shuffle": True, "seed": 5, "block_sentences": 4}, {"block_sentences": 4, "epochs": 2},
    {"shuffle": True, "epochs": 3},
], ids=str)
def test_reading_goes_on_from_any_saved_position(corpus, order):
    batches = list(WindowReader(corpus, 4, 6, **order))
    for done, batch in enumerate(batches, start=1):
        stream, arrays = pack_position(batch.position)
        stream = json.loads(json.dumps(stream))
        assert all(array.dtype == np.int64 for array in arrays.values())
        position = unpack_position(stream, arrays)
        rest = list(WindowReader(corpus, 4, 6, position=position, **order))
        assert_same(rest, batches[done:])


def test_sentences_go_on_from_any_position(corpus):
    order = {"shuffle": True, "seed": 2, "epochs": 2, "block_sentences": 3}
    with mock.patch.object(corpus_module, "_BLOCK_BYTES", 60):  # ends some blocks early
        stream = list(corpus.sentences(**order))
        for done, (_, position) in enumerate(stream, start=1):
            rest = list(corpus.sentences(position, **order))
            assert [after for _, after in rest] == [after for _, after in stream[done:]]
            for (ids, _), (expected, _) in zip(rest, stream[done:]):
                np.testing.assert_array_equal(ids, expected)


def test_blocks_bounded_by_bytes_lose_nothing(corpus, sentences):
    with mock.patch.object(corpus_module, "_BLOCK_BYTES", 25):
        assert read(corpus) == sentences
        assert sorted(read(corpus, shuffle=True)) == sorted(sentences)
        places = {(position.shard, position.offset) for _, position in corpus.sentences()}
    offsets = [sorted(offset for shard, offset in places if shard == n) for n in (0, 2)]
    longest = max(len(" ".join(words).encode()) for words in sentences) + 5  # line end, blank lines
    assert all((np.diff(places) < 25 + longest).all() and len(places) > 3 for places in offsets)


def test_a_block_of_blank_lines_does_not_end_the_text(tmp_path, vocabulary, monkeypatch):
    monkeypatch.setattr(corpus_module, "_BLOCK_BYTES", 10)
    assert read(written(tmp_path, "词1\n" + "\n" * 50 + "词2", vocabulary)) == [["词1"], ["词2"]]


@pytest.mark.parametrize("rows", [[5, 2], [2, 7], [6, 1, 4]])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_other_numbers_of_rows_lose_and_repeat_nothing(corpus, sentences, rows, done):
    """Each word is an input of both directions once, however often the rows are dealt anew."""
    position, read = None, [Counter(), Counter()]
    for number, batch_size in enumerate(rows):
        reader = iter(WindowReader(corpus, batch_size, 3, position=position, shuffle=True))
        for batch in islice(reader, done if number < len(rows) - 1 else None):
            position = unpack_position(*pack_position(batch.position))
            mask = np.ones(batch.inputs.shape[1:], bool) if batch.mask is None else batch.mask
            for counter, inputs in zip(read, batch.inputs):
                counter.update(words_of(inputs[mask], corpus.vocabulary))
    words = [word for sentence in sentences for word in sentence]
    for counter, first in zip(read, (BOS, EOS)):
        assert counter == Counter({**dict.fromkeys(words, 1), first: len(sentences)})


@pytest.mark.parametrize("change, found", [
    (lambda path: path.unlink(), "is not there any more"),
    (lambda path: os.truncate(path, 8), "has 8 bytes now"),
    (lambda path: path.write_text("词1 词2 词3 词4 词5\n" * 2), "has 50 bytes now"),
], ids=["deleted", "truncated", "replaced"])
@pytest.mark.parametrize("late", [False, True])
def test_a_shard_that_changes_while_it_is_read_is_told(tmp_path, vocabulary, change, found, late):
    shards = [tmp_path / "shard_0", tmp_path / "shard_1"]
    for shard in shards:
        shard.write_text("词1\n词2\n词3\n" * 9)
    read = Corpus(f"{tmp_path}/shard_*", vocabulary).sentences(block_sentences=4)
    for _ in range(27 if late else 3):
        next(read)
    change(shards[late])
    with pytest.raises(InputError, match=f"shard_{int(late)}: had 135 bytes .*, and {found}"):
        list(read)


def test_a_part_of_a_block_is_never_yielded(tmp_path, vocabulary):
    """A shard is cut before its second block is read, which holds fewer sentences then."""
    shard = tmp_path / "shard_0"
    shard.write_text("词1\n词2\n词3\n" * 9)
    read = Corpus(str(shard), vocabulary).sentences(block_sentences=10, shuffle=True)
    for _ in range(10):
        next(read)
    os.truncate(shard, 75)  # in the middle of the second block
    with pytest.raises(InputError, match="had 135 bytes .*, and has 75 bytes now"):
        next(read)


def test_fingerprints_are_those_of_the_text(corpus, tmp_path):
    fresh = Corpus([str(shard) for shard in corpus.shards], corpus.vocabulary)
    corpus.count()
    assert fresh.fingerprints() == corpus.fingerprints()
    for (name, size, digest), shard in zip(fresh.fingerprints(), fresh.shards):
        with open_bytes(shard) as file:
            expected = hashlib.sha256(file.read()).hexdigest()
        assert (name, size, digest) == (shard.name, shard.stat().st_size, expected)


def naive_counts(data):
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    words = [len(line.split()) for line in lines]
    return CorpusCounts(sum(map(bool, words)), sum(words), words.count(0))


PIECES = [
    piece.encode() for piece in ("a", "河", "\u3000", " ", "  ", "\t", "\v", "\n", "\n\n", "\r\n")
]


@pytest.mark.smoke
@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.integers(1, 9))
@example([b"a"], 1)
@example([b"a", b"\n", b" ", b"a", b" "], 2)
def test_counts_are_those_of_the_lines(tmp_path_factory, pieces, chunk_bytes):
    data = b"".join(pieces)
    corpus = written(tmp_path_factory.getbasetemp(), data, Vocabulary(SPECIAL_TOKENS))
    expected, bytes_read = naive_counts(data), []
    with mock.patch.object(counting, "_COUNT_BYTES", chunk_bytes):
        if not expected.words:
            with pytest.raises(InputError, match="no words; expected one segmented sentence"):
                corpus.count()
            return
        assert corpus.count(bytes_read.append) == expected
    assert sum(bytes_read) == len(data)
    lengths = [len(ids) - 2 for ids, _ in corpus.sentences()]
    assert (len(lengths), sum(lengths)) == (expected.sentences, expected.words)


def test_an_epoch_has_the_counted_tokens(corpus, sentences):
    counts = corpus.count()
    assert counts.sentences == len(sentences)
    assert counts.words == sum(map(len, sentences))
    assert counts.blank_lines == 2 * sum(-(-size // 3) for size in SHARD_SENTENCES)
    assert sum(batch.num_tokens for batch in WindowReader(corpus, 3, 4)) == counts.tokens


def test_byte_order_mark_and_windows_line_ends_are_no_words(tmp_path, vocabulary):
    corpus = written(tmp_path, "\ufeff词1 词2\r\n\r\n词3\r\n", vocabulary)
    assert read(corpus) == [["词1", "词2"], ["词3"]]
    assert corpus.count() == (2, 3, 1)


@pytest.mark.parametrize("name", ["text", "text.gz"])
def test_a_line_that_is_not_utf8_is_told_with_file_and_number(tmp_path, vocabulary, name):
    path, line = tmp_path / name, "词1\n".encode()
    data = line * 7 + b"\n" + "词2 坏\n".encode("gb18030") + line
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    stream = Corpus(str(path), vocabulary).sentences(block_sentences=3)
    _, position = [next(stream) for _ in range(4)][-1]
    for sentences in (stream, Corpus(str(path), vocabulary).sentences(position)):
        with pytest.raises(InputError, match=f"{name}, line 9: not UTF-8"):
            list(sentences)


def test_a_damaged_gzip_file_is_named(tmp_path, vocabulary):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress("词1 词2\n".encode() * 1000)[:-12])
    corpus = Corpus(str(path), vocabulary)
    for read_all in (corpus.count, lambda: list(corpus.sentences())):
        with pytest.raises(InputError, match=r"text\.gz: damaged gzip file"):
            read_all()


def test_a_glob_that_matches_nothing_is_an_error(tmp_path, vocabulary):
    with pytest.raises(InputError, match=r"nothing_\*"):
        Corpus(f"{tmp_path}/nothing_*", vocabulary)


@pytest.mark.parametrize("content", ["", "\n \n\t\n"])
def test_text_without_words_is_an_error_when_counted(tmp_path, vocabulary, content):
    corpus = written(tmp_path, content, vocabulary)
    assert list(corpus.sentences(epochs=2)) == list(WindowReader(corpus, 2, 2)) == []
    with pytest.raises(InputError, match="text: no words"):
        corpus.count()


@pytest.mark.parametrize("word, repetitions", [("词1 ", 250_000), ("水", 1_000_000)])
def test_a_line_of_a_million_characters_is_a_sentence(tmp_path, vocabulary, word, repetitions):
    corpus = written(tmp_path, word * repetitions, vocabulary)
    num_words = 250_000 if word.endswith(" ") else 1
    assert corpus.count() == (1, num_words, 0)
    batches = list(WindowReader(corpus, 1, 100_000))
    targets = np.concatenate([batch.targets[:, 0, : batch.num_tokens] for batch in batches], axis=1)
    token_id = vocabulary.encode([word.strip()])[0]
    ends = [[vocabulary.eos_id], [vocabulary.bos_id]]
    assert targets[:, -1:].tolist() == ends
    assert targets.shape[1] == num_words + 1
    assert (targets[:, :-1] == token_id).all()


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    words = [f"{number:02d}" + "很长的一个词" * 4 for number in range(50)]
    line = (" ".join(words) + "\n").encode()
    size = 30_000_000
    corpus = written(tmp_path, line * (size // len(line)), Vocabulary([*SPECIAL_TOKENS, *words]))
    monkeypatch.setattr(counting, "_COUNT_BYTES", 1 << 19)
    tracemalloc.start()
    try:
        num_words = corpus.count().words
        tokens = sum(batch.num_tokens for batch in WindowReader(corpus, 64, 200, shuffle=True))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert tokens == num_words * 51 // 50
    assert peak < size / 3, peak
