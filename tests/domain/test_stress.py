"""Every verb at once and at random: no deadlock, no lost job, and the books in order."""

import asyncio
import random
from collections import Counter

import pytest

from squero.domain import attempt, generation, unfinished, upkeep
from squero.errors import InsufficientBalance, StaleAttempt

pytestmark = pytest.mark.anyio

TASKS, STEPS = 12, 15


class Crowd:
    """Customers, workers and the clock, each doing at random what it may."""

    def __init__(self, yard, play, tenants, workers, pass_time, seed) -> None:
        self.yard, self.play, self.pass_time = yard, play, pass_time
        self.tenants, self.workers = tenants, workers
        self.chance = random.Random(seed)
        self.queued: list[tuple[object, object]] = []
        self.claimed: list[tuple[object, object]] = []
        self.done: Counter[str] = Counter()

    async def queue(self) -> None:
        tenant = self.chance.choice(self.tenants)
        key = self.chance.choice([None, f"k{self.chance.randrange(20)}"])
        self.queued.append((tenant, await self.play.queue(tenant, key)))

    async def claim(self) -> None:
        worker = self.chance.choice(self.workers)
        if claimed := await self.play.claim(worker):
            self.claimed.append((worker, claimed))

    async def report(self) -> None:
        worker, claimed = self.chance.choice(self.claimed)
        of = (self.yard, worker, claimed.queue_id, claimed.attempt)
        match self.chance.randrange(5):
            case 0:
                await attempt.progress(*of, 0.5)
            case 1:
                await attempt.hand_back(*of)
            case 2:
                kind = self.chance.choice(["crash", "bad_input", "out_of_memory"])
                await attempt.fail(*of, kind, None)
            case _:
                await attempt.finish(*of)

    async def cancel(self) -> None:
        tenant, queue_id = self.chance.choice(self.queued)
        await generation.cancel(self.yard, tenant.account.id, queue_id)

    async def tick(self) -> None:
        await self.pass_time(2)
        await unfinished.reap(self.yard)
        await unfinished.give_up(self.yard)
        await upkeep.expire(self.yard)
        await unfinished.release_own(self.yard, self.play.server)
        self.workers[0] = await self.play.hire(own=True)

    async def act(self) -> None:
        verbs = [
            self.queue,
            self.queue,
            self.claim,
            self.claim,
            self.report,
            self.cancel,
            self.tick,
        ]
        for _ in range(STEPS):
            verb = self.chance.choice(verbs)
            try:
                await verb()
                self.done[verb.__name__] += 1
            except (IndexError, StaleAttempt, InsufficientBalance) as refused:
                self.done[type(refused).__name__] += 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_crowd(yard, play, open_tenant, pass_time, seed):
    tenants = [await open_tenant(credit) for credit in (None, None, 400_000, 1_000_000)]
    workers = [await play.hire(own=number == 0) for number in range(3)]
    crowd = Crowd(yard, play, tenants, workers, pass_time, seed)
    await asyncio.gather(*(crowd.act() for _ in range(TASKS)))
    assert min(crowd.done[verb] for verb in ("queue", "claim", "report", "cancel", "tick")) > 0
    assert (await upkeep.audit(yard)).in_order
    while claimed := await play.claim(workers[1]):
        await play.finish(workers[1], claimed)
    await unfinished.release_own(yard, play.server)
    found = await upkeep.audit(yard)
    assert found.in_order
    left = await play.sql("SELECT count(*) AS n FROM generations WHERE state = 'queued'")
    shares = await play.sql("SELECT sum(queued)::int AS n FROM shares")
    assert left == shares
    assert await play.sql("SELECT 1 FROM balances WHERE available_micros < 0") == []
