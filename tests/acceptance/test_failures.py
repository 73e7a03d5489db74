"""Twenty-one failures, then a valid call: the sentence, as long as it says, and for nobody else.

On the real process by the real clock; and in this one, where the wall clock can be stepped.
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from squero.api.house import House
from squero.app import Application
from squero.domain.failures import Failures
from squero.domain.limits import Limits

from .conftest import Customer, Server, Start, open_account

SENTENCE = (
    "Too many failed attempts (> 20) resulting in a non-success status code. Please wait 30s and"
    " try again. See https://docs.venice.ai/api-reference/rate-limiting for more information."
)
HOUR_SECONDS = 3600.0
JOB = {"model": "motion-text-to-video", "prompt": "p", "duration": "5s", "resolution": "480p"}


class Block:
    """The block of one who calls: when it began, as closely as a client can know it."""

    def __init__(self, seconds: int, fail: Callable[[], httpx.Response]) -> None:
        self.seconds = seconds
        for _ in range(20):
            assert fail().status_code in (400, 401)
        self.earliest = time.monotonic()
        assert fail().status_code in (400, 401)
        self.latest = time.monotonic()

    def check(self, call: Callable[[], httpx.Response]) -> bool:
        """Whether a valid call is taken again, which it must be neither too early nor too late."""
        began = time.monotonic()
        answer = call()
        ended = time.monotonic()
        if answer.status_code == 200:
            assert ended >= self.earliest + self.seconds
            return True
        assert began < self.latest + self.seconds
        assert answer.status_code == 429
        assert answer.json() == {"error": SENTENCE.replace("30s", f"{self.seconds}s")}
        least, most = self.earliest + self.seconds - ended, self.latest + self.seconds - began
        assert math.ceil(least) <= int(answer.headers["retry-after"]) <= math.ceil(most)
        return False


@pytest.mark.anyio
@pytest.mark.acceptance
@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.kill)])
async def test_block_an_account_and_an_address(start: Start, tmp_path: Path, seconds: int) -> None:
    env = {"SQUERO_FAILED_REQUESTS": "20", "SQUERO_FAILED_SECONDS": str(seconds)}
    server = start(Server, tmp_path / "home", "--workers", "0", env=env)
    opened = [await open_account(server) for _ in range(2)]
    clumsy, other = (Customer(server, key) for _, key in opened)
    stranger = server.open.enter_context(httpx.Client(base_url=f"{server.url}/api/v1"))
    wrong = {"authorization": "Bearer wrong"}

    account = Block(seconds, lambda: clumsy.post("queue", **JOB | {"duration": "7 days"}))
    assert not account.check(lambda: clumsy.post("queue", **JOB))
    address = Block(seconds, lambda: stranger.post("/video/queue", json=JOB, headers=wrong))
    blocked = {
        account: lambda: clumsy.http.get("/api_keys/rate_limits"),
        address: lambda: stranger.post("/video/quote", json=JOB),
    }
    while blocked:
        blocked = {block: call for block, call in blocked.items() if not block.check(call)}
        assert other.http.get("/api_keys/rate_limits").status_code == 200
        time.sleep(0.05)
    clumsy.queue()


class Clocks:
    """A monotonic clock that is moved by hand, and a wall clock that leaps an hour at each look."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self._leaps = cycle((HOUR_SECONDS, 0.0, -HOUR_SECONDS))
        self._wall = time.time

    def monotonic(self) -> float:
        return self.seconds

    def leap(self) -> float:
        return self._wall() + next(self._leaps)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    monkeypatch.setattr(time, "time", made.leap)
    return made


@pytest.fixture
async def leaping(house: House, clocks: Clocks) -> AsyncIterator[httpx.AsyncClient]:
    """Calls to an application that has these clocks."""
    failures = Failures(20, 30, clock=clocks.monotonic)
    limits = Limits(house.yard.settings, clocks.monotonic)
    application = Application(replace(house, failures=failures, limits=limits))
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://squero.test") as client:
        yield client


@pytest.mark.anyio
@pytest.mark.parametrize("known", [True, False], ids=["account", "address"])
async def test_leaps_of_the_clock_change_no_block(
    leaping: httpx.AsyncClient, clocks: Clocks, open_tenant: Any, known: bool
) -> None:
    """One failure or blocked call a second: the leaps end no block and prolong none."""
    own, others = (await open_tenant()).headers, (await open_tenant()).headers
    wrong, right = ("complete", "queue") if known else ("quote", "quote")

    async def call(path: str, body: object) -> httpx.Response:
        headers = own if known else {}
        answer = await leaping.post(f"/api/v1/video/{path}", json=body, headers=headers)
        other = await leaping.get("/api/v1/api_keys/rate_limits", headers=others)
        assert other.status_code == 200
        return answer

    clocks.seconds -= 1
    for _ in range(21):
        clocks.seconds += 1
        assert (await call(wrong, {})).status_code == 400
    for left_seconds in range(30, 0, -1):
        answer = await call(right, JOB)
        assert (answer.status_code, answer.json()) == (429, {"error": SENTENCE})
        assert answer.headers["retry-after"] == str(left_seconds)
        clocks.seconds += 1
    assert (await call(right, JOB)).status_code == 200
