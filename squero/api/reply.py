"""Replies: an answer on its way out, with the headers that any answer to its request gets."""

import time
from collections.abc import Awaitable, Sequence
from typing import Final

from starlette.types import Message, Scope, Send

from squero.api.head import Header, marks
from squero.api.http import LINE

REPLY: Final = "squero.reply"
"""The scope's key for the Reply to its request."""


class Reply:
    """One answer: whatever is sent of it goes through here."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.headers: list[Header] = marks()
        """What this answer gets beside its own headers, also when the handler refuses."""
        self.status: int | None = None
        """None until it has begun."""
        self.seconds = 0.0
        """From the request to the first byte."""
        self._line = scope.get(LINE)
        self._send = send
        self._began = time.perf_counter()

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            self._begin(message["status"])
            message["headers"] = [*message["headers"], *self.headers]
        return self._send(message)

    async def whole(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """Sends all of it, in one piece where the server can."""
        self._begin(status)
        headers = [*headers, *self.headers]
        line = self._line
        if line is None or not line.answer(status, headers, body):
            start = {"type": "http.response.start", "status": status, "headers": headers}
            await self._send(start)
            await self._send({"type": "http.response.body", "body": body})

    def _begin(self, status: int) -> None:
        self.status = status
        self.seconds = time.perf_counter() - self._began
