"""Items prepared in a background thread."""

import queue
import threading
from typing import Callable, Iterable, Iterator

_END = object()


class Prefetcher:
    """Iterates once over `prepare(item) for item in source`, computed ahead in a thread.

    An exception of the source is raised where its item would have come.

    Args:
        source: Items to prepare; only the thread iterates over it.
        prepare: Called for each item, in order.
        ahead: Largest number of prepared items that wait.
    """

    def __init__(self, source: Iterable, prepare: Callable, ahead: int = 8):
        self._queue: queue.Queue = queue.Queue(maxsize=ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(source, prepare), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator:
        while not self._stopped.is_set():
            item, error = self._queue.get()
            if item is _END:
                self._stopped.set()  # there is nothing to wait for any more
            if error is not None:
                raise error
            if item is not _END:
                yield item

    def close(self) -> None:
        """Stop the thread and drop the items that it has prepared."""
        self._stopped.set()
        self._thread.join()

    def __enter__(self) -> "Prefetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self, source, prepare):
        try:
            for item in source:
                self._put(prepare(item), None)
                if self._stopped.is_set():
                    return
            self._put(_END, None)
        except Exception as error:  # handed to the thread that iterates
            self._put(_END, error)

    def _put(self, item, error):
        while not self._stopped.is_set():
            try:
                self._queue.put((item, error), timeout=0.1)
                return
            except queue.Full:
                pass
