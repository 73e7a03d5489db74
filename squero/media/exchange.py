"""One GET on one connection of its own, read no further than it is of use."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import h11
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from squero.media.addresses import Rules
from squero.media.dial import Network, NoAnswer, dial
from squero.media.turns import Holder
from squero.media.urls import Url

READ_BYTES = 16 * 1024
HEAD_LIMIT_BYTES = 32 * 1024
"""For everything that comes before the body, interim answers included."""
PIECE_PRICE_BYTES = 64

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@contextmanager
def _or_no_answer() -> Iterator[None]:
    try:
        yield
    except (OSError, h11.ProtocolError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        raise NoAnswer from None


class Exchange:
    """A request and its answer; every verb raises NoAnswer, whatever the reason."""

    def __init__(
        self,
        network: Network,
        rules: Rules,
        connect_seconds: float,
        idle_seconds: float,
        holder: Holder,
    ) -> None:
        self._network = network
        self._rules = rules
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._holder = holder
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        self._headers: dict[bytes, list[bytes]] = {}
        self._stream: ByteStream | None = None
        # Each byte of media pays for one byte of framing, and each piece has a price: an answer
        # of next to nothing but framing would keep the event loop busy for no use.
        self._allowance = HEAD_LIMIT_BYTES
        self.status = 0

    async def ask(self, url: Url) -> None:
        """Connects, sends the request and reads the head of the answer."""
        self._stream = await dial(
            self._network, self._rules, url, self._connect_seconds, self._holder
        )
        if url.scheme == "https":
            self._stream = await self._secured(self._stream, url.host)
        head = h11.Request(method="GET", target=url.target, headers=_request_headers(url))
        await self._send(head)
        await self._send(h11.EndOfMessage())
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        if not isinstance(event, h11.Response):
            raise NoAnswer
        self.status = event.status_code
        for name, value in event.headers:
            self._headers.setdefault(name, []).append(value)

    @property
    def declared_bytes(self) -> int:
        """The length that the answer claims; 0 if it does not say."""
        return int(self._headers.get(b"content-length", [b"0"])[0])

    def redirect(self) -> str:
        """Where the answer sends us, as it stands there."""
        places = self._headers.get(b"location", [])
        if self.status not in _REDIRECTS or len(places) != 1:
            raise NoAnswer
        try:
            return places[0].decode()
        except UnicodeDecodeError:
            raise NoAnswer from None

    async def read(self) -> bytes:
        """The next bytes of the body as they were sent; nothing at its end."""
        event = await self._event()
        if isinstance(event, h11.Data):
            self._pay(PIECE_PRICE_BYTES - 2 * len(event.data))
            return bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise NoAnswer
        return b""

    async def aclose(self) -> None:
        """Drops the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await anyio.aclose_forcefully(stream)

    async def _secured(self, stream: ByteStream, host: str) -> ByteStream:
        with _or_no_answer(), anyio.fail_after(self._connect_seconds):
            try:
                return await TLSStream.wrap(
                    stream,
                    hostname=host,
                    ssl_context=self._network.tls,
                    standard_compatible=False,
                    server_side=False,
                )
            except anyio.EndOfStream:
                raise NoAnswer from None

    async def _send(self, event: h11.Event) -> None:
        data = self._parser.send(event)
        if data:
            with _or_no_answer(), anyio.fail_after(self._idle_seconds):
                await self._open_stream.send(data)

    async def _event(self) -> object:
        with _or_no_answer():
            while (event := self._parser.next_event()) is h11.NEED_DATA:
                data = await self._receive()
                self._pay(len(data))
                self._parser.receive_data(data)
        return event

    def _pay(self, price_bytes: int) -> None:
        self._allowance -= price_bytes
        if self._allowance < 0:
            raise NoAnswer

    async def _receive(self) -> bytes:
        try:
            with anyio.fail_after(self._idle_seconds):
                return await self._open_stream.receive(READ_BYTES)
        except anyio.EndOfStream:
            return b""

    @property
    def _open_stream(self) -> ByteStream:
        if self._stream is None:
            raise NoAnswer
        return self._stream


def _request_headers(url: Url) -> list[tuple[str, str]]:
    return [
        ("Host", url.authority),
        ("User-Agent", "squero"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
