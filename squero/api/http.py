"""HTTP as it comes off the wire: uvicorn's protocol, with limits and deadlines around it.

On its own uvicorn takes a header of any size and waits for ever for the rest of a request.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import httptools
import uvicorn

from squero.api import head
from squero.api.alarm import Alarm
from squero.api.exchange import Exchanges
from squero.api.flow import Delivery, Flow, Pace, Rest, framing
from squero.api.head import (
    MALFORMED,
    NAMES,
    STOPPING,
    TIMED_OUT,
    TOO_MANY_HEADERS,
    Refusal,
    RefusedHead,
)

KEEP_ALIVE_SECONDS = 75
"""How long a connection may wait between two requests."""

LINE = "squero.line"
"""The scope's key for the request's Protocol: not every server that may call us has one."""


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


class Protocol(Exchanges):
    """One connection: refuses heads that are too large or ambiguous, and gives up on the silent.

    At most one timer a connection, its Alarm: a request that arrives in one piece, as nearly all
    do, touches none.
    """

    head_limit_bytes: ClassVar[int] = 64 * 1024
    header_limit: ClassVar[int] = 100
    url_limit_bytes: ClassVar[int] = 8 * 1024
    head_seconds: ClassVar[float] = 10
    """From the connection, or the first byte of a later request, to the end of its head."""
    body_seconds: ClassVar[float] = 30
    """The longest silence within a body that somebody is reading."""
    body_least_rates: ClassVar[Mapping[float, int]] = {10: 1_000, 60: 100_000}
    """Seconds of grace, and the bytes a second that must have come on average ever since.

    The last is a total: 60 seconds, and one more for each 100,000 bytes.
    """
    linger_seconds: ClassVar[float] = 5
    """How long the rest of a refused request is read, so that the client gets to read why."""
    farewell_seconds: ClassVar[float] = 0.5
    """The same, once the server stops."""
    last_seconds: ClassVar[float] = 14
    """How long an answer may still take once the server stops."""
    stall_seconds: ClassVar[float] = 60
    """How long a client that takes nothing of what was written is waited for."""
    stall_looks: ClassVar[int] = 4
    """How often it is looked at meanwhile."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_body = self._closes = self._lingering = False
        self._unparsed = 0
        self._cut = self._spared = False
        self._framing: bytes | None = None
        self._idle = False
        self._refusal = MALFORMED

    async def arrived(self) -> bool:
        """Whether all that was written has been acknowledged by the client's machine; waits for it.

        False when the client left before, or took nothing for `stall_seconds`. Behind a proxy the
        client is the proxy.
        """
        return await self._delivery.arrived()

    def eof_received(self) -> None:
        self._delivery.leave()
        super().eof_received()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = self._flow = Flow(transport, self.loop.time)
        self._alarm = Alarm(
            self.loop, transport, self._expire, self.stall_seconds, self.stall_looks
        )
        self._pace = Pace(self._flow, self.body_least_rates)
        self._delivery = Delivery(transport, self.loop.time, self.stall_seconds)
        self._alarm.wait(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._delivery.over = True
        self._alarm.stop()

    def data_received(self, data: bytes) -> None:
        step = self.head_limit_bytes
        if self._idle:
            self._idle, self._alarm.deadline = False, None
        while data and not (self._lingering or self.transport.is_closing()):
            piece, data = data[:step], data[step:]
            self._feed(piece)
            if self._in_body or self._in_head() or self._answered():
                self._follow(len(piece))

    def on_headers_complete(self) -> None:
        names = self._check_head()
        self._delivery.awaited = False
        cast(dict[str, Any], self.scope).update({LINE: self, NAMES: names})
        super().on_headers_complete()
        self._in_body, self._unparsed = True, 0
        self._pace.begin(self.cycle.waiting_for_100_continue)
        # Trailers are collected here too, and must not reach headers that were looked at already.
        self.headers = []
        # Closing on a body that still arrives resets the connection, and the answer is lost. So
        # uvicorn is told to close only once the body is there; before, `on_response_complete` does.
        upgrade = self.parser.should_upgrade()
        self._closes, self.cycle.keep_alive = upgrade or not self.cycle.keep_alive, True
        self._framing = framing(names) if upgrade else None

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._pace.took_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._framing is not None:
            return  # so the parser says at an upgrade, although a body follows
        self._in_body = self._cut = False
        self._unparsed, self._alarm.deadline = 0, None
        if self._closes:
            self.cycle.keep_alive = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._alarm.watch()
            return
        self.flow.resume_reading()
        if not (self.answer_next() or self._in_body or self._in_head()):
            # Not by uvicorn's timer, of which each answer sets one and each request ends one.
            self._idle = True
            self._alarm.wait(self.timeout_keep_alive)
        if self._in_body and self.cycle.response_complete:
            if self._closes:
                self._linger()
            else:
                self._alarm.wait(self.linger_seconds)

    def pause_writing(self) -> None:
        """More was written than the client has room for: from now on it must take something."""
        super().pause_writing()
        self._alarm.watch()

    def timeout_keep_alive_handler(self) -> None:
        """Nobody asks for more; what was written may still be on its way."""
        super().timeout_keep_alive_handler()
        self._alarm.watch()

    def shutdown(self) -> None:
        """The server stops: a body that still arrives is not waited for, an answer is."""
        if self._lingering:
            self._alarm.wait(self.farewell_seconds)
        elif self._in_body and not self.cycle.response_started:
            self._refuse(STOPPING)
            self._alarm.wait(self.farewell_seconds)
        elif self._in_body and self._answered():
            self._linger()
            self._alarm.wait(self.farewell_seconds)
        else:
            super().shutdown()
            # What is cancelled in the middle of an answer logs a traceback; this ends it quietly.
            self.loop.call_later(self.last_seconds, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """When the parser gives up, be it of itself or for a RefusedHead."""
        self._refuse(self._refusal)

    def _should_upgrade(self) -> bool:
        return False

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response(self._refusal[1])
        except httptools.HttpParserUpgrade as stopped:
            # We never upgrade, and of a request without a body nothing that follows is answered.
            framed, self._framing = self._framing, None
            if framed is not None:
                self.parser = httptools.HttpRequestParser(Rest(self))
                self._feed(framed + data[stopped.args[0] :])

    def _in_head(self) -> bool:
        """Whether a head is awaited or has come in part: uvicorn's new scope has no method yet."""
        return self.scope is None or "method" not in self.scope

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _check_size(self) -> None:
        """Raises RefusedHead when what has arrived of the head, or of trailers, is too large."""
        if len(self.url) > self.url_limit_bytes:
            raise RefusedHead(head.URL_TOO_LONG)
        if len(self.headers) > self.header_limit or self._unparsed > self.head_limit_bytes:
            raise RefusedHead(TOO_MANY_HEADERS)

    def _check_head(self) -> Mapping[bytes, bytes]:
        """The headers by name; raises RefusedHead."""
        try:
            self._check_size()
            if self._cut and len(self.url) + sum(map(head.size, self.headers)) > (
                self.head_limit_bytes
            ):
                raise RefusedHead(TOO_MANY_HEADERS)
            return head.check(self.headers, self.parser.get_http_version())
        except RefusedHead as refused:
            self._refusal = refused.refusal
            raise

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
                self._refuse(refused.refusal)
                return
        if (
            self._in_body
            and not answered
            and self._pace.trickles(self.cycle.waiting_for_100_continue)
        ):
            self._refuse(TIMED_OUT)
        elif self._in_body and not answered:
            self._alarm.wait(self.body_seconds)
        elif not self._in_body and (self._in_head() or answered) and self._alarm.deadline is None:
            self._alarm.wait(self.head_seconds)

    def _refuse(self, refusal: Refusal) -> None:
        """Answers if it still can, and ends the connection."""
        cycle = self.cycle
        if self._in_body:
            answerable = not (cycle.response_started or self.pipeline)
            cycle.disconnected = True
            cycle.message_event.set()
        else:
            answerable = self._answered()
        if answerable:
            self.transport.write(head.refused(refusal))
            self._linger()
        else:
            self.transport.abort()

    def _linger(self) -> None:
        """Ends the connection so that what was written arrives: reads on, and drops that."""
        self._idle = False
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
        self._alarm.wait(self.linger_seconds)

    def _expire(self) -> None:
        cycle = self.cycle
        answered = self._answered()
        waits_for_us = self.flow.read_paused or (not answered and cycle.waiting_for_100_continue)
        if self._lingering or (self._in_body and answered):
            self.transport.abort()
        elif self._in_body and (waits_for_us or self._spared):
            # Once it need not wait for us any more, it has the whole time again.
            self._spared = waits_for_us
            self._alarm.wait(self.body_seconds)
        elif self._in_body or (self.scope is not None and self._in_head() and answered):
            self._refuse(TIMED_OUT)
        elif answered:
            self.timeout_keep_alive_handler()
        else:
            self._alarm.wait(self.head_seconds)
