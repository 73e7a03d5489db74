"""Counting in a Redis or Valkey, and what happens while it is away.

On a real server where `redis-server` or `valkey-server` is on PATH, and always on one of our own
that speaks as much of its protocol as counting takes.
"""

import asyncio
import shutil
import socket
import subprocess
import time
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from squero.domain.limits import Limits
from squero.domain.shared import Shared
from squero.settings import Settings, Tier, Tiers

pytest.importorskip("redis")
pytestmark = pytest.mark.anyio


class Store:
    """A server that counts, and that goes away and comes back on the same port."""

    def __init__(self, port):
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"


class OwnStore(Store):
    """INCRBY with an expiry, as the library's script does it, and TTL; knows no script at first."""

    def __init__(self, port):
        super().__init__(port)
        self.silent = False
        self._counts = {}
        self._loaded = False
        self._writers = set()
        self._server = None

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self):
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()
        self._counts.clear()
        self._loaded = False

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                if not self.silent:
                    writer.write(self._answer(*words))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, verb, *words):
        match verb.upper():
            case b"EVALSHA" if not self._loaded:
                return b"-NOSCRIPT No matching script.\r\n"
            case b"SCRIPT":
                self._loaded = True
                return b"$1\r\nx\r\n"
            case b"EVALSHA":
                _, _, key, expiry, amount = words
                count, ends = self._counts.get(key, (0, time.monotonic() + int(expiry)))
                self._counts[key] = count + int(amount), ends
                return b":%d\r\n" % (count + int(amount))
            case b"TTL":
                return b":%d\r\n" % round(self._counts[words[0]][1] - time.monotonic())
            case _:
                return b"+OK\r\n"


class RealStore(Store):
    def __init__(self, port, program, folder):
        super().__init__(port)
        self._program = program
        self._folder = folder
        self._process = None

    async def start(self):
        words = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "")
        self._process = subprocess.Popen(
            [self._program, *words, "--dir", self._folder], stdout=subprocess.DEVNULL
        )
        while not _listens(self.port):
            await asyncio.sleep(0.01)

    async def stop(self):
        self._process.terminate()
        self._process.wait()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(params=["own", "real"])
async def store(request, tmp_path, anyio_backend):
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if request.param == "real" and program is None:
        pytest.skip("there is no redis-server or valkey-server on PATH")
    made = OwnStore(_free_port())
    if request.param == "real":
        made = RealStore(made.port, program, tmp_path)
    await made.start()
    yield made
    await made.stop()


@asynccontextmanager
async def opened(url, count=1):
    replicas = [Shared(url) for _ in range(count)]
    try:
        yield replicas
    finally:
        for replica in replicas:
            await replica.aclose()


@pytest.fixture
async def shared(store):
    async with opened(store.url) as (made,):
        yield made


async def test_replicas_count_together(store):
    async with opened(store.url, 3) as replicas:
        counted = [await one.count("k", 60) for one in replicas * 2]
    assert [count for count, _ in counted] == [1, 2, 3, 4, 5, 6]
    assert all(58 <= ends - time.time() <= 60.1 for _, ends in counted)


async def test_keys_are_apart(shared):
    assert [(await shared.count(key, 60))[0] for key in "aba"] == [1, 1, 2]


async def test_windows_begin_with_their_first_count(shared):
    ends = {round((await shared.count("k", 60))[1]) for _ in range(20)}
    assert max(ends) - min(ends) <= 1


@pytest.mark.parametrize("step_seconds", [3600, -3600])
async def test_steps_of_the_wall_clock_change_no_count(shared, monkeypatch, step_seconds):
    await shared.count("k", 60)
    stepped = time.time() + step_seconds
    monkeypatch.setattr(time, "time", lambda: stepped)
    count, ends = await shared.count("k", 60)
    assert count == 2
    assert 58 <= ends - stepped <= 60


async def test_goes_away_and_comes_back(store, shared, monkeypatch):
    monkeypatch.setattr("squero.domain.shared._AGAIN_SECONDS", 0.0)
    assert (await shared.count("k", 60))[0] == 1
    with capture_logs() as logs:
        await store.stop()
        began = time.monotonic()
        assert [await shared.count("k", 60) for _ in range(5)] == [None] * 5
        assert time.monotonic() - began < 1
        await store.start()
        while (counted := await shared.count("k", 60)) is None:
            await asyncio.sleep(0.01)
    assert counted[0] == 1  # it had kept nothing
    assert [entry["log_level"] for entry in logs] == ["warning", "info"]


async def test_that_is_away_is_asked_once_a_second(store, shared):
    await store.stop()
    await shared.count("k", 60)
    await store.start()
    began = time.perf_counter()
    assert [await shared.count("k", 60) for _ in range(100)] == [None] * 100
    assert time.perf_counter() - began < 0.1
    shared._asks_again_at = 0.0
    # While one asks, the others do not wait for the answer.
    assert sorted(map(bool, await asyncio.gather(*(shared.count("k", 60) for _ in range(9))))) == [
        *[False] * 8,
        True,
    ]


async def test_that_is_silent_is_not_waited_for(anyio_backend):
    store = OwnStore(_free_port())
    await store.start()
    async with opened(store.url) as (shared,):
        assert (await shared.count("k", 60))[0] == 1
        store.silent = True
        began = time.monotonic()
        assert await shared.count("k", 60) is None
        assert time.monotonic() - began < 0.5
        store.silent = False
        shared._asks_again_at = 0.0
        assert (await shared.count("k", 60))[0] >= 2
    await store.stop()


async def test_limits_fall_back_to_each_process_and_come_back(store, tmp_path, monkeypatch):
    monkeypatch.setattr("squero.domain.shared._AGAIN_SECONDS", 0.0)
    settings = Settings(
        home=tmp_path, limits_url=SecretStr(store.url), tiers=Tiers(paid=Tier(video_queue=2))
    )
    one, two = Limits(settings), Limits(settings)
    account_id = uuid4()

    async def allowed(limits):
        return (await limits.hit("video_queue", account_id)).allowed

    assert [await allowed(it) for it in (one, two, one, two)] == [True, True, False, False]
    await store.stop()
    assert [await allowed(it) for it in (one, two, one, two, one, two)] == [
        *[True] * 4,
        *[False] * 2,
    ]
    await store.start()
    assert [await allowed(it) for it in (one, two, one, two)] == [True, True, False, False]
    await one.aclose()
    await two.aclose()


async def test_a_password_is_not_logged(anyio_backend):
    with capture_logs() as logs:
        async with opened(f"redis://user:hush@127.0.0.1:{_free_port()}/0") as (shared,):
            assert await shared.count("k", 60) is None
    assert len(logs) == 1
    assert "hush" not in str(logs)
