"""Videos in parts, and whether they arrived, over a real socket."""

import asyncio
import io
import os
from functools import partial
from types import SimpleNamespace

import httpx
import pytest
from starlette.datastructures import Headers

from squero.api.answers import Bytes, answer, refusal
from squero.api.http import LINE
from squero.errors import InputRejected, InvalidRequest, Issue, NotFound
from squero.media.chunks import LIMIT_BUFFERS, Chunks
from squero.media.sealed import CHUNK_BYTES, SealedReader, SealedWriter
from squero.wire.video import QuoteVideoAnswer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

SIZE = 3 * CHUNK_BYTES + 17
PLAIN = os.urandom(SIZE)
KEY = bytes(32)
ETAG = '"a-1"'


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def sealed(tmp_path):
    """Opens a reader of a sealed object: `sealed()` or of other plain bytes."""

    def make(plain=PLAIN):
        path = tmp_path / f"sealed-{len(plain)}"
        with path.open("w+b") as file:
            writer = SealedWriter(file, KEY)
            writer.write(plain)
            writer.finish()
        return SealedReader(path.open("rb"), KEY)

    return make


async def fetch(reader, method="POST", then=None, **headers):
    """The whole answer, without a server between."""
    body, heads = io.BytesIO(), []
    response = Bytes(reader, "video/mp4", Headers(headers), ETAG, then)

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        if message["type"] == "http.response.start":
            heads.append((message["status"], Headers(raw=message["headers"])))
        body.write(message.get("body", b""))

    await response({"type": "http", "method": method, "headers": []}, receive, send)
    assert reader.closed
    return *heads[0], body.getvalue()


class TestBytes:
    async def test_whole(self, sealed):
        status, headers, body = await fetch(sealed())
        assert (status, body) == (200, PLAIN)
        assert headers["content-type"] == "video/mp4"
        assert headers["content-length"] == str(SIZE)
        assert (headers["etag"], headers["accept-ranges"]) == (ETAG, "bytes")

    @pytest.mark.parametrize(
        ("asked", "start", "end"),
        [
            ("bytes=0-0", 0, 1),
            ("bytes=0-99", 0, 100),
            ("Bytes = 5-6", 5, 7),
            ("bytes=262143-262144", CHUNK_BYTES - 1, CHUNK_BYTES + 1),
            ("bytes=100-", 100, SIZE),
            ("bytes=-10", SIZE - 10, SIZE),
            ("bytes=-99999999", 0, SIZE),
            (f"bytes=0-{SIZE}", 0, SIZE),
            (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ],
    )
    async def test_part(self, sealed, asked, start, end):
        status, headers, body = await fetch(sealed(), range=asked)
        assert (status, body) == (206, PLAIN[start:end])
        assert headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
        assert headers["content-length"] == str(end - start)

    @pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 9}", "bytes=-0"])
    async def test_part_that_is_not_there(self, sealed, asked):
        status, headers, body = await fetch(sealed(), range=asked)
        assert (status, body) == (416, b"")
        assert headers["content-range"] == f"bytes */{SIZE}"
        assert headers["content-length"] == "0"

    @pytest.mark.parametrize(
        "asked",
        [
            "bytes=0-1,5-6",
            "bytes=5-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "lines=0-1",
            "bytes=1",
            "bytes=0-" + "9" * 50,
            "bytes=٣-٤".encode().decode("latin-1"),
        ],
    )
    async def test_range_that_is_not_understood(self, sealed, asked):
        status, _, body = await fetch(sealed(), range=asked)
        assert (status, body) == (200, PLAIN)

    @pytest.mark.parametrize(("tag", "status"), [(ETAG, 206), ('"b-1"', 200), (f"W/{ETAG}", 200)])
    async def test_if_range(self, sealed, tag, status):
        found, _, body = await fetch(sealed(), range="bytes=0-1", **{"if-range": tag})
        assert found == status
        assert body == (PLAIN[:2] if status == 206 else PLAIN)

    async def test_empty(self, sealed):
        status, headers, body = await fetch(sealed(b""))
        assert (status, headers["content-length"], body) == (200, "0", b"")

    async def test_head_has_no_body_and_does_nothing(self, sealed):
        done = []
        status, headers, body = await fetch(sealed(), "HEAD", lambda: done.append(1))
        assert (status, body, headers["content-length"]) == (200, b"", str(SIZE))
        assert not done


