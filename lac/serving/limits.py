"""Limits of a request: bytes, texts and numbers, and the time that its client may take."""

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterable, List, Optional, Tuple

from bilm.errors import InputError

if TYPE_CHECKING:  # Starlette is part of the extra `serve`
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_BYTES = 12  # of a character in JSON: two escapes
_MOST_READ = 1 << 23  # bytes of a body, before the connection is closed


@dataclass(frozen=True)
class Limits:
    """Limits of one request, and of connections.

    Args:
        max_characters: Characters of a text to tag.
        max_sentence_characters: Characters of a sentence to embed or to compare.
        max_texts: Texts in a request.
        max_numbers: Numbers in an answer: words times features.
        max_connections: Connections at the same time; further ones are closed.
        read_seconds: Time for the client to send the head of a request, and its body.
        answer_seconds: Time until it is a request's turn.
        write_seconds: Time for the client to take the answer.

    Raises:
        InputError: A limit is not positive.
    """

    max_characters: int = 10_000
    max_sentence_characters: int = 500
    max_texts: int = 24
    max_numbers: int = 500_000
    max_connections: int = 500
    read_seconds: float = 10.0
    answer_seconds: float = 30.0
    write_seconds: float = 30.0

    def __post_init__(self) -> None:
        wrong = [name for name, value in vars(self).items() if value <= 0]
        if wrong:
            raise InputError(f"{', '.join(wrong)} must be positive")

    @property
    def max_body_bytes(self) -> int:
        """Bytes of a body: enough for one text, or for all sentences, however they are written."""
        characters = max(self.max_characters, self.max_texts * self.max_sentence_characters)
        return _MOST_BYTES * characters + 1024


class LimitedRequests:
    """ASGI middleware that passes on only whole JSON bodies that arrive in time.

    Args:
        app: The application.
        limits: Limits of a body.
    """

    def __init__(self, app: "ASGIApp", limits: Limits):
        self._app, self._limits = app, limits

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request, or refuse it with 408, 413 or 415."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._read(receive), self._limits.read_seconds)
        except asyncio.TimeoutError:
            await refuse(send, 408, "timeout", "the request did not arrive in time")
            return
        if body is None:
            return
        if len(body) > self._limits.max_body_bytes:
            most = self._limits.max_body_bytes
            await refuse(send, 413, "body_too_large", f"the body may have at most {most} bytes")
        elif body and not _is_json(scope["headers"]):
            await refuse(send, 415, "not_json", "send a body with Content-Type: application/json")
        else:
            await self._app(scope, _replayed(body, receive), send)

    async def _read(self, receive: "Receive") -> Optional[bytes]:
        """Return the body, the start of one that is too large, or None if the client has gone.

        Of a body that is too large more is read than kept: a client that is cut off while it
        sends does not see why.
        """
        body, size, is_complete = bytearray(), 0, False
        while not is_complete and size < _MOST_READ:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if len(body) <= self._limits.max_body_bytes:
                body += part
            is_complete = not message.get("more_body", False)
        return bytes(body)


def _is_json(headers: Iterable[Tuple[bytes, bytes]]) -> bool:
    kinds = [value.split(b";")[0].strip().lower() for name, value in headers
             if name == b"content-type"]
    return kinds == [b"application/json"]


def _replayed(body: bytes, receive: "Receive") -> "Receive":
    """Return a `receive` that first gives a body that was read already."""
    first: List[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> "Message":
        return first.pop() if first else await receive()

    return replay


async def refuse(send: "Send", status: int, code: str, message: str) -> None:
    """Send an error and close the connection, because the rest of the request is not read."""
    body = json.dumps({"code": code, "error": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
