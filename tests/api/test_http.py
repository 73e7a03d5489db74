import asyncio
import errno
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from squero import __version__
from squero.api.http import LINE, Protocol, config
from squero.api.origins import ANY_ORIGIN

pytestmark = pytest.mark.anyio

SOON = 0.3
"""The deadline that a test waits for, in seconds."""
LATE = 20.0
"""A deadline that no test may reach."""

App = Callable[[Scope, Receive, Send], Any]
Serve = Callable[..., AbstractAsyncContextManager[int]]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


async def answer(send: Send, body: bytes = b"ok", status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def whole_body(receive: Receive) -> bytes | None:
    """The request's body; None when the client left or was given up."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        more = message["more_body"]
    return body


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await whole_body(receive)
    await answer(send, b"gone" if body is None else body)


async def too_large(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"too large", 413)


@asynccontextmanager
async def serving(
    app: App, watched: type[Protocol] = Protocol, **deadlines: Any
) -> AsyncIterator[int]:
    """The port of a real server; deadlines that are not named are late."""
    late = dict.fromkeys(("head_seconds", "body_seconds", "linger_seconds"), LATE)
    protocol = type("TestedProtocol", (watched,), late | deadlines)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config(app, http=protocol, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await task
        listener.close()


class Connection:
    """A client that says what it is told to, and no more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def refusal(self) -> int:
        """The status of an error in the contract's shape, after which the server hangs up.

        It carries what every answer of the API does.
        """
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        named = dict(line.split(": ", 1) for line in head[1:-2])
        assert re.fullmatch("[0-9a-f]{16}", named["cf-ray"])
        assert named["x-venice-version"] == __version__
        assert {name.encode(): value.encode() for name, value in named.items()}.items() >= dict(
            ANY_ORIGIN
        ).items()
        status, body = (
            int(head[0].split()[1]),
            await self.reader.readexactly(int(named["content-length"])),
        )
        assert set(json.loads(body)) == {"error"}
        assert await self.reader.read() == b""
        return status


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def talking(app: App = echo, **deadlines: Any) -> AsyncIterator[Connection]:
    async with serving(app, **deadlines) as port, connected(port) as connection:
        yield connection


def get(*headers: str, path: str = "/") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: squero", *headers, "", ""]).encode()


def post(*headers: str) -> bytes:
    return b"POST" + get(*headers)[3:]


class TestGoodRequests:
    async def test_keep_alive_and_pipelines(self) -> None:
        async with talking() as connection:
            for _ in range(2):
                await connection.send(post("Content-Length: 5") + b"hello" + get())
                assert await connection.answer() == (200, b"hello")
                assert await connection.answer() == (200, b"")

    async def test_large_body_in_many_pieces(self) -> None:
        async with talking() as connection:
            body = b"x" * 1_000_003
            await connection.send(post(f"Content-Length: {len(body)}") + body + get())
            assert await connection.answer() == (200, body)
            assert await connection.answer() == (200, b"")

    async def test_byte_by_byte(self) -> None:
        async with talking() as connection:
            for byte in post("Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n":
                await connection.send(bytes([byte]))
            assert await connection.answer() == (200, b"abc")

    async def test_head_just_small_enough(self) -> None:
        async with talking() as connection:
            await connection.send(get(*["A: b"] * 99, path="/" + "a" * 8191))
            assert (await connection.answer())[0] == 200
            await connection.send(get("A: " + "b" * 65_000))
            assert (await connection.answer())[0] == 200

    async def test_close_is_honoured(self) -> None:
        async with talking() as connection:
            await connection.send(post("Content-Length: 2", "Connection: close") + b"hi")
            head = await connection.reader.readuntil(b"\r\n\r\n")
            assert b"connection: close" in head
            assert await connection.reader.read() == b"hi"

    async def test_upgrade_is_answered_as_http(self) -> None:
        async with talking() as connection:
            await connection.send(get("Connection: upgrade", "Upgrade: websocket"))
            assert b" 200 OK" in await connection.reader.read()

    @pytest.mark.parametrize("step", [1, 3, 1000])
    @pytest.mark.parametrize(
        ("framing", "body"),
        [
            ("Content-Length: 5", b"hello"),
            ("Transfer-Encoding: chunked", b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"),
        ],
    )
    async def test_body_beside_an_upgrade(self, framing: str, body: bytes, step: int) -> None:
        offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
        async with talking() as connection:
            data = post(*offer, framing) + body + post("Content-Length: 3") + b"two"
            for start in range(0, len(data), step):
                await connection.send(data[start : start + step])
            assert await connection.answer() == (200, b"hello")
            assert await connection.reader.read() == b"", "what follows is not answered"

    async def test_large_body_beside_an_upgrade(self) -> None:
        async with talking() as connection:
            body = b"x" * 1_000_003
            head = post("Connection: Upgrade", "Upgrade: h2c", f"Content-Length: {len(body)}")
            await connection.send(head + body)
            assert await connection.answer() == (200, body)

    async def test_trailers_reach_nobody(self) -> None:
        async def headers(scope: Scope, receive: Receive, send: Send) -> None:
            await whole_body(receive)
            await answer(send, b" ".join(name for name, _ in scope["headers"]))

        async with talking(headers) as connection:
            chunks = b"1\r\nx\r\n0\r\nAuthorization: no\r\n\r\n"
            await connection.send(post("Transfer-Encoding: chunked") + chunks)
            assert await connection.answer() == (200, b"host transfer-encoding")


class TestAnswersAtOnce:
    """`Protocol.answer`, beside the two messages of ASGI."""

    @staticmethod
    async def at_once(scope: Scope, receive: Receive, send: Send) -> None:
        """Says "once" where that can be, else "sent"."""
        headers = [(b"content-length", b"4"), (b"x-a", b"b")]
        if not scope[LINE].answer(200, headers, b"once"):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"sent"})

    async def test_has_the_head_of_any_other(self) -> None:
        async with talking(self.at_once) as one:
            await one.send(get())
            head = await one.reader.readuntil(b"\r\n\r\nonce")
            await one.send(post("Content-Length: 2", "Expect: 100-continue"))
            other = await one.reader.readuntil(b"\r\n\r\nsent")
        dates = re.compile(rb"date: [^\r]+")
        assert dates.search(head)
        assert dates.sub(b"", head[:-4]) == dates.sub(b"", other[:-4])

    async def test_in_a_pipeline(self) -> None:
        async with talking(self.at_once) as one:
            await one.send(3 * get())
            assert [await one.answer() for _ in range(3)] == 3 * [(200, b"once")]

    async def test_before_the_end_of_a_body(self) -> None:
        async with talking(self.at_once) as one:
            await one.send(post("Content-Length: 9") + b"1234")
            assert await one.answer() == (200, b"once")
            await one.send(b"56789" + get())
            assert await one.answer() == (200, b"once")

    async def test_not_when_only_the_head_is_asked_for(self) -> None:
        async with talking(self.at_once) as one:
            await one.send(b"HEAD" + get()[3:] + get())
            head = await one.reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 4" in head
            assert await one.answer() == (200, b"once")

    async def test_not_when_the_connection_ends_with_it(self) -> None:
        async with talking(self.at_once) as one:
            await one.send(get("Connection: close"))
            assert await one.answer() == (200, b"sent")
            assert await one.reader.read() == b""

    async def test_not_to_a_client_that_does_not_read(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            flow = scope[LINE].flow
            flow.pause_writing()
            done = scope[LINE].answer(200, [(b"content-length", b"4")], b"once")
            flow.resume_writing()
            await answer(send, b"later" if not done else b"")

        async with talking(app) as one:
            await one.send(get())
            assert await one.answer() == (200, b"later")

    @pytest.mark.parametrize("value", [b"b\r\nset-cookie: c", b"b\nc: d", b"b\rc: d", b"b\r\n"])
    async def test_not_with_a_header_of_two_lines(self, value: bytes) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(ValueError, match="end of a line"):
                scope[LINE].answer(200, [(b"x-a", value)], b"")
            await answer(send, b"refused")

        async with talking(app) as one:
            await one.send(get())
            assert await one.answer() == (200, b"refused")


class TestRefusedHeads:
    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (get("A: " + "b" * 70_000), 431),
            (get("A: " + "b" * 300_000), 431),
            (get(*["A: " + "b" * 1000] * 66), 431),
            (get(*["A: b"] * 100), 431),
            (get(*["A: b"] * 60_000)[:-2], 431),
            (get(path="/" + "a" * 8192), 414),
            (b"GET /" + b"a" * 200_000, 414),
            (get("Host: other"), 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (get("Authorization: Bearer a", "authorization: Bearer b"), 400),
            (post("Content-Type: application/json", "Content-Type: application/json"), 400),
            (post("Content-Encoding: identity", "Content-Encoding: gzip"), 400),
            (post("Transfer-Encoding: gzip, chunked"), 501),
            (get().replace(b"HTTP/1.1", b"HTTP/9.9"), 400),
            (post("Content-Length: 1", "Content-Length: 1"), 400),
            (post("Content-Length: 1", "Content-Length: 2"), 400),
            (post("Content-Length: 3", "Transfer-Encoding: chunked"), 400),
            (post("Transfer-Encoding: chunked", "Content-Length: 3"), 400),
            (post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
            (post("Content-Length: -1"), 400),
            (b"nonsense\r\n\r\n", 400),
            (b"CONNECT squero:1 HTTP/1.1\r\nHost: squero\r\n\r\n", 400),
            ("GET /é HTTP/1.1\r\nHost: squero\r\n\r\n".encode(), 400),
        ],
    )
    async def test_status(self, head: bytes, status: int) -> None:
        async with talking() as connection:
            await connection.send(head)
            assert await connection.refusal() == status

    async def test_endless_header(self) -> None:
        async with talking() as connection:
            await connection.send(b"GET / HTTP/1.1\r\nA: ")
            sent = 0
            while not connection.reader.at_eof() and sent < 64:
                await connection.send(b"b" * 16_384)
                sent += 1
            assert await connection.refusal() == 431

    async def test_endless_trailers(self) -> None:
        async with talking() as connection:
            await connection.send(post("Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n")
            await connection.send(b"A: b\r\n" * 60_000)
            assert await connection.refusal() == 431

    async def test_second_request_while_the_first_is_answered(self) -> None:
        started, proceed = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            started.set()
            await proceed.wait()
            await answer(send)

        async with talking(slow) as connection:
            await connection.send(get())
            await started.wait()
            await connection.send(get("Host: other"))
            # Nothing may be written into the answer that somebody else is writing.
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await connection.answer()
            proceed.set()


class TestDeadlines:
    @pytest.mark.parametrize("said", [b"", b"\r\n"])
    async def test_silent_connection(self, said: bytes) -> None:
        async with talking(head_seconds=SOON) as connection:
            await connection.send(said)
            assert await connection.reader.read() == b""

    async def test_slow_header(self) -> None:
        async with talking(head_seconds=SOON) as connection:
            await connection.send(b"GET / HTTP/1.1\r\nA: ")
            drip = asyncio.create_task(dripping(connection))
            started = time.perf_counter()
            assert await connection.refusal() == 408
            assert time.perf_counter() - started < LATE / 2
            drip.cancel()

    async def test_slow_header_of_a_later_request(self) -> None:
        async with talking(head_seconds=SOON) as connection:
            await connection.send(get())
            assert await connection.answer() == (200, b"")
            await connection.send(get()[:-1])
            assert await connection.refusal() == 408

    async def test_idle_between_requests_has_a_time_of_its_own(self) -> None:
        async with talking(head_seconds=SOON) as connection:
            await connection.send(get())
            assert await connection.answer() == (200, b"")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.reader.read(), 3 * SOON)

    async def test_idle_body(self) -> None:
        given_up = asyncio.Event()

        async def upload(scope: Scope, receive: Receive, send: Send) -> None:
            assert await whole_body(receive) is None
            given_up.set()
            await answer(send, b"written to nobody")

        async with talking(upload, body_seconds=SOON) as connection:
            await connection.send(post("Content-Length: 10") + b"hello")
            assert await connection.refusal() == 408
            await asyncio.wait_for(given_up.wait(), LATE)

    async def test_slow_body_that_does_arrive(self) -> None:
        async with talking(head_seconds=1, body_seconds=1) as connection:
            await connection.send(post("Content-Length: 8"))
            for byte in b"patience":
                await asyncio.sleep(0.15)
                await connection.send(bytes([byte]))
            assert await connection.answer() == (200, b"patience")

    async def test_idle_body_of_a_request_half_answered(self) -> None:
        async def half(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            assert await whole_body(receive) is None

        async with talking(half, body_seconds=SOON) as connection:
            await connection.send(post("Content-Length: 10") + b"hello")
            read = await connection.reader.read()
            assert read.endswith(b"4\r\nhalf\r\n"), "neither a 408 nor the end of a whole answer"

    async def test_body_above_the_least_rate(self) -> None:
        async with talking(body_least_rates={0.2: 1_000}) as connection:
            await connection.send(post("Content-Length: 1400"))
            for _ in range(7):
                await connection.send(b"x" * 200)
                await asyncio.sleep(0.1)
            assert (await connection.answer())[0] == 200

    async def test_body_above_the_least_rate_but_below_that_of_the_total(self) -> None:
        rates = {0.1: 1_000, 0.5: 100_000}
        async with talking(body_least_rates=rates) as connection:
            await connection.send(post("Content-Length: 35000000"))
            began = time.perf_counter()
            drip = asyncio.create_task(dripping(connection, b"x" * 120))
            assert await connection.refusal() == 408
            assert 0.4 < time.perf_counter() - began < LATE / 2
            drip.cancel()

    @pytest.mark.parametrize("header", ["Connection: keep-alive", "Expect: 100-continue"])
    async def test_nobody_is_blamed_for_a_server_that_does_not_read(self, header: str) -> None:
        async def late(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0.6)
            body = await receive()
            await asyncio.sleep(0.6)
            rest = await whole_body(receive)
            await answer(send, str(len(body["body"]) + len(rest or b"")).encode())

        async with talking(late, body_least_rates={0.4: 10_000_000}) as connection:
            body = b"x" * 3_000_000
            await connection.send(post(f"Content-Length: {len(body)}", header))
            if header.startswith("Expect"):
                assert b" 100 " in await connection.reader.readuntil(b"\r\n\r\n")
            await connection.send(body)
            assert await connection.answer() == (200, b"3000000")

    async def test_nobody_is_blamed_for_a_slow_answer(self) -> None:
        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(3 * SOON)
            await answer(send, await whole_body(receive) or b"")

        async with talking(slow, head_seconds=SOON, body_seconds=SOON) as connection:
            await connection.send(get() + b"GET")
            assert await connection.answer() == (200, b"")
        async with talking(slow, head_seconds=SOON, body_seconds=SOON) as connection:
            await connection.send(post("Content-Length: 2", "Expect: 100-continue"))
            assert b" 100 " in await connection.reader.readuntil(b"\r\n\r\n")
            await connection.send(b"hi")
            assert await connection.answer() == (200, b"hi")

    async def test_a_client_that_has_just_reset_the_connection_is_no_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Reset:
            """A transport whose other end is gone, although it has not been told."""

            def __init__(self, transport: asyncio.Transport) -> None:
                self._transport = transport

            def __getattr__(self, name: str) -> Any:
                return getattr(self._transport, name)

            def write_eof(self) -> None:
                raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        made = Protocol.connection_made
        monkeypatch.setattr(Protocol, "connection_made", lambda self, it: made(self, Reset(it)))
        async with talking(head_seconds=SOON) as connection:
            await connection.send(b"GET / HT")
            with suppress(ConnectionResetError):
                await connection.reader.read()  # ends, and no error reached the loop


class TestEarlyAnswers:
    @pytest.mark.parametrize("header", ["Connection: keep-alive", "Connection: close"])
    async def test_is_read_by_a_client_that_sends_on(self, header: str) -> None:
        async with talking(too_large) as connection:
            await connection.send(post(f"Content-Length: {5_000_000}", header))
            for _ in range(100):
                await connection.send(b"x" * 50_000)
            assert await connection.answer() == (413, b"too large")

    async def test_connection_goes_on_when_the_body_was_short(self) -> None:
        async with talking(too_large) as connection:
            for _ in range(2):
                await connection.send(post("Content-Length: 500000") + b"x" * 500_000)
                assert await connection.answer() == (413, b"too large")

    async def test_endless_body_is_cut(self) -> None:
        async with talking(too_large, linger_seconds=SOON) as connection:
            await connection.send(post("Transfer-Encoding: chunked"))
            assert await connection.answer() == (413, b"too large")
            started = time.perf_counter()
            # The last: what uvloop says when it has closed the client's end meanwhile.
            with pytest.raises((ConnectionResetError, BrokenPipeError, RuntimeError)):
                while time.perf_counter() - started < LATE:
                    await connection.send(b"5\r\nhello\r\n")
                    await asyncio.sleep(0.01)


async def dripping(connection: Connection, drop: bytes = b"b") -> None:
    while True:
        await asyncio.sleep(0.02)
        await connection.send(drop)


class TestReaders:
    """Who is sent more than the machines between hold, and takes little of it or nothing."""

    SIZE = 30_000_000

    @pytest.fixture
    def ends(self) -> asyncio.Event:
        return asyncio.Event()

    @pytest.fixture
    def large(self, ends: asyncio.Event) -> App:
        async def large(scope: Scope, receive: Receive, send: Send) -> None:
            size = [(b"content-length", b"%d" % self.SIZE)]
            await send({"type": "http.response.start", "status": 200, "headers": size})
            for left in range(29, -1, -1):
                part = {"body": bytes(1_000_000), "more_body": left > 0}
                await send({"type": "http.response.body"} | part)
            await receive()
            ends.set()

        return large

    async def test_that_stops_is_cut_off(self, large: App, ends: asyncio.Event) -> None:
        async with talking(large, stall_seconds=SOON) as connection:
            connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
            began = time.monotonic()
            await connection.send(get())
            await asyncio.wait_for(ends.wait(), LATE)
            assert time.monotonic() - began >= SOON
            connection.reader._transport.resume_reading()  # type: ignore[attr-defined]
            with suppress(ConnectionResetError):
                assert len(await connection.reader.read()) < self.SIZE

    async def test_that_stops_in_a_pipeline(
        self, large: App, ends: asyncio.Event, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with talking(large, stall_seconds=SOON) as connection:
            connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await connection.send(get() * 3)
            await asyncio.wait_for(ends.wait(), LATE)
        assert [record.getMessage() for record in caplog.records if record.levelno > 20] == []

    async def test_that_stops_before_an_answer_that_ends_the_connection(self) -> None:
        lost = asyncio.Event()

        async def short(scope: Scope, receive: Receive, send: Send) -> None:
            await answer(send, bytes(self.SIZE))

        class Watched(Protocol):
            stall_seconds = SOON

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                lost.set()

        async with talking(short, watched=Watched) as connection:
            connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await connection.send(get("Connection: close"))
            await asyncio.wait_for(lost.wait(), LATE)

    async def test_that_takes_a_little_is_not(self, large: App, ends: asyncio.Event) -> None:
        async with talking(large, stall_seconds=0.6) as connection:
            transport = connection.reader._transport  # type: ignore[attr-defined]
            await connection.send(get())
            began, taken = time.monotonic(), 0
            while time.monotonic() - began < 1.5:
                taken += len(await connection.reader.read(100_000))
                await asyncio.sleep(0.01)
            assert not transport.is_closing()
            taken += len(await connection.reader.readexactly(self.SIZE - taken))
            assert taken == self.SIZE


class TestStopping:
    """What a server that stops does with what is under way, without a word in its log."""

    @pytest.fixture(autouse=True)
    def silent(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        yield
        assert [record.getMessage() for record in caplog.records if record.levelno > 20] == []

    async def test_a_dripping_body_is_ended_with_a_word(self) -> None:
        asked = asyncio.Event()

        async def upload(scope: Scope, receive: Receive, send: Send) -> None:
            asked.set()
            await echo(scope, receive, send)

        async with stoppable(upload) as (port, stop), connected(port) as connection:
            await connection.send(post("Content-Length: 1000") + b"b")
            drip = asyncio.create_task(dripping(connection))
            await asked.wait()
            began = time.monotonic()
            stopped = asyncio.create_task(stop())
            status, body = await connection.answer()
            await stopped
            drip.cancel()
            assert time.monotonic() - began < 2
            assert (status, json.loads(body)) == (
                503,
                {"error": "The server is stopping. Please try again."},
            )

    async def test_a_body_that_nobody_waits_for(self) -> None:
        async with stoppable(too_large) as (port, stop), connected(port) as connection:
            await connection.send(post("Content-Length: 1000") + b"b")
            assert (await connection.answer())[0] == 413
            drip = asyncio.create_task(dripping(connection))
            began = time.monotonic()
            await stop()
            drip.cancel()
            assert time.monotonic() - began < 2

    async def test_an_answer_goes_on(self) -> None:
        asked, told = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await whole_body(receive)
            asked.set()
            await told.wait()
            await answer(send, b"at last")

        async with stoppable(slow) as (port, stop), connected(port) as connection:
            await connection.send(post("Content-Length: 1") + b"b")
            await asked.wait()
            stopped = asyncio.create_task(stop())
            await asyncio.sleep(0.3)
            assert not stopped.done()
            told.set()
            assert await connection.answer() == (200, b"at last")
            await stopped

    async def test_an_answer_that_nobody_reads_is_ended(self) -> None:
        asked = asyncio.Event()

        async def large(scope: Scope, receive: Receive, send: Send) -> None:
            asked.set()
            await answer(send, bytes(50_000_000))

        async with (
            stoppable(large, last_seconds=SOON) as (port, stop),
            connected(port) as connection,
        ):
            connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await connection.send(get())
            await asked.wait()
            began = time.monotonic()
            await stop()
            assert SOON <= time.monotonic() - began < SOON + 2


@asynccontextmanager
async def stoppable(
    app: App, **deadlines: float
) -> AsyncIterator[tuple[int, Callable[[], Awaitable[None]]]]:
    """The port of a real server, and what stops it as SIGTERM does."""
    late = dict.fromkeys(("head_seconds", "body_seconds", "linger_seconds"), LATE)
    protocol = type("TestedProtocol", (Protocol,), late | deadlines)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config(app, http=protocol, lifespan="off", timeout_graceful_shutdown=5))
    task = asyncio.create_task(server.serve(sockets=[listener]))

    async def stop() -> None:
        server.should_exit = True
        await task

    try:
        yield listener.getsockname()[1], stop
    finally:
        await stop()
        listener.close()
