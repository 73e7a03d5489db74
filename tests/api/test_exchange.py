"""Requests one after another and in pipelines, and the silence between them."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
import uvicorn

from squero.api.http import LINE, Protocol, config

pytestmark = pytest.mark.anyio

SOON = 0.3
REQUEST = b"POST /here HTTP/1.1\r\nHost: squero\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


class Answering:
    """Answers with the path and the body."""

    def __init__(self, waits=None):
        self.waits = waits

    async def __call__(self, scope, receive, send):
        said = scope["path"].encode() + (await receive())["body"]
        if self.waits is not None:
            await self.waits()
        line = scope[LINE]
        assert line.answer(200, [(b"content-length", b"%d" % len(said))], said)


@asynccontextmanager
async def talking(app, **options):
    protocol = type("TestedProtocol", (Protocol,), {"head_seconds": options.pop("head_seconds", 9)})
    server = uvicorn.Server(config(app, http=protocol, port=0, lifespan="off", **options))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        server.should_exit = server.force_exit = True
        await task


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


async def test_is_told_when_the_client_leaves():
    gone, met = asyncio.Event(), asyncio.Event()

    class Waiting(Answering):
        async def __call__(self, scope, receive, send):
            await receive()
            met.set()
            if (await receive())["type"] == "http.disconnect":
                gone.set()

    async with talking(Waiting()) as (_, writer):
        writer.write(REQUEST)
        await met.wait()
        writer.close()
        await asyncio.wait_for(gone.wait(), 5)


async def test_many_in_one_piece_are_answered_in_turn():
    async with talking(Answering()) as (reader, writer):
        writer.write(1_500 * REQUEST)
        said = [(await answer(reader))[1] for _ in range(1_500)]
    assert said == 1_500 * [b"/herehi"]


async def test_half_a_head_behind_one_is_not_waited_for():
    async with talking(Answering(), head_seconds=SOON, timeout_keep_alive=9) as (reader, writer):
        writer.write(REQUEST + REQUEST[:20])
        assert (await answer(reader))[0] == 200
        assert (await answer(reader))[0] == 408
        assert await reader.read() == b""


async def test_half_a_head_behind_a_slow_one_is_not_waited_for():
    slow = Answering(waits=lambda: asyncio.sleep(2 * SOON))
    async with talking(slow, head_seconds=SOON, timeout_keep_alive=9) as (reader, writer):
        writer.write(REQUEST + REQUEST[:20])
        assert (await answer(reader))[0] == 200
        assert (await answer(reader))[0] == 408
        assert await reader.read() == b""


async def test_silence_after_one_ends_the_connection():
    async with talking(Answering(), timeout_keep_alive=4 * SOON) as (reader, writer):
        for _ in range(4):
            began = time.monotonic()
            writer.write(REQUEST)
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(1.5 * SOON)  # every answer begins it anew
        assert await reader.read() == b""
        assert 4 * SOON <= time.monotonic() - began < 4 * SOON + 2


async def test_an_answer_that_takes_long_is_no_silence():
    slow = Answering(waits=lambda: asyncio.sleep(2 * SOON))
    async with talking(slow, timeout_keep_alive=SOON) as (reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            assert (await answer(reader))[0] == 200


class Extending:
    """Answers with pieces: by the Protocol where it takes them."""

    def __init__(self, pieces, headers):
        self.pieces = pieces
        self.headers = headers
        self.taken = []

    async def __call__(self, scope, receive, send):
        line = scope[LINE]
        self.taken.append(line.extend(self.pieces))
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        self.taken.append(line.extend(self.pieces))
        for piece in [] if self.taken[-1] else self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        self.taken.append(line.extend(self.pieces))


PIECES = [memoryview(bytes([number]) * 100_000) for number in range(5)]


async def test_pieces_of_one_answer_go_out_at_once():
    """Neither before it has begun nor after its end."""
    app = Extending(PIECES, [(b"content-length", b"500000")])
    async with talking(app) as (reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            assert await answer(reader) == (200, b"".join(PIECES))
    assert app.taken == [False, True, False] * 2


async def test_pieces_of_an_answer_without_a_length_are_left_to_asgi():
    app = Extending([piece[:9] for piece in PIECES], [])
    async with talking(app) as (reader, writer):
        writer.write(REQUEST)
        assert b"transfer-encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n0\r\n\r\n")).count(bytes(PIECES[4][:9])) == 1
    assert app.taken == [False, False, False]


async def test_a_client_of_http_1_0_need_not_name_the_host():
    app = Extending(PIECES, [(b"content-length", b"500000")])
    async with talking(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert await answer(reader) == (200, b"".join(PIECES))
        assert await reader.read() == b""


async def test_pieces_of_no_body():
    app = Extending(PIECES, [(b"content-length", b"500000")])
    async with talking(app) as (reader, writer):
        writer.write(REQUEST.replace(b"POST", b"HEAD") + REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        assert await answer(reader) == (200, b"".join(PIECES))
    assert app.taken == [False] * 3 + [False, True, False]


async def test_more_pieces_than_were_promised_are_refused():
    refused = []

    async def app(scope, receive, send):
        headers = [(b"content-length", b"499999")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with pytest.raises(RuntimeError, match="longer than Content-Length") as error:
            scope[LINE].extend(PIECES)
        refused.append(error.value)
        raise error.value

    async with talking(app) as (reader, writer):
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b""
    assert refused
