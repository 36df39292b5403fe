"""Batches of sentences of similar length."""

from bilm.inference import batching
from bilm.inference.batching import plan_blocks, slices, sorted_blocks


def test_slices_are_the_items_in_order():
    assert list(slices("abcdefg", 3)) == ["abc", "def", "g"]
    assert list(slices([], 3)) == []


def test_blocks_hold_neighbours_and_end_at_either_limit(monkeypatch):
    words = ["a", "bbb", "c", "dd", "eeeee", "f"]
    assert list(sorted_blocks(words)) == [["eeeee", "bbb", "dd", "a", "c", "f"]]
    monkeypatch.setattr(batching, "SORTED_SENTENCES", 3)
    assert list(sorted_blocks(words)) == [["bbb", "a", "c"], ["eeeee", "dd", "f"]]
    monkeypatch.setattr(batching, "SORTED_WORDS", 4)
    assert list(sorted_blocks(iter(words))) == [["bbb", "a"], ["eeeee", "dd", "c"], ["f"]]


def test_plans_depend_on_lengths_alone(monkeypatch):
    monkeypatch.setattr(batching, "SORTED_SENTENCES", 5)
    lengths = [3, 0, 9, 3, 1, 8, 2, 2]
    assert list(plan_blocks(lengths, 2)) == [[[2, 5], [0, 3], [4]], [[6, 7]]]
    assert list(plan_blocks(lengths, 2, stateful=True)) == [[[n]] for n in (0, 2, 3, 4, 5, 6, 7)]
    monkeypatch.setattr(batching, "BATCH_TOKENS", 48)  # 8 rows of 6 steps, or one long one
    assert list(plan_blocks([3, 3, 30, 4], 9)) == [[[2], [3, 0, 1]]]
    assert list(plan_blocks([3, 3, 5, 5], 9)) == [[[2], [3], [0, 1]]]
    monkeypatch.setattr(batching, "SORTED_SENTENCES", 99)
    assert list(plan_blocks([4] * 20, 17)) == [[[*range(8)], [*range(8, 16)], [*range(16, 20)]]]
    monkeypatch.setattr(batching, "SORTED_WORDS", 10)
    assert list(plan_blocks([9, 3, 4, 2], 1)) == [[[0], [1]], [[2], [3]]]
    assert list(plan_blocks([], 4)) == list(plan_blocks([0, 0], 4)) == []
