"""Answers as they leave: JSON from wire models, errors in the contract's body, videos in parts."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from anyio import to_thread
from anyio.lowlevel import RunVar
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from squero.api.head import Header
from squero.api.http import LINE, Protocol
from squero.api.reply import REPLY, Reply
from squero.errors import InvalidRequest, JobFailed, PayloadTooLarge, Refused
from squero.media.sealed import SealedReader
from squero.wire import issues

_JSON: Final = (b"content-type", b"application/json")
_LIMIT_RANGE: Final = 40
_MOST_PIECES: Final = 16
"""Opened one after another and sent at once, for a client that takes them: its machine is woken
once for them. They take the loop one or two milliseconds."""

_turn_of_loop: RunVar[asyncio.Lock] = RunVar("download_turn")


class Json(Response):
    """JSON, all there already."""

    def __init__(self, body: bytes, status: int = 200, headers: Sequence[Header] = ()) -> None:
        self.status_code = status
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _JSON, *headers]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        reply: Reply = scope[REPLY]
        return reply.whole(self.status_code, self.raw_headers, bytes(self.body))


def answer(body: BaseModel, headers: Sequence[Header] = ()) -> Response:
    """A 200 with a JSON body."""
    return Json(body.__pydantic_serializer__.to_json(body), headers=headers)


def refusal(refused: Refused, headers: Sequence[Header] = ()) -> Response:
    """The contract's error body."""
    body: dict[str, object] = {"error": refused.message}
    if isinstance(refused, InvalidRequest):
        body |= issues.body(refused.issues)
    if isinstance(refused, PayloadTooLarge):
        body["code"] = refused.code
    if isinstance(refused, JobFailed):
        body["credits_refunded"] = refused.credits_refunded
    return Json(json.dumps(body).encode(), refused.status, headers)


class Bytes(Response):
    """A sealed object, opened as it is sent: whole, or the range that was asked for.

    Closes the reader. `then` is done once its last byte has arrived at the client, and before
    the answer ends, so that the next request on the connection finds it done.
    """

    def __init__(
        self,
        reader: SealedReader,
        media_type: str,
        request: Headers,
        etag: str | None = None,
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._reader = reader
        self._then = then
        span = _span(request, reader.size, etag)
        start, end = self._span = span or (0, reader.size)
        headers = {"content-length": str(end - start), "accept-ranges": "bytes"}
        headers |= {"etag": etag} if etag else {}
        status = 200
        if span == (0, 0):
            status, headers["content-range"] = 416, f"bytes */{reader.size}"
        elif span:
            status, headers["content-range"] = 206, f"bytes {start}-{end - 1}/{reader.size}"
        super().__init__(None, status, None, None if status == 416 else media_type)
        self.headers.update(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        try:
            await send(start | {"headers": self.raw_headers})
            if scope["method"] != "HEAD":
                to_the_end = await self._send_body(send, scope.get(LINE)) == self._reader.size
                if self._then and to_the_end and await _arrived(scope, receive):
                    await self._then()
        finally:
            self._reader.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_body(self, send: Send, line: Protocol | None) -> int:
        """Sends more at a time for as long as the client takes all of it at once.

        Gives where it came to: less than the end when the client left before.
        """
        (position, end), most = self._span, 1
        while position < end and not (line is not None and line.left):
            # This waits until the server would send more: no chunk waits with it.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            position += await self._send_pieces(send, line, position, end, most)
            takes_all = line is not None and not line.flow.write_paused
            most = min(2 * most, _MOST_PIECES) if takes_all else 1
        return position

    async def _send_pieces(
        self, send: Send, line: Protocol | None, start: int, end: int, most: int
    ) -> int:
        """Sends so many chunks at most; gives their bytes, and no longer holds their memory."""
        pieces: Sequence[memoryview] = ()
        with contextlib.suppress(BlockingIOError):
            # Without a thread: going there and back costs more than what there is to do.
            async with _turn():
                pieces = self._reader.pieces(start, end, most)
                await asyncio.sleep(0)
        if not pieces:
            # Not while the error is at hand, which holds the memory that was taken for them.
            pieces = [await to_thread.run_sync(self._reader.piece, start, end)]
        if line is None or not line.extend(pieces):
            for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        return sum(map(len, pieces))


def _turn() -> asyncio.Lock:
    """Who may open chunks before the event loop has asked everybody else."""
    turn = _turn_of_loop.get(None)
    if turn is None:
        turn = asyncio.Lock()
        _turn_of_loop.set(turn)
    return turn


async def _arrived(scope: Scope, receive: Receive) -> bool:
    """Whether the client has what was sent: a server takes it all, and tells nobody of a loss."""
    if LINE in scope:
        return bool(await scope[LINE].arrived())
    return not await Request(scope, receive).is_disconnected()


def _span(request: Headers, size: int, etag: str | None) -> tuple[int, int] | None:
    """The one range asked for, as start and end; (0, 0) when none of it is there."""
    unit, _, text = request.get("range", "").partition("=")
    first, dash, last = (part.strip() for part in text.partition("-"))
    plain = (first + last).isascii() and (first + last).isdigit() and len(text) < _LIMIT_RANGE
    # What is not understood, or contradicts itself, is ignored, says RFC 9110.
    if unit.strip().lower() != "bytes" or not dash or not plain:
        return None
    if first and last and int(first) > int(last):
        return None
    if "if-range" in request and request["if-range"] != etag:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    return (start, end) if start < end else (0, 0)
