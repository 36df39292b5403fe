"""SIGINT and SIGTERM as a request to stop at the next good moment."""

import signal
from typing import Optional


class StopRequest:
    """Notes SIGINT and SIGTERM while its `with` block runs, instead of acting on them.

    Attributes:
        number: Of the signal that came; None as long as none has.
    """

    def __init__(self):
        self.number: Optional[int] = None
        self._before = {}

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
        """The signal's name; "another process" where none came to this one."""
        return signal.Signals(self.number).name if self else "another process"
