"""What a request may cost: bytes and texts, and time to send it, to wait and to read the answer."""

import asyncio
import json
from dataclasses import dataclass

from bilm.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Limits of one request.

    Args:
        max_body_bytes: Of the body.
        max_characters: Of a text to tag.
        max_sentence_characters: Of a sentence to embed or to compare.
        max_texts: Texts in a request.
        read_seconds: For the client to send its request, head and body each.
        answer_seconds: For the request to have its turn.
        write_seconds: For the client to take the answer.

    Raises:
        InputError: A limit is not positive.
    """

    max_body_bytes: int = 64 * 1024
    max_characters: int = 10_000
    max_sentence_characters: int = 500
    max_texts: int = 24
    read_seconds: float = 10.0
    answer_seconds: float = 30.0
    write_seconds: float = 30.0

    def __post_init__(self):
        wrong = [name for name, value in vars(self).items() if value <= 0]
        if wrong:
            raise InputError(f"{', '.join(wrong)} must be positive")


class LimitedRequests:
    """ASGI middleware that hands over whole bodies only, and gives up on clients that are too slow.

    Args:
        app: What answers.
        limits: What a body may be.
    """

    def __init__(self, app, limits: Limits):
        self._app, self._limits = app, limits

    async def __call__(self, scope, receive, send) -> None:
        """Answer a request, or refuse it with 408 or 413."""
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
            return
        await self._app(scope, _replayed(body, receive), self._patient(send))

    async def _read(self, receive):
        """Return the body, the start of one that is too large, or None if the client has gone."""
        body, is_complete = b"", False
        while not is_complete and len(body) <= self._limits.max_body_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            is_complete = not message.get("more_body", False)
        return body

    def _patient(self, send):
        async def send_within(message):
            await asyncio.wait_for(send(message), self._limits.write_seconds)

        return send_within


def _replayed(body, receive):
    """Return a `receive` that gives a body that was read already, and then what comes."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay():
        return first.pop() if first else await receive()

    return replay


async def refuse(send, status: int, code: str, message: str) -> None:
    """Send an error and close the connection, as the rest of the request is not wanted."""
    body = json.dumps({"code": code, "error": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