class TestReaders:
    """Many at once, fast and slow: each gets its own, and nobody waits long."""

    async def test_what_is_not_in_memory_is_read_by_a_thread(self, sealed, monkeypatch):
        def preadv(*_):
            raise BlockingIOError

        monkeypatch.setattr(os, "preadv", preadv)
        assert (await fetch(sealed()))[2] == PLAIN

    async def test_nobody_holds_memory_while_the_disk_is_asked(self, sealed, monkeypatch):
        reader, free = sealed(), []
        reads = reader.piece

        def preadv(*_):
            raise BlockingIOError

        def piece(*span):
            free.append(len(shared.take_some(2 * LIMIT_BUFFERS)))
            return reads(*span)

        shared = Chunks(CHUNK_BYTES + 16)
        monkeypatch.setattr("squero.media.sealed._chunks", shared)
        monkeypatch.setattr(os, "preadv", preadv)
        shared.enter(reader._source)
        reader.piece = piece
        assert (await fetch(reader))[2] == PLAIN
        assert free == 4 * [LIMIT_BUFFERS]

    async def test_one_that_takes_all_at_once_leaves_room_for_others(self, sealed):
        turns, opened = 0, []

        async def send(message):
            opened.append(turns)

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        response = Bytes(sealed(), "video/mp4", Headers())
        await response({"type": "http", "method": "GET"}, None, send)
        task.cancel()
        assert opened[-1] - opened[0] >= SIZE // CHUNK_BYTES

    async def test_more_at_a_time_while_all_of_it_is_taken(self, sealed):
        """Twice as much each time, up to sixteen pieces, and one again after the first rest."""
        plain, sent = os.urandom(60 * CHUNK_BYTES), []

        class Line:
            flow = SimpleNamespace(write_paused=False)
            left = False

            def extend(self, pieces):
                sent.append([bytes(piece) for piece in pieces])
                self.flow.write_paused = len(sent) == 6
                return True

        async def send(message):
            assert not message.get("body")

        scope = {"type": "http", "method": "GET", LINE: Line()}
        await Bytes(sealed(plain), "video/mp4", Headers())(scope, None, send)
        assert list(map(len, sent)) == [1, 2, 4, 8, 16, 16, 1, 2, 4, 6]
        assert b"".join(b"".join(pieces) for pieces in sent) == plain

    async def test_one_that_takes_nothing_holds_no_chunk(self, sealed):
        reader, stalled = sealed(), asyncio.Event()
        asked = []
        opens = reader.pieces

        def pieces(*asked_for):
            asked.append(asked_for)
            return opens(*asked_for)

        async def send(message):
            if asked:
                stalled.set()
                await asyncio.Event().wait()

        reader.pieces = pieces
        response = Bytes(reader, "video/mp4", Headers())
        task = asyncio.create_task(response({"type": "http", "method": "GET"}, None, send))
        await stalled.wait()
        await asyncio.sleep(0)
        assert asked == [(0, SIZE, 1)]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reader.closed

    async def test_for_one_that_has_left_nothing_is_opened(self, serve, sealed):
        """Not the rest of its video, which nobody would get."""
        reader, left = sealed(os.urandom(200 * CHUNK_BYTES)), asyncio.Event()
        opens, opened = reader.pieces, []

        def pieces(*asked_for):
            opened.append(len(found := opens(*asked_for)))
            return found

        async def app(scope, receive, send):
            await Bytes(reader, "video/mp4", Headers(scope=scope))(scope, receive, send)
            left.set()

        reader.pieces = pieces
        async with serve(app) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            while not opened:
                await asyncio.sleep(0.001)
            writer.transport.abort()
            await asyncio.wait_for(left.wait(), 10)
        # What a connection holds that nobody reads, and what was being opened as it ended.
        assert sum(opened) < 100

    async def test_slow_ones_get_their_own(self, serve, sealed):
        plains = [os.urandom(12 * CHUNK_BYTES + number) for number in range(5)]

        async def app(scope, receive, send):
            reader = sealed(plains[int(scope["path"][1:])])
            await Bytes(reader, "video/mp4", Headers(scope=scope))(scope, receive, send)

        async def read(port, number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            writer.write(b"GET /%d HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % number)
            await reader.readuntil(b"\r\n\r\n")
            body = bytearray()
            while piece := await reader.read(3000):
                body += piece
            writer.close()
            return body

        async with serve(app) as port:
            bodies = await asyncio.gather(*(read(port, number) for number in range(5)))
        assert bodies == plains


class TestThen:
    """Over a socket: what is done once the client has everything."""

    @pytest.fixture
    async def served(self, serve, sealed):
        """Gives port, and a queue that gets a word for every answer: "done" or "ended"."""
        words = asyncio.Queue()
        plain = os.urandom(24 * CHUNK_BYTES)

        async def done():
            await words.put("done")

        async def app(scope, receive, send):
            headers = Headers(scope=scope)
            await Bytes(sealed(plain), "video/mp4", headers, ETAG, done)(scope, receive, send)
            await words.put("ended")

        async with serve(app) as port:
            yield port, words, plain

    async def test_when_all_was_read(self, served):
        port, words, plain = served
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"http://127.0.0.1:{port}/")
            assert answer.content == plain
            assert [await words.get(), await words.get()] == ["done", "ended"]

    async def test_when_the_client_leaves_with_the_last_byte(self, served):
        port, words, plain = served
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(len(plain)) == plain
        writer.close()
        assert [await words.get(), await words.get()] == ["done", "ended"]

    @pytest.mark.parametrize("read", [0, 1_000_000])
    @pytest.mark.parametrize("abort", [False, True])
    async def test_not_when_the_client_hangs_up(self, served, read, abort):
        port, words, _ = served
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        if read:
            await reader.readexactly(read)
        if abort:
            writer.transport.abort()
        else:
            writer.close()
        assert await words.get() == "ended"
        assert words.empty()

    async def test_not_when_the_client_leaves_before_the_second_of_two(self, serve, sealed):
        """That the first of a pipeline had all of it says nothing of the next."""
        words = asyncio.Queue()

        async def app(scope, receive, send):
            path = scope["path"]
            while path == "/2" and (await receive())["type"] != "http.disconnect":
                pass
            then = partial(words.put, f"done {path}")
            await Bytes(sealed(), "video/mp4", Headers(), ETAG, then)(scope, receive, send)
            await words.put(f"ended {path}")

        async with serve(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in (1, 2)))
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(SIZE) == PLAIN
            assert [await words.get(), await words.get()] == ["done /1", "ended /1"]
            writer.close()
            assert await words.get() == "ended /2"
            assert words.empty()

    @pytest.mark.parametrize(("part", "found"), [("0-9", ["ended"]), ("9-", ["done", "ended"])])
    async def test_of_a_part_when_it_reaches_the_end(self, served, part, found):
        port, words, _ = served
        async with httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{port}/", headers={"range": f"bytes={part}"})
        assert [await words.get() for _ in found] == found
        assert words.empty()


class TestJson:
    def test_answer(self):
        response = answer(QuoteVideoAnswer(quote=0.55), [(b"x-a", b"b")])
        assert (response.body, response.headers["x-a"]) == (b'{"quote":0.55}', "b")

    def test_refusal(self):
        assert refusal(NotFound()).body == b'{"error": "Not found"}'

    def test_failed_job(self):
        body = refusal(InputRejected("Too dark")).body
        assert body == b'{"error": "Too dark", "credits_refunded": true}'

    def test_invalid_request(self):
        response = refusal(InvalidRequest([Issue(("a", 0), "Wrong")]))
        assert response.status_code == 400
        assert b'"details": {"_errors": [], "a": {"_errors": [], "0":' in response.body
