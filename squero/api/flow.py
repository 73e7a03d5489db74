"""What a connection needs beside its protocol: a clock of its reading, a second parser for a body,
and what the other side has not taken.
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
