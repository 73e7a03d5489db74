"""Requests are counted by a clock that nobody sets, and what is counted is forgotten in time."""

import asyncio
import time
from uuid import uuid4

import pytest

from squero.domain.limits import Limits, Windows
from squero.settings import Settings

pytestmark = pytest.mark.anyio

MINUTE = 60


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def windows(clock):
    return Windows(clock)


@pytest.fixture
def limits(tmp_path, clock):
    return Limits(Settings(home=tmp_path, queue_per_minute=2), clock)


@pytest.fixture
def wall(monkeypatch):
    """Sets the wall clock."""
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: seconds)


class TestHit:
    async def test_counts_down_and_then_refuses(self, limits):
        account = uuid4()
        hits = [await limits.hit("video_queue", account) for _ in range(4)]
        assert [(hit.allowed, hit.remaining) for hit in hits] == [
            (True, 1),
            (True, 0),
            (False, 0),
            (False, 0),
        ]

    async def test_at_once(self, limits):
        account = uuid4()
        hits = await asyncio.gather(*(limits.hit("video_queue", account) for _ in range(20)))
        assert sum(hit.allowed for hit in hits) == 2

    async def test_begins_again_after_a_minute_of_the_first(self, limits, clock):
        account = uuid4()
        for _ in range(3):
            await limits.hit("video_queue", account)
        clock.now += MINUTE - 0.01
        assert not (await limits.hit("video_queue", account)).allowed
        clock.now += 0.01
        assert (await limits.hit("video_queue", account)).remaining == 1

    async def test_tells_the_end_of_its_window(self, limits, clock, wall):
        account = uuid4()
        wall(2_000_000.5)
        assert (await limits.hit("video_queue", account)).reset == 2_000_061
        clock.now += 20
        wall(2_000_020.5)
        assert (await limits.hit("video_queue", account)).reset == 2_000_061


class TestWallClock:
    @pytest.mark.parametrize("step", [-7_200, 7_200])
    async def test_that_is_set_changes_no_quota(self, limits, clock, wall, step):
        account = uuid4()
        wall(2_000_000)
        for _ in range(3):
            await limits.hit("video_queue", account)
        wall(2_000_000 + step)
        hit = await limits.hit("video_queue", account)
        assert (hit.allowed, hit.reset) == (False, 2_000_060 + step)
        clock.now += MINUTE
        assert (await limits.hit("video_queue", account)).allowed


class TestWindows:
    async def test_of_a_key_that_has_none(self, windows, wall):
        wall(5_000)
        assert (await windows.get("k"), await windows.get_expiry("k")) == (0, 5_000)

    async def test_hold_what_was_counted(self, windows, clock):
        assert [await windows.incr("k", 10), await windows.incr("k", 10, 5)] == [1, 6]
        assert (await windows.get("k"), await windows.get("other")) == (6, 0)
        clock.now += 10
        assert await windows.get("k") == 0

    async def test_can_be_forgotten(self, windows):
        for key in "abc":
            await windows.incr(key, 10)
        await windows.clear("a")
        await windows.clear("nothing")
        assert (await windows.get("a"), await windows.get("b")) == (0, 1)
        assert await windows.reset() == 2
        assert await windows.get("b") == 0

    @pytest.mark.parametrize("keep", [False, True])
    async def test_that_ended_do_not_pile_up(self, windows, clock, keep):
        if keep:
            for number in range(50):
                await windows.incr(f"long {number}", 10**6)
        for number in range(5_000):
            await windows.incr(str(number), 10)
            clock.now += 1
        assert not keep or await windows.get("long 49") == 1
        assert await windows.reset() < 200

    async def test_cost_the_same_however_many_there_are(self):
        looks = []

        def clock():
            looks.append(1)
            return 1_000.0

        windows = Windows(clock)
        for number in range(5_000):
            await windows.incr(str(number), 10)
        looks.clear()
        for key in ("1", "new"):
            await windows.incr(key, 10)
            await windows.get_expiry(key)
        assert len(looks) < 20
