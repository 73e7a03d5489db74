"""What nobody will finish: leases, the server's own dead workers, models that are gone."""

import asyncio
from uuid import uuid4

import pytest

from squero.domain import attempt, unfinished, upkeep
from squero.domain.ending import LOST_LEASES
from squero.domain.unfinished import LONGEST_LOOK_SECONDS
from squero.errors import InferenceFailed

pytestmark = pytest.mark.anyio

PRICE = 50_000


async def waits_for_a_lock(play):
    """Returns when somebody waits for a lane."""
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(10):
        while not await play.sql(waiting):
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("calm")
class TestReap:
    async def test_a_silent_workers_job_waits_again(self, yard, play, tenant, worker, look):
        claimed = await play.rendering(tenant, worker)
        assert await look(4) == 0
        assert await look(2) == 1
        again = await play.claim(await play.hire())
        assert (again.queue_id, again.attempt) == (claimed.queue_id, 2)
        row = await play.row(claimed.queue_id)
        assert (row["lost_leases"], row["strikes"]) == (1, 0)

    async def test_a_report_renews(self, yard, play, tenant, worker, look):
        claimed = await play.rendering(tenant, worker)
        for number in range(5):
            assert await look(4) == 0
            await attempt.progress(yard, worker, claimed.queue_id, 1, number / 10)
        assert (await play.row(claimed.queue_id))["state"] == "rendering"

    async def test_a_late_worker_renews(self, yard, play, tenant, worker, pass_time):
        claimed = await play.rendering(tenant, worker)
        await pass_time(1000)
        await attempt.progress(yard, worker, claimed.queue_id, 1, 0.5)
        await unfinished.reap(yard)
        assert (await play.row(claimed.queue_id))["state"] == "rendering"
        await play.finish(worker, claimed)

    async def test_ten_lost_leases_fail(self, yard, play, tenant, worker, look):
        await play.queue(tenant)
        for number in range(1, LOST_LEASES + 1):
            claimed = await play.claim(worker)
            assert claimed.attempt == number
            assert await look(yard.settings.lease_seconds + 2) == 1
        assert await play.claim(worker) is None
        with pytest.raises(InferenceFailed):
            await play.retrieve(tenant, claimed.queue_id)
        assert await play.balance(tenant) == (1_000_000, 0)
        assert (await upkeep.audit(yard)).in_order

    async def test_nothing_for_one_lease_after_a_start(self, yard, play, tenant, worker, look):
        await play.rendering(tenant, worker)
        await look(4)
        await unfinished.hush(yard)
        assert await look(yard.settings.lease_seconds - 2) == 0
        assert await look(2) == 1

    async def test_starts_over_and_over_keep_no_lease(self, yard, play, tenant, worker, look):
        """Another server starts every two seconds, for ever."""
        await play.rendering(tenant, worker)
        lost = 0
        for _ in range(0, 3 * yard.settings.lease_seconds, 2):
            await unfinished.hush(yard)
            lost += await look(2)
        assert lost == 1

    async def test_a_later_start_is_quiet_again(self, yard, play, tenant, worker, look):
        await unfinished.hush(yard)
        await look(2 * yard.settings.lease_seconds)
        await play.rendering(tenant, worker)
        await look(4)
        await unfinished.hush(yard)
        assert await look(yard.settings.lease_seconds - 2) == 0

    async def test_nothing_for_one_lease_after_an_outage(
        self, yard, play, tenant, worker, look, pass_time
    ):
        await play.rendering(tenant, worker)
        await pass_time(1000)
        assert await unfinished.reap(yard) == 0
        assert await look(yard.settings.lease_seconds - 2) == 0
        assert await look(2) == 1

    async def test_a_short_outage_is_one_too(self, yard, play, tenant, worker, look, pass_time):
        await play.rendering(tenant, worker)
        await look(2)
        await pass_time(LONGEST_LOOK_SECONDS + 1)
        assert await unfinished.reap(yard) == 0

    async def test_a_job_that_has_moved_on_is_left_alone(self, yard, play, tenant, worker, look):
        claimed = await play.rendering(tenant, worker)
        await play.finish(worker, claimed)
        before = await play.world()
        assert await look(20) == 0
        assert await play.world() == before


