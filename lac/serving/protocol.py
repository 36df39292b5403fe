"""HTTP/1.1 that closes connections whose client is too slow, and those that are too many.

uvicorn waits without end for the head of a request, and for a client to take an answer; a body is
timed by `lac.serving.limits.LimitedRequests`.
"""

from uvicorn.protocols.http.h11_impl import H11Protocol

from lac.serving.limits import Limits


def impatient_protocol(limits: Limits) -> type:
    """Return a protocol class for uvicorn that keeps these limits."""

    class ImpatientProtocol(H11Protocol):
        """Closes a connection when a request's head, or the taking of an answer, is overdue."""

        _head_due = None
        _answer_due = None

        def connection_made(self, transport):
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                transport.abort()
            else:
                self._watch_head()

        def data_received(self, data):
            super().data_received(data)
            self._watch_head()

        def pause_writing(self):
            super().pause_writing()
            self._answer_due = self.loop.call_later(limits.write_seconds, self.transport.abort)

        def resume_writing(self):
            super().resume_writing()
            self._answer_due = _cancelled(self._answer_due)

        def connection_lost(self, exc):
            super().connection_lost(exc)
            self._head_due = _cancelled(self._head_due)
            self._answer_due = _cancelled(self._answer_due)

        def _is_waiting(self):
            return self.cycle is None or self.cycle.response_complete

        def _watch_head(self):
            """Start the time when a head is awaited; stop it when one has come."""
            if not self._is_waiting():
                self._head_due = _cancelled(self._head_due)
            elif self._head_due is None:
                self._head_due = self.loop.call_later(limits.read_seconds, self._give_up)

        def _give_up(self):
            self._head_due = None
            if self._is_waiting():
                self.transport.abort()

    return ImpatientProtocol


def _cancelled(timer):
    """Cancel a timer, if there is one; return None in its place."""
    if timer is not None:
        timer.cancel()
