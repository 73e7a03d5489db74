"""Who renders, who waits, and when another job is fetched."""

import asyncio

import pytest

from squero.shot import Stopped
from squero.worker import berth as module
from squero.worker import progress as progresses
from squero.worker.berth import Berth, Elsewhere
from squero.worker.progress import Progress

pytestmark = pytest.mark.anyio


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progresses, "time", clock)
    return clock


def come(berth: Berth) -> Progress:
    progress = Progress()
    berth.come(progress)
    return progress


async def is_vacant(berth: Berth) -> bool:
    try:
        async with asyncio.timeout(0):
            await berth.vacancy()
    except TimeoutError:
        return False
    return True


class TestVacancy:
    async def test_until_a_job_is_in_hand(self) -> None:
        berth = Berth()
        assert await is_vacant(berth)
        progress = come(berth)
        assert not await is_vacant(berth)
        await berth.enter(progress)
        assert not await is_vacant(berth)
        berth.leave(progress)
        assert await is_vacant(berth)

    async def test_when_the_render_is_about_to_end(self, clock: Clock) -> None:
        berth = Berth()
        progress = come(berth)
        await berth.enter(progress)
        progress.begin()
        clock.now = 1000.0  # it has loaded its model
        progress.tell(0.0)
        waiting = asyncio.create_task(berth.vacancy())
        for now, share in [(1001.0, 0.0), (1010.0, 0.5), (1020.0, 0.9)]:
            clock.now = now
            progress.tell(share)
            berth.look()
            await asyncio.sleep(0)
            assert not waiting.done()
        clock.now = 1020.5
        progress.tell(0.92)  # 1.8 s are left at this pace
        berth.look()
        await waiting

    async def test_when_the_steps_of_a_long_one_are_over(self, clock: Clock) -> None:
        berth = Berth()
        progress = come(berth)
        await berth.enter(progress)
        progress.begin()
        progress.tell(0.0)
        clock.now = 230.0
        progress.tell(0.94)
        assert not await is_vacant(berth)
        clock.now = 235.0
        progress.tell(0.96)  # its decoding, of which nothing is told, comes next
        assert await is_vacant(berth)

    async def test_no_more_than_can_be_delivered(self) -> None:
        berth = Berth()
        out = [come(berth) for _ in range(3)]
        for progress in out:
            await berth.enter(progress)
            berth.leave(progress)
        assert not await is_vacant(berth)
        berth.go(out[0])
        assert await is_vacant(berth)


class TestEnter:
    async def test_waits_its_turn(self) -> None:
        berth = Berth()
        first, second = come(berth), come(berth)
        await berth.enter(first)
        entering = asyncio.create_task(berth.enter(second))
        await asyncio.sleep(0)
        assert not entering.done()
        berth.leave(first)
        await entering
        assert berth.holds(second)

    async def test_not_for_ever(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
        berth = Berth()
        first = come(berth)
        await berth.enter(first)
        first.begin()
        first.tell(0.0)
        clock.now = 1.0
        first.tell(0.99)
        assert await is_vacant(berth)
        second = come(berth)
        with pytest.raises(Elsewhere):
            await berth.enter(second)
        berth.go(second)
        assert not await is_vacant(berth)  # what is late is not waited for again
        berth.go(first)
        assert await is_vacant(berth)


async def test_a_render_that_nobody_wants_does_not_begin() -> None:
    progress = Progress()
    progress.unwanted = True
    with pytest.raises(Stopped):
        progress.begin()
