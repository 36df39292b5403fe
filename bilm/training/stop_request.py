"""SIGINT and SIGTERM as a request to stop at the next good moment."""

import signal
from typing import Any, Dict, Optional


class StopRequest:
    """Records SIGINT and SIGTERM within a `with` block, where they have no other effect.

    It is true once a signal has come.

    Attributes:
        number: The signal's number; None before one has come.
    """

    def __init__(self):
        self.number: Optional[int] = None
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _frame):
        self.number = number

    def __bool__(self) -> bool:
        return self.number is not None

    @property
    def name(self) -> str:
        """The signal's name, or "another process" if none came to this one."""
        return "another process" if self.number is None else signal.Signals(self.number).name
