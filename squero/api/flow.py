"""What a connection needs beside its protocol: a clock of its reading, how fast a body comes by it,
a second parser for a body, and what the other side has not taken.
"""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable, Mapping
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl


class TakesBody(Protocol):
    """What a parser tells of a body."""

    def on_body(self, body: bytes) -> None:
        """More of it."""

    def on_message_complete(self) -> None:
        """Its end."""


class Flow(FlowControl):
    """uvicorn's, with a clock that stands still while the connection is not read."""

    def __init__(self, transport: asyncio.Transport, now: Callable[[], float]) -> None:
        super().__init__(transport)
        self._now = now
        self._paused_at = self._paused_seconds = 0.0

    def pause_reading(self) -> None:
        """Read no more for now."""
        if not self.read_paused:
            self._paused_at = self._now()
            super().pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self.read_paused:
            self._paused_seconds += self._now() - self._paused_at
            super().resume_reading()

    def reading_seconds(self) -> float:
        """What the clock shows."""
        return (self._paused_at if self.read_paused else self._now()) - self._paused_seconds


class Pace:
    """How fast a body comes."""

    def __init__(self, flow: Flow, least_rates: Mapping[float, int]) -> None:
        self.took_bytes = 0
        """What has come of it."""
        self._flow = flow
        self._least_rates = least_rates
        self._began = 0.0
        self._waits = False

    def begin(self, waits: bool) -> None:
        """A body begins; with `waits` its client sends nothing until it is told to go on."""
        self._began, self.took_bytes = self._flow.reading_seconds(), 0
        self._waits = waits

    def trickles(self, waits: bool) -> bool:
        """Whether it comes more slowly than anybody's network makes it."""
        now = self._flow.reading_seconds()
        if self._waits:
            # It was told to wait: its time begins with the first piece after that.
            self._waits = waits
            self._began = now
        seconds = now - self._began
        return any(
            self.took_bytes < (seconds - grace) * rate for grace, rate in self._least_rates.items()
        )


class Delivery:
    """Whether what was written has arrived: all of it acknowledged by the client's machine."""

    def __init__(
        self, transport: asyncio.Transport, now: Callable[[], float], stall_seconds: float
    ) -> None:
        self.awaited = False
        """Whether anybody waits for it."""
        self.over = False
        """Whether the client or the connection has left."""
        self._took_all = False
        self._transport = transport
        self._now = now
        self._stall_seconds = stall_seconds

    def leave(self) -> None:
        """The client sends nothing more."""
        # A client that has read everything and leaves says so here; one that leaves data unread
        # resets the connection, and one that leaves early does so before anybody waits.
        self._took_all = self.awaited and unacknowledged(self._transport) == 0
        self.over = True

    async def arrived(self) -> bool:
        """Waits for it; False when the client left before, or took nothing for so long."""
        self.awaited = True
        try:
            return await self._arrived()
        finally:
            # The next of a pipeline, whose head is here already, has only begun.
            self.awaited = False

    async def _arrived(self) -> bool:
        pause, seen, since = 0.001, -1, self._now()
        while not (self.over or self._transport.is_closing()):
            left = unacknowledged(self._transport)
            if left == 0:
                return True
            if left != seen:
                seen, since = left, self._now()
            elif self._now() - since > self._stall_seconds:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)
        return self._took_all


class Rest:
    """Takes the body from a second parser, where the first stopped at the offer of an upgrade."""

    def __init__(self, protocol: TakesBody) -> None:
        self._protocol: TakesBody | None = protocol

    def on_body(self, body: bytes) -> None:
        """More of the body."""
        if self._protocol is not None:
            self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        """The end of the body; whatever follows is dropped, for the connection ends."""
        if self._protocol is not None:
            self._protocol.on_message_complete()
        self._protocol = None


def unacknowledged(transport: asyncio.Transport) -> int:
    """How many written bytes the other side has not acknowledged, as far as the system tells."""
    waiting = transport.get_write_buffer_size()
    try:
        descriptor = transport.get_extra_info("socket").fileno()
        told = fcntl.ioctl(descriptor, termios.TIOCOUTQ, struct.pack("i", 0))
    except (OSError, ValueError):
        return waiting
    return waiting + int(struct.unpack("i", told)[0])


def framing(names: Mapping[bytes, bytes]) -> bytes | None:
    """A head that tells a parser where a body with these headers ends; None without one."""
    for name in (b"transfer-encoding", b"content-length"):
        if names.get(name, b"0") != b"0":
            return b"POST / HTTP/1.1\r\n%b: %b\r\n\r\n" % (name, names[name])
    return None
