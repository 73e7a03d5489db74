"""Whose job starts next: fair queueing by virtual time."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from squero.domain import generation, unfinished, upkeep
from squero.domain.video_request import VideoRequest

pytestmark = pytest.mark.anyio

OTHER = VideoRequest("wan-2.5-preview-text-to-video", "a lagoon", "5s", resolution="480p")
ESTIMATE_US = 2_000_000


@pytest.fixture
def virtual_us(sql):
    """The virtual time of a tenant."""

    async def read(tenant) -> int:
        rows = await sql("SELECT virtual_us FROM shares WHERE account_id = %s", tenant.account.id)
        return rows[0]["virtual_us"]

    return read


@pytest.fixture
async def two(open_tenant):
    """Two tenants who pay nothing."""
    return await open_tenant(), await open_tenant()


class TestTurns:
    async def test_a_thousand_jobs_do_not_delay_another_tenants_first(
        self, yard, play, two, worker
    ):
        greedy, modest = two
        await play.multiply(await play.queue(greedy), 999)
        rendering = [await play.claim(worker) for _ in range(4)]
        queue_id = await play.queue(modest)
        assert (await play.claim(worker)).queue_id == queue_id
        assert {(await play.row(one.queue_id))["account_id"] for one in rendering} == {
            greedy.account.id
        }
        assert (await upkeep.audit(yard)).in_order

    @pytest.mark.parametrize("order", ["greedy first", "modest first"])
    async def test_nor_after_a_long_time_alone(self, play, two, worker, pass_time, order):
        greedy, modest = two
        for _ in range(3):
            claimed = await play.rendering(modest, worker)
            await pass_time(3600)
            await play.finish(worker, claimed)
        if order == "modest first":
            first = await play.queue(modest)
            await play.multiply(await play.queue(greedy), 99)
        else:
            await play.multiply(await play.queue(greedy), 99)
            await play.claim(worker)
            first = await play.queue(modest)
        starts = [(await play.claim(worker)).queue_id for _ in range(2)]
        assert first in starts

    async def test_tenants_take_turns(self, play, two, worker):
        for tenant in two:
            await play.multiply(await play.queue(tenant), 9)
        starts = [await play.claim(worker) for _ in range(10)]
        rows = [await play.row(one.queue_id) for one in starts]
        assert set(Counter(row["account_id"] for row in rows).values()) == {5}

    async def test_weights(self, play, two, worker):
        heavy, light = two
        await play.multiply(await play.queue(heavy, weight=3), 30)
        await play.multiply(await play.queue(light), 30)
        rows = [await play.row((await play.claim(worker)).queue_id) for _ in range(16)]
        assert Counter(row["account_id"] for row in rows)[heavy.account.id] == 12

    async def test_a_tenants_own_jobs_in_order(self, play, tenant, worker):
        queue_ids = [await play.queue(tenant) for _ in range(5)]
        assert [(await play.claim(worker)).queue_id for _ in range(5)] == queue_ids

    async def test_the_cap(self, play, two, worker):
        capped, free = two
        await play.multiply(await play.queue(capped, cap=2), 5)
        first = [await play.claim(worker) for _ in range(2)]
        assert await play.claim(worker) is None
        queue_id = await play.queue(free)
        assert (await play.claim(worker)).queue_id == queue_id
        await play.finish(worker, first[0])
        assert (await play.row((await play.claim(worker)).queue_id))[
            "account_id"
        ] == capped.account.id

    async def test_a_capped_tenant_does_not_hold_the_clock_back(
        self, play, two, open_tenant, worker
    ):
        capped, busy = two
        await play.multiply(await play.queue(capped, cap=1), 5)
        await play.multiply(await play.queue(busy), 50)
        for _ in range(20):
            await play.claim(worker)
        late = await open_tenant()
        await play.multiply(await play.queue(late), 50)
        rows = [await play.row((await play.claim(worker)).queue_id) for _ in range(4)]
        assert busy.account.id in {row["account_id"] for row in rows}

    async def test_a_warm_model_first(self, play, tenant, worker):
        cold = await play.queue(tenant)
        warm = await play.queue(tenant, request=OTHER)
        assert (await play.claim(worker, warm=["none", OTHER.model])).queue_id == warm
        assert (await play.claim(worker, warm=[OTHER.model])).queue_id == cold

    async def test_warmth_does_not_change_whose_turn_it_is(self, play, two, worker):
        first, second = two
        await play.queue(first)
        await play.claim(worker)
        await play.queue(first, request=OTHER)
        mine = await play.queue(second)
        assert (await play.claim(worker, warm=[OTHER.model])).queue_id == mine

    async def test_lanes_are_apart(self, yard, play, tenant):
        models = yard.catalog.models
        models["slow"] = models[OTHER.model].model_copy(update={"id": "slow", "lane": "slow"})
        queue_id = await play.queue(tenant, request=replace(OTHER, model="slow"))
        mine = await play.queue(tenant)
        usual, slow = await play.hire(), await play.hire("slow")
        assert (await play.claim(usual, warm=["slow"])).queue_id == mine
        assert await play.claim(usual, warm=["slow"]) is None
        assert (await play.claim(slow)).queue_id == queue_id


class TestVirtualTime:
    async def test_charged_when_work_starts(self, play, tenant, worker, virtual_us):
        for _ in range(3):
            await play.queue(tenant)
        assert await virtual_us(tenant) == 0
        await play.claim(worker)
        assert await virtual_us(tenant) == ESTIMATE_US

    async def test_nothing_for_what_never_started(self, yard, play, tenant, virtual_us):
        queue_ids = [await play.queue(tenant) for _ in range(3)]
        for queue_id in queue_ids:
            await generation.cancel(yard, tenant.account.id, queue_id)
        assert await virtual_us(tenant) == 0

    @pytest.mark.parametrize("end", ["finish", "fail"])
    async def test_the_measured_time_replaces_the_estimate(
        self, play, tenant, worker, virtual_us, pass_time, end
    ):
        claimed = await play.rendering(tenant, worker)
        await pass_time(100)
        await getattr(play, end)(worker, claimed)
        row = (
            await play.sql(
                "SELECT extract(epoch FROM finished_at - started_at) * 1000000 AS us"
                " FROM generations"
            )
        )[0]
        measured = await virtual_us(tenant)
        assert 100_000_000 <= measured < 130_000_000
        if end == "finish":
            assert measured == row["us"]

    async def test_over_the_weight(self, play, tenant, worker, virtual_us, pass_time):
        claimed = await play.rendering(tenant, worker, weight=4)
        assert await virtual_us(tenant) == ESTIMATE_US // 4
        await pass_time(100)
        await play.finish(worker, claimed)
        assert 25_000_000 <= await virtual_us(tenant) < 32_000_000

    async def test_a_vanished_workers_time_is_not_charged(
        self, yard, play, tenant, virtual_us, pass_time
    ):
        await play.rendering(tenant, await play.hire(own=True))
        await pass_time(100)
        assert await unfinished.release_own(yard, play.server) == 1
        assert await virtual_us(tenant) == 0

    async def test_absence_earns_nothing(self, play, two, worker, virtual_us):
        absent, busy = two
        await play.multiply(await play.queue(busy), 9)
        for _ in range(5):
            await play.claim(worker)
        await play.queue(absent)
        assert await virtual_us(absent) == 4 * ESTIMATE_US

    async def test_ones_own_time_is_kept(self, play, two, worker, virtual_us, pass_time):
        absent, busy = two
        claimed = await play.rendering(absent, worker)
        await pass_time(1000)
        await play.finish(worker, claimed)
        own = await virtual_us(absent)
        await play.rendering(busy, worker)
        await play.queue(absent)
        assert await virtual_us(absent) == own


class TestAtOnce:
    async def test_no_job_twice_and_every_claim_one(self, yard, play, two, worker):
        for tenant in two:
            await play.multiply(await play.queue(tenant), 19)
        claims = await asyncio.gather(*(play.claim(worker) for _ in range(40)))
        assert len({one.queue_id for one in claims}) == 40
        rows = await play.sql("SELECT DISTINCT state, attempt FROM generations")
        assert rows == [{"state": "rendering", "attempt": 1}]
        assert await play.claim(worker) is None
        assert (await upkeep.audit(yard)).in_order

    async def test_turns_are_kept(self, play, two, worker):
        greedy, modest = two
        await play.multiply(await play.queue(greedy), 99)
        await play.multiply(await play.queue(modest), 9)
        claims = await asyncio.gather(*(play.claim(worker) for _ in range(20)))
        rows = [await play.row(one.queue_id) for one in claims]
        assert Counter(row["account_id"] for row in rows)[modest.account.id] == 10
