"""The bell: who is woken, and what is not lost."""

import asyncio

import pytest

from squero.domain.bell import Bell

pytestmark = pytest.mark.anyio


async def waiting(bell, *lanes):
    """Claims that wait, in this order."""
    tasks = [asyncio.create_task(bell.wait(lane, 60)) for lane in lanes]
    await asyncio.sleep(0)
    return tasks


class TestRing:
    async def test_wakes_the_longest_waiting_of_the_lane(self):
        bell = Bell()
        first, second, other = await waiting(bell, "a", "a", "b")
        bell.ring("a")
        assert await first
        assert not second.done()
        assert not other.done()
        bell.ring_all()
        assert await asyncio.gather(second, other) == [1, 1]

    async def test_that_nobody_waited_for_is_kept(self):
        bell = Bell()
        bell.ring("a")
        assert await bell.wait("a", 60)
        assert not await bell.wait("a", 0.01)
        assert not await bell.wait("b", 0.01)

    async def test_kept_ones_do_not_pile_up(self):
        bell = Bell()
        for _ in range(10_000):
            bell.ring("a")
        looks = 0
        while await bell.wait("a", 0.01):
            looks += 1
        assert 0 < looks <= 16

    async def test_one_that_gave_up_is_passed_over(self):
        bell = Bell()
        first, second = await waiting(bell, "a", "a")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        bell.ring("a")
        assert await second

    async def test_closed(self):
        bell = Bell()
        (first,) = await waiting(bell, "a")
        bell.close()
        assert await first == 0
        assert await bell.wait("a", 60) == 0
