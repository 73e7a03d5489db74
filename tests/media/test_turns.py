"""Turns: who gets one, in what order, and what becomes of those who give up."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest

from squero.errors import AtCapacity
from squero.media.turns import Turns

pytestmark = pytest.mark.anyio

A, B, C = uuid4(), uuid4(), uuid4()


class Hall:
    """Holders who wait for their turns, and the order in which these came."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.came: list[object] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, *holders: object) -> list[asyncio.Task[None]]:
        asked = [asyncio.create_task(self._wait(holder)) for holder in holders]
        self.tasks += asked
        return asked

    async def _wait(self, holder: object) -> None:
        await self.turns.begin(holder)
        self.came.append(holder)

    async def settled(self) -> list[object]:
        """Who came, once nobody moves any more."""
        for _ in range(5):
            await asyncio.sleep(0)
        return self.came

    async def ended(self, holder: object) -> list[object]:
        self.turns.end(holder)
        return await self.settled()


@pytest.fixture
async def hall():
    asked = []

    def open_hall(*arguments, **options):
        hall = Hall(Turns(*arguments, **options))
        asked.append(hall)
        return hall

    yield open_hall
    tasks = [task for hall in asked for task in hall.tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_no_holder_takes_all(hall):
    hall = hall(4, 2)
    hall.ask(A, A, A, A, B)
    assert Counter(await hall.settled()) == {A: 2, B: 1}


async def test_in_rotation(hall):
    hall = hall(1, 1)
    hall.ask(A)
    await hall.settled()
    hall.ask(A, A, A, B, B, C)
    await hall.settled()
    for holder in (A, A, B, C, A, B):
        await hall.ended(holder)
    assert hall.came == [A, A, B, C, A, B, A]


async def test_go_to_who_has_fewest(hall):
    hall = hall(3, 2)
    hall.ask(C, B, A, A, C)
    await hall.settled()
    hall.ask(B)
    assert await hall.ended(C) == [C, B, A, C]
    hall.turns.end(B)
    assert await hall.settled() == [C, B, A, C, B]


async def test_that_do_not_come(hall):
    hall = hall(1, 1, wait_seconds=0.01)
    await hall.turns.begin(A)
    with pytest.raises(AtCapacity):
        await hall.turns.begin(B)
    hall.turns.end(A)
    async with hall.turns.turn(B):
        pass


async def test_of_too_many_who_wait(hall):
    hall = hall(1, 1, waiting=2)
    await hall.turns.begin(A)
    hall.ask(A, A)
    await hall.settled()
    with pytest.raises(AtCapacity):
        await hall.turns.begin(A)
    hall.ask(B)
    await hall.settled()
    await hall.ended(A)
    assert await hall.ended(A) == [A, B]


async def test_of_one_who_leaves_the_queue(hall):
    hall = hall(1, 1)
    await hall.turns.begin(A)
    leaver, _ = hall.ask(B, C)
    await hall.settled()
    leaver.cancel()
    assert await hall.ended(A) == [C]


async def test_that_came_to_one_who_left(hall):
    hall = hall(1, 1)
    await hall.turns.begin(A)
    leaver, _ = hall.ask(B, C)
    await hall.settled()
    hall.turns.end(A)
    leaver.cancel()
    assert await hall.settled() == [C]


async def test_that_comes_just_as_one_leaves(hall):
    hall = hall(1, 1)
    await hall.turns.begin(A)
    leaver, _ = hall.ask(B, C)
    await hall.settled()
    leaver.cancel()
    hall.turns.end(A)
    assert await hall.settled() == [C]


async def test_end_with_an_error():
    turns = Turns(1, 1)
    with pytest.raises(ValueError, match="broken"):
        async with turns.turn(A):
            raise ValueError("broken")
    async with turns.turn(B):
        assert not turns._queues
    assert not turns._running
