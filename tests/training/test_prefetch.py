"""Items prepared in a thread: their order, their errors, and that nothing hangs."""

import itertools
import threading
import time

import pytest

from bilm.training.prefetch import Prefetcher

PATIENCE_SECONDS = 10


def wait_until(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def assert_ends(function):
    """Call `function`, which might hang, in a thread."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


@pytest.mark.parametrize("ahead", [1, 3, 1000])
def test_items_come_prepared_and_in_order(ahead):
    threads = set()

    def square(number):
        threads.add(threading.get_ident())
        return number * number

    with Prefetcher(range(100), square, ahead) as items:
        assert list(items) == [number * number for number in range(100)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_empty_source_ends_at_once():
    with Prefetcher([], str) as items:
        assert list(items) == []


def test_none_and_false_are_items_like_others():
    with Prefetcher([None, 0, False, ()], lambda item: item) as items:
        assert list(items) == [None, 0, False, ()]


def test_items_are_prepared_ahead_but_not_without_end():
    prepared = []
    with Prefetcher(itertools.count(), prepared.append, ahead=4) as items:
        wait_until(lambda: len(prepared) == 5)  # four wait, one wants to
        time.sleep(0.15)
        assert prepared == [0, 1, 2, 3, 4]
        assert next(iter(items)) is None
        wait_until(lambda: len(prepared) == 6)


def failing_source():
    yield 1
    yield 2
    raise OSError("the disk is gone")


@pytest.mark.parametrize("source, prepare, error", [
    (failing_source(), int, "the disk is gone"),
    (["1", "2", "three", "4"], int, "three"),
])
def test_an_error_comes_where_its_item_would_have_come(source, prepare, error):
    received = []
    with pytest.raises((OSError, ValueError), match=error):  # noqa: SIM117
        with Prefetcher(source, prepare) as items:
            for item in items:
                received.append(item)
    assert received == [1, 2]


def test_closing_while_the_queue_is_full_does_not_hang():
    prepared = []
    items = Prefetcher(itertools.count(), prepared.append, ahead=2)
    wait_until(lambda: len(prepared) == 3)
    assert_ends(items.close)
    count = len(prepared)
    time.sleep(0.05)
    assert len(prepared) == count
    assert_ends(items.close)  # once more does no harm


def test_closing_waits_for_the_item_in_work():
    started, may_end, log = threading.Event(), threading.Event(), []

    def slow(number):
        started.set()
        may_end.wait(PATIENCE_SECONDS)
        log.append(number)

    items = Prefetcher(itertools.count(), slow)
    started.wait(PATIENCE_SECONDS)
    closer = threading.Thread(target=items.close)
    closer.start()
    may_end.set()
    closer.join(PATIENCE_SECONDS)
    assert not closer.is_alive()
    assert log == [0]


def test_leaving_early_ends_the_thread():
    before = set(threading.enumerate())
    with Prefetcher(itertools.count(), str) as items:
        for item in items:
            if item == "5":
                break
    assert set(threading.enumerate()) <= before
