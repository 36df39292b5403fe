"""HTTP/1.1 that closes connections of slow clients and connections beyond a limit.

uvicorn waits without end for the head of a request and for a client to take an answer, and has no
setting for either: its timeout_keep_alive counts between two requests only, and beyond
limit_concurrency it keeps connections and answers 503. No application sees these clients, so the
limits that docs/serving.md promises need the class of uvicorn's protocol itself. The methods
that are extended are those of `asyncio.Protocol`; of uvicorn's own only `cycle` and
`connections` are read. `lac.serving.limits.LimitedRequests` times the bodies.
"""

import asyncio
from typing import Optional, Type

from uvicorn.protocols.http.h11_impl import H11Protocol

from lac.serving.limits import Limits


class ImpatientProtocol(H11Protocol):
    """Closes a connection when the head of a request, or the taking of an answer, is late.

    Attributes:
        limits: The limits; see `impatient_protocol`.
    """

    limits: Limits
    _head_due: Optional[asyncio.TimerHandle] = None
    _answer_due: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Close a connection that is one too many; otherwise await the head of a request."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            transport.abort()
        else:
            self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Stop the clock when the head of a request has come."""
        super().data_received(data)
        self._watch_head()

    def pause_writing(self) -> None:
        """Start the clock: the client does not take its answer."""
        super().pause_writing()
        self._answer_due = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the clock: the client takes its answer again."""
        super().resume_writing()
        self._answer_due = _cancelled(self._answer_due)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        """Stop both clocks."""
        super().connection_lost(exc)
        self._head_due = _cancelled(self._head_due)
        self._answer_due = _cancelled(self._answer_due)

    def _is_waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch_head(self) -> None:
        """Start the clock when a head is awaited; stop it when one has come."""
        if not self._is_waiting():
            self._head_due = _cancelled(self._head_due)
        elif self._head_due is None:
            self._head_due = self.loop.call_later(self.limits.read_seconds, self._give_up)

    def _give_up(self) -> None:
        self._head_due = None
        if self._is_waiting():
            self.transport.abort()


def impatient_protocol(limits: Limits) -> Type[ImpatientProtocol]:
    """Return a protocol class for uvicorn that keeps these limits."""
    return type("ImpatientProtocol", (ImpatientProtocol,), {"limits": limits})


def _cancelled(timer: Optional[asyncio.TimerHandle]) -> Optional[asyncio.TimerHandle]:
    """Cancel a timer, if there is one; return None to take its place."""
    if timer is not None:
        timer.cancel()
    return None
