"""HTTP/1.1 that closes connections whose request does not arrive in time.

uvicorn waits without end for the head of a request; a body is timed by `LimitedRequests`.
"""

from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient_protocol(seconds: float) -> type:
    """Return a protocol class for uvicorn that waits so many seconds for a request's head."""

    class ImpatientProtocol(H11Protocol):
        """Closes a connection on which no request has arrived in time."""

        _deadline = None

        def connection_made(self, transport):
            super().connection_made(transport)
            self._watch()

        def data_received(self, data):
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc):
            super().connection_lost(exc)
            self._stop_watching()

        def _is_waiting(self):
            return self.cycle is None or self.cycle.response_complete

        def _watch(self):
            """Start the time when a head is awaited; stop it when one has come."""
            if not self._is_waiting():
                self._stop_watching()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(seconds, self._give_up)

        def _stop_watching(self):
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _give_up(self):
            self._deadline = None
            if self._is_waiting() and not self.transport.is_closing():
                self.transport.close()

    return ImpatientProtocol
