"""Requests that are answered where they stand, on a real connection."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
import uvicorn

from squero.api.http import LINE, Protocol, config

pytestmark = pytest.mark.anyio

SOON = 0.3
REQUEST = b"POST %b HTTP/1.1\r\nHost: squero\r\nContent-Length: 2\r\n\r\n"
PROMPT, SLOW = REQUEST % b"/prompt" + b"hi", REQUEST % b"/slow" + b"hi"


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


class Answering:
    """Answers with the path and the body; notes in which task it began to."""

    def __init__(self, waits=None, fails=False):
        self.tasks = []
        self.waits = waits
        self.fails = fails

    @staticmethod
    def is_prompt(scope):
        return scope["path"] == "/prompt"

    async def __call__(self, scope, receive, send):
        self.tasks.append(asyncio.current_task())
        if self.fails:
            raise LookupError
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


async def test_needs_no_task():
    app = Answering()
    async with talking(app) as (reader, writer):
        writer.write(PROMPT)
        assert await answer(reader) == (200, b"/prompthi")
    assert app.tasks == [None]


async def test_of_other_calls_does():
    app = Answering()
    async with talking(app) as (reader, writer):
        writer.write(SLOW)
        assert await answer(reader) == (200, b"/slowhi")
    assert app.tasks[0] is not None


@pytest.mark.parametrize("cut", [len(PROMPT) - 1, len(PROMPT) - 2])
async def test_whose_body_comes_later_waits_in_a_task(cut):
    app = Answering()
    async with talking(app) as (reader, writer):
        writer.write(PROMPT[:cut])
        while not app.tasks:
            await asyncio.sleep(0.005)
        writer.write(PROMPT[cut:])
        status, said = await answer(reader)
    assert status == 200
    assert said in (b"/prompthi", b"/prompth"), "as much as had come"
    assert app.tasks[0] is not None


async def test_that_waits_after_all_is_answered():
    async with talking(Answering(waits=lambda: asyncio.sleep(0.01))) as (reader, writer):
        for _ in range(3):
            writer.write(2 * PROMPT)
            assert await answer(reader) == (200, b"/prompthi")
            assert await answer(reader) == (200, b"/prompthi")


async def test_that_fails_is_an_error_as_any_other(caplog):
    async with talking(Answering(fails=True)) as (reader, writer):
        writer.write(PROMPT)
        assert (await answer(reader))[0] == 500


async def test_is_told_when_the_client_leaves():
    gone, met = asyncio.Event(), asyncio.Event()

    class Waiting(Answering):
        async def __call__(self, scope, receive, send):
            await receive()
            met.set()
            if (await receive())["type"] == "http.disconnect":
                gone.set()

    async with talking(Waiting()) as (_, writer):
        writer.write(PROMPT)
        await met.wait()
        writer.close()
        await asyncio.wait_for(gone.wait(), 5)


@pytest.mark.parametrize("first", [PROMPT, SLOW])
async def test_many_in_one_piece_are_answered_in_turn(first):
    async with talking(Answering()) as (reader, writer):
        writer.write(first + 1_500 * PROMPT + SLOW)
        said = [(await answer(reader))[1] for _ in range(1_502)]
    assert said[1:-1] == 1_500 * [b"/prompthi"]
    assert said[-1] == b"/slowhi"


@pytest.mark.parametrize("request_", [PROMPT, SLOW])
async def test_half_a_head_behind_one_is_not_waited_for(request_):
    async with talking(Answering(), head_seconds=SOON, timeout_keep_alive=9) as (reader, writer):
        writer.write(request_ + PROMPT[:20])
        assert (await answer(reader))[0] == 200
        assert (await answer(reader))[0] == 408
        assert await reader.read() == b""


@pytest.mark.parametrize("request_", [PROMPT, SLOW])
async def test_silence_after_one_ends_the_connection(request_):
    async with talking(Answering(), timeout_keep_alive=SOON) as (reader, writer):
        for _ in range(3):
            began = time.monotonic()
            writer.write(request_)
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(0.6 * SOON)  # every answer begins it anew
        assert await reader.read() == b""
        assert SOON <= time.monotonic() - began < SOON + 2


async def test_an_answer_that_takes_long_is_no_silence():
    slow = Answering(waits=lambda: asyncio.sleep(2 * SOON))
    async with talking(slow, timeout_keep_alive=SOON) as (reader, writer):
        writer.write(SLOW)
        assert (await answer(reader))[0] == 200
        writer.write(SLOW)
        assert (await answer(reader))[0] == 200
