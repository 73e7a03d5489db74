"""What upstreams ask, from a worker's engine to a server that says what the test wants."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from squero.client import Backoff, Http
from squero.worker import prices as module
from squero.worker.prices import Prices

pytestmark = pytest.mark.anyio

QUICK = Backoff(tries=2, total_seconds=1, first_seconds=0.001, cap_seconds=0.002)


def clip(seconds: int, audio: bool = True) -> dict[str, Any]:
    named = {"seconds": seconds, "resolution": "480p", "aspect_ratio": None, "audio": audio}
    return named | {"width": 848, "height": 480, "frames": 24 * seconds, "fps": 24}


class Server:
    """Wants these models' prices, once; keeps what it is told."""

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.asked = 0
        self.answer = 200
        self.answered = asyncio.Event()

    def want(self, *clips: dict[str, Any], engine: str = "obedient") -> None:
        named = {"id": engine, "engine": engine, "options": {}, "terms": "t", "clips": clips}
        self.models.append(named)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/worker/v1/prices"
        if request.method == "POST":
            self.told.append(json.loads(await request.aread()))
            return httpx.Response(204)
        self.asked += 1
        if self.asked == 3:
            self.answered.set()
        return httpx.Response(self.answer, json={"models": self.models})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def prices(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "engines" / "plugin"))
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    transport = httpx.MockTransport(server)
    async with Http("http://127.0.0.1:1", "token", backoff=QUICK, transport=transport) as http:
        yield Prices(http, tmp_path)


async def test_tells_what_the_engine_says(server: Server, prices: Prices) -> None:
    server.want(clip(5), clip(5, audio=False), clip(8))
    await prices.report()
    told = [
        {"seconds": seconds, "resolution": "480p", "aspect_ratio": None, "audio": True}
        | {"price_micros": 24_000 * seconds}
        for seconds in (5, 8)
    ]
    assert server.told == [{"model": "obedient", "terms": "t", "prices": told}]


async def test_nothing_wanted(server: Server, prices: Prices) -> None:
    await prices.report()
    assert server.told == []


@pytest.mark.parametrize("engine", ["motion", "broken", "dear", "nowhere"])
async def test_an_engine_that_tells_none(server: Server, prices: Prices, engine: str) -> None:
    server.want(*[clip(seconds) for seconds in range(1, 9)], engine=engine)
    server.want(clip(5))
    with structlog.testing.capture_logs() as logs:
        await prices.report()
    assert [one["model"] for one in server.told] == ["obedient"]
    failures = [one for one in logs if one["event"] == "no price"]
    # Only one that has prices is loaded for them.
    tried = {"motion": 0, "broken": 0, "dear": module.PATIENCE, "nowhere": 1}
    assert len(failures) == tried[engine]


async def test_goes_on_whatever_the_server_says(server: Server, prices: Prices) -> None:
    server.answer = 404
    task = asyncio.create_task(prices.run())
    await asyncio.wait_for(server.answered.wait(), 30)
    server.answered.clear()
    server.asked, server.answer, server.models = 0, 200, [{"id": "x"}]
    with structlog.testing.capture_logs() as logs:
        await asyncio.wait_for(server.answered.wait(), 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {(one["event"], one["error"]) for one in logs} == {("no prices", "KeyError")}
