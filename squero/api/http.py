"""HTTP as it comes off the wire: uvicorn's protocol, with limits and deadlines around it.

On its own uvicorn takes a header of any size and waits for ever for the rest of a request.
"""

import asyncio
import fcntl
import json
import struct
import termios
from http import HTTPStatus
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE_SECONDS = 75
"""How long a connection may wait between two requests."""

ARRIVED = "squero.arrived"
"""The scope's key for `Protocol.arrived`: not every server that may call us has it."""


def config(app: Any, **options: Any) -> uvicorn.Config:
    """How uvicorn is to serve the application; `options` are uvicorn's own and win."""
    ours: dict[str, Any] = {
        "http": Protocol,
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # `squero.api.addresses` reads them
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
    }
    return uvicorn.Config(app, **(ours | options))


class RefusedHead(Exception):
    """A request whose head alone is reason to refuse it."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


TOO_MANY_HEADERS = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request headers are too large")
URL_TOO_LONG = (HTTPStatus.REQUEST_URI_TOO_LONG, "The request URL is too long")
AMBIGUOUS = (HTTPStatus.BAD_REQUEST, "Ambiguous request headers")
UNKNOWN_CODING = (HTTPStatus.NOT_IMPLEMENTED, "The transfer encoding is not supported")
UNKNOWN_VERSION = (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0 or HTTP/1.1 is expected")
MALFORMED = (HTTPStatus.BAD_REQUEST, "Invalid HTTP request")
STOPPING = (HTTPStatus.SERVICE_UNAVAILABLE, "The server is stopping. Please try again.")
TIMED_OUT = (HTTPStatus.REQUEST_TIMEOUT, "The request took too long to arrive")


class Protocol(HttpToolsProtocol):
    """One connection: refuses heads that are too large or ambiguous, and gives up on the silent.

    At most one timer a connection, set again only when it fires: a request that arrives in one
    piece, as nearly all do, touches none.
    """

    head_limit_bytes: ClassVar[int] = 64 * 1024
    header_limit: ClassVar[int] = 100
    url_limit_bytes: ClassVar[int] = 8 * 1024
    head_seconds: ClassVar[float] = 10
    """From the connection, or the first byte of a later request, to the end of its head."""
    body_seconds: ClassVar[float] = 30
    """The longest silence within a body that somebody is reading."""
    body_grace_seconds: ClassVar[float] = 10
    body_least_rate: ClassVar[int] = 1_000
    """Bytes a second that a body must come at, on average, once the grace is over."""
    linger_seconds: ClassVar[float] = 5
    """How long the rest of a refused request is read, so that the client gets to read why."""
    farewell_seconds: ClassVar[float] = 0.5
    """The same, once the server stops."""
    last_seconds: ClassVar[float] = 14
    """How long an answer may still take once the server stops."""
    stall_seconds: ClassVar[float] = 60
    """How long `arrived` waits for a client that takes nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0.0
        self._deadline: float | None = None
        self._in_body = self._closes = self._lingering = False
        self._unparsed = self._body_bytes = 0
        self._body_began = 0.0
        self._cut = self._spared = False
        self._refusal = MALFORMED
        self._awaited = self._ended = self._took_all = False

    async def arrived(self) -> bool:
        """Whether all that was written has been acknowledged by the client's machine; waits for it.

        False when the client left before, or took nothing for `stall_seconds`. Behind a proxy the
        client is the proxy.
        """
        self._awaited = True
        pause, seen, since = 0.001, -1, self.loop.time()
        while not (self._ended or self.transport.is_closing()):
            left = _unacknowledged(self.transport)
            if left == 0:
                return True
            if left != seen:
                seen, since = left, self.loop.time()
            elif self.loop.time() - since > self.stall_seconds:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)
        return self._took_all

    def eof_received(self) -> None:
        # A client that has read everything and leaves says so here; one that leaves data unread
        # resets the connection, and one that leaves early does so before anybody waits.
        self._took_all = self._awaited and _unacknowledged(self.transport) == 0
        self._ended = True
        super().eof_received()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._ended = True
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        step = self.head_limit_bytes
        while data and not (self._lingering or self.transport.is_closing()):
            piece, data = data[:step], data[step:]
            super().data_received(piece)
            if self._in_body or self._in_head() or self._answered():
                self._follow(len(piece))

    def on_headers_complete(self) -> None:
        self._check_size()
        self._check_names()
        self._awaited = False
        self.scope[ARRIVED] = self.arrived  # type: ignore[literal-required]
        super().on_headers_complete()
        self._in_body, self._unparsed = True, 0
        self._body_began, self._body_bytes = self.loop.time(), 0
        # Trailers are collected here too, and must not reach headers that were looked at already.
        self.headers = []
        # Closing on a body that still arrives resets the connection, and the answer is lost. So
        # uvicorn is told to close only once the body is there; before, `on_response_complete` does.
        self._closes, self.cycle.keep_alive = not self.cycle.keep_alive, True

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = self._cut = False
        self._unparsed, self._deadline = 0, None
        if self._closes:
            self.cycle.keep_alive = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            if self._closes:
                self._linger()
            else:
                self._wait(self.linger_seconds)

    def shutdown(self) -> None:
        """The server stops: a body that still arrives is not waited for, an answer is."""
        if self._lingering:
            self._wait(self.farewell_seconds)
        elif self._in_body and not self.cycle.response_started:
            self._refuse(*STOPPING)
            self._wait(self.farewell_seconds)
        elif self._in_body and self._answered():
            self._linger()
            self._wait(self.farewell_seconds)
        else:
            super().shutdown()
            # What is cancelled in the middle of an answer logs a traceback; this ends it quietly.
            self.loop.call_later(self.last_seconds, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when the parser gives up, be it of itself or for a RefusedHead."""
        self._refuse(*self._refusal)

    def _should_upgrade(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        # What follows is not HTTP any more, so nothing that follows is answered.
        self.cycle.keep_alive = False

    def _in_head(self) -> bool:
        """Whether a head is awaited or has come in part: uvicorn's new scope has no method yet."""
        return self.scope is None or "method" not in self.scope

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _check_size(self) -> None:
        """Raises RefusedHead when what has arrived of the head, or of trailers, is too large."""
        if len(self.url) > self.url_limit_bytes:
            self._raise(URL_TOO_LONG)
        if len(self.headers) > self.header_limit or self._unparsed > self.head_limit_bytes:
            self._raise(TOO_MANY_HEADERS)

    def _check_names(self) -> None:
        """Raises RefusedHead when two readers of this head could understand two things."""
        if self._cut and len(self.url) + sum(map(_size, self.headers)) > self.head_limit_bytes:
            self._raise(TOO_MANY_HEADERS)
        names = dict(self.headers)
        if len(names) < len(self.headers):
            every = [name for name, _ in self.headers]
            if any(every.count(name) > 1 for name in _ONCE):
                self._raise(AMBIGUOUS)
        if b"transfer-encoding" in names and b"content-length" in names:
            self._raise(AMBIGUOUS)
        if names.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            self._raise(UNKNOWN_CODING)
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            self._raise(UNKNOWN_VERSION)

    def _raise(self, refusal: tuple[HTTPStatus, str]) -> None:
        self._refusal = refusal
        raise RefusedHead(*refusal)

    def _follow(self, size: int) -> None:
        """After a piece that ended no request: what it has grown to, how long the rest may take."""
        if self._lingering or self.transport.is_closing():
            return
        answered = self._answered()
        if self.scope is not None and (self._in_body or self._in_head()):
            # The piece in which a head begins may hold the body before it, so it is not counted.
            self._unparsed += size if self._cut or self._in_body else 0
            self._cut = True
            try:
                self._check_size()
            except RefusedHead as refused:
                self._refuse(refused.status, refused.message)
                return
        if self._in_body and not answered and self._trickles():
            self._refuse(*TIMED_OUT)
        elif self._in_body and not answered:
            self._wait(self.body_seconds)
        elif not self._in_body and (self._in_head() or answered) and self._deadline is None:
            self._wait(self.head_seconds)

    def _trickles(self) -> bool:
        """Whether the body comes more slowly than anybody's network makes it."""
        due_seconds = self.loop.time() - self._body_began - self.body_grace_seconds
        waits_for_us = self.flow.read_paused or self.cycle.waiting_for_100_continue
        return not waits_for_us and self._body_bytes < due_seconds * self.body_least_rate

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answers if it still can, and ends the connection."""
        cycle = self.cycle
        if self._in_body:
            answerable = not (cycle.response_started or self.pipeline)
            cycle.disconnected = True
            cycle.message_event.set()
        else:
            answerable = self._answered()
        if answerable:
            self.transport.write(_answer(status, message))
            self._linger()
        else:
            self.transport.abort()

    def _linger(self) -> None:
        """Ends the connection so that what was written arrives: reads on, and drops that."""
        self._unset_keepalive_if_required()
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:  # the client has reset the connection, and nobody has told us yet
            self.transport.abort()
            return
        self.flow.resume_reading()
        self._lingering = True
        self._wait(self.linger_seconds)

    def _wait(self, seconds: float) -> None:
        self._deadline = self.loop.time() + seconds
        if self._timer is not None and self._wakes > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._arm(self._deadline)

    def _arm(self, deadline: float) -> None:
        self._wakes = deadline
        self._timer = self.loop.call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self.loop.time() < self._deadline:
            self._arm(self._deadline)
        else:
            self._deadline = None
            self._expire()

    def _expire(self) -> None:
        cycle = self.cycle
        answered = self._answered()
        waits_for_us = self.flow.read_paused or (not answered and cycle.waiting_for_100_continue)
        if self._lingering or (self._in_body and answered):
            self.transport.abort()
        elif self._in_body and (waits_for_us or self._spared):
            # Once it need not wait for us any more, it has the whole time again.
            self._spared = waits_for_us
            self._wait(self.body_seconds)
        elif self._in_body or (self.scope is not None and self._in_head() and answered):
            self._refuse(*TIMED_OUT)
        elif answered:
            self.transport.close()
        else:
            self._wait(self.head_seconds)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """How many written bytes the other side has not acknowledged, as far as the system tells."""
    waiting = transport.get_write_buffer_size()
    try:
        descriptor = transport.get_extra_info("socket").fileno()
        told = fcntl.ioctl(descriptor, termios.TIOCOUTQ, struct.pack("i", 0))
    except (OSError, ValueError):
        return waiting
    return waiting + int(struct.unpack("i", told)[0])


_ONCE = (b"host", b"content-length", b"transfer-encoding")


def _size(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1]) + len(b": \r\n")


def _answer(status: HTTPStatus, message: str) -> bytes:
    body = json.dumps({"error": message}).encode()
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