class TestReleaseOwn:
    async def test_own_workers_at_once_and_no_others(self, yard, play, tenant, worker):
        mine, other = await play.hire(own=True), await play.hire(own=True)
        others = await play.rendering(tenant, worker)
        first, second = await play.rendering(tenant, mine), await play.rendering(tenant, other)
        assert await unfinished.release_own(yard, play.server, mine.worker_id) == 1
        states = [(await play.row(one.queue_id))["state"] for one in (others, first, second)]
        assert states == ["rendering", "queued", "rendering"]
        assert await play.claim(mine) is None
        assert await unfinished.release_own(yard, play.server) == 1
        assert (await play.row(second.queue_id))["state"] == "queued"
        assert (await play.row(others.queue_id))["state"] == "rendering"
        in_force = await play.sql("SELECT id FROM workers WHERE revoked_at IS NULL")
        assert [row["id"] for row in in_force] == [worker.worker_id]

    async def test_no_other_servers(self, yard, play, tenant):
        mine = await play.hire(own=True)
        await play.rendering(tenant, mine)
        assert await unfinished.release_own(yard, uuid4()) == 0
        assert await unfinished.release_own(yard, uuid4(), mine.worker_id) == 0
        assert len(await play.sql("SELECT 1 FROM workers WHERE revoked_at IS NULL")) == 1
        assert await unfinished.release_own(yard, play.server) == 1

    async def test_leaves_no_heap_of_tokens(self, yard, play):
        for _ in range(3):
            await play.hire(own=True)
            await unfinished.release_own(yard, play.server)
        assert await play.sql("SELECT 1 FROM workers") == []

    async def test_takes_back_what_a_claim_under_way_takes(self, yard, play, tenant, database_url):
        mine = await play.hire(own=True)
        queue_id = await play.queue(tenant)
        async with yard.database.transaction() as tx:
            await tx.run("generations.lock_lane", lane="default")
            releasing = play.beside(unfinished.release_own(yard, play.server))
            await waits_for_a_lock(play)
            terms = {"lane": "default", "warm": [], "account_id": None, "seq": None}
            await tx.run("generations.claim", worker_id=mine.worker_id, lease_seconds=6, **terms)
        assert await releasing == 1
        assert (await play.row(queue_id))["state"] == "queued"
        assert await play.claim(mine) is None


class TestDropGone:
    @pytest.fixture
    async def gone(self, play, tenant, sql):
        """A job whose model has left the catalogue."""
        queue_id = await play.queue(tenant)
        await sql("UPDATE generations SET model = 'gone' WHERE queue_id = %s", queue_id)
        return queue_id

    async def test_ends_what_waits_for_a_model_that_is_gone(self, yard, play, tenant, worker, gone):
        stays = await play.queue(tenant)
        assert await unfinished.drop_gone(yard) == 1
        row = await play.row(gone)
        assert (row["state"], row["failure"]) == ("failed", "model_gone")
        assert row["wrapped_key"] is None
        assert play.stored(gone) == []
        assert await play.balance(tenant) == (1_000_000 - PRICE, PRICE)
        assert (await upkeep.audit(yard)).in_order
        assert (await play.claim(worker, troubles=["gone"])).queue_id == stays

    async def test_once_whoever_starts_at_the_same_time(self, yard, play, tenant, open_tenant, sql):
        other = await open_tenant(credit_micros=1_000_000)
        for one in (tenant, tenant, other):
            await play.queue(one)
        await sql("UPDATE generations SET model = 'gone ' || seq % 2")
        ended = await asyncio.gather(*[unfinished.drop_gone(yard) for _ in range(3)])
        assert sum(ended) == 3
        assert await unfinished.drop_gone(yard) == 0
        for one in (tenant, other):
            assert await play.balance(one) == (1_000_000, 0)
        assert (await upkeep.audit(yard)).in_order

    async def test_a_render_goes_on_but_does_not_wait_again(self, yard, play, tenant, worker, sql):
        claimed = await play.rendering(tenant, worker)
        await sql("UPDATE generations SET model = 'gone'")
        assert await unfinished.drop_gone(yard) == 0
        await attempt.progress(yard, worker, claimed.queue_id, claimed.attempt, 0.5)
        await attempt.hand_back(yard, worker, claimed.queue_id, claimed.attempt)
        row = await play.row(claimed.queue_id)
        assert (row["state"], row["failure"]) == ("failed", "model_gone")
        assert await play.balance(tenant) == (1_000_000, 0)
        assert (await upkeep.audit(yard)).in_order
