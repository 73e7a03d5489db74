"""A worker's verbs and the clock's: fences, strikes, leases."""

import asyncio
from uuid import uuid4

import pytest

from squero.domain import attempt, generation, upkeep
from squero.domain.attempt import LONGEST_LOOK_SECONDS, LOST_LEASES
from squero.domain.poll import Working
from squero.errors import InferenceFailed, InputRejected, StaleAttempt

pytestmark = pytest.mark.anyio

PRICE = 50_000


@pytest.fixture
def look(yard, pass_time):
    """Reaps as the chore does, every two seconds, for so long; gives how many were lost."""

    async def look_for(seconds: int) -> int:
        lost = 0
        for _ in range(0, seconds, 2):
            await pass_time(2)
            lost += await attempt.reap(yard)
        return lost

    return look_for


@pytest.fixture
async def calm(yard, look):
    """The server has run for longer than a lease: nothing is hushed any more."""
    await look(2 * yard.settings.lease_seconds)


async def waits_for_a_lock(play):
    """Returns when somebody waits for a lane."""
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(10):
        while not await play.sql(waiting):
            await asyncio.sleep(0.01)


async def report_all(yard, worker, queue_id, number):
    """Everything a worker can say of an attempt; each must be refused."""
    of = (yard, worker, queue_id, number)
    with pytest.raises(StaleAttempt):
        await attempt.progress(*of, 0.5)
    with pytest.raises(StaleAttempt):
        await attempt.finish(*of)
    for kind in ("crash", "bad_input", "out_of_memory"):
        with pytest.raises(StaleAttempt):
            await attempt.fail(*of, kind, "words")
    with pytest.raises(StaleAttempt):
        await attempt.hand_back(*of)


class TestFence:
    async def test_an_attempt_that_another_has_followed(self, yard, play, tenant, worker):
        first = await play.rendering(tenant, worker)
        await play.fail(worker, first)
        second = await play.claim(worker)
        assert (first.attempt, second.attempt) == (1, 2)
        before = await play.world()
        await report_all(yard, worker, first.queue_id, first.attempt)
        with pytest.raises(StaleAttempt):
            await attempt.read(yard, worker, first.queue_id, first.attempt)
        assert await play.world() == before

    async def test_one_that_waits_again(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        await attempt.hand_back(yard, worker, claimed.queue_id, claimed.attempt)
        before = await play.world()
        await report_all(yard, worker, claimed.queue_id, claimed.attempt)
        assert await play.world() == before

    @pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
    async def test_one_that_is_over(self, yard, play, tenant, worker, end):
        claimed = await play.rendering(tenant, worker)
        if end == "completed":
            await play.finish(worker, claimed)
        elif end == "failed":
            await play.fail(worker, claimed, "bad_input")
        else:
            await generation.cancel(yard, tenant.account.id, claimed.queue_id)
        assert (await play.row(claimed.queue_id))["state"] == end
        before = await play.world()
        await report_all(yard, worker, claimed.queue_id, claimed.attempt)
        assert await play.world() == before

    async def test_another_workers_attempt(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        stranger = await play.hire()
        before = await play.world()
        await report_all(yard, stranger, claimed.queue_id, claimed.attempt)
        with pytest.raises(StaleAttempt):
            await attempt.read(yard, stranger, claimed.queue_id, claimed.attempt)
        assert await play.world() == before


class TestFail:
    async def test_three_crashes_and_no_more(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        for number in (1, 2, 3):
            assert claimed.attempt == number
            assert isinstance(await play.retrieve(tenant, claimed.queue_id), Working)
            assert await play.balance(tenant) == (1_000_000 - PRICE, PRICE)
            await play.fail(worker, claimed, "deadline" if number == 2 else "crash")
            claimed = await play.claim(worker) or claimed
        row = await play.row(claimed.queue_id)
        assert (row["state"], row["strikes"], row["attempt"]) == ("failed", 3, 3)
        assert (row["prompt"], row["wrapped_key"]) == (None, None)
        answers = []
        for _ in range(3):
            with pytest.raises(InferenceFailed) as told:
                await play.retrieve(tenant, claimed.queue_id)
            answers.append((told.value.status, told.value.message))
        assert set(answers) == {(500, "Inference processing failed")}
        assert await play.balance(tenant) == (1_000_000, 0)
        assert (await upkeep.audit(yard)).in_order

    async def test_bad_input_at_once(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        await play.fail(worker, claimed, "bad_input", "The picture is upside down")
        for _ in range(2):
            with pytest.raises(InputRejected, match="upside down") as told:
                await play.retrieve(tenant, claimed.queue_id)
            assert told.value.status == 422
        assert await play.claim(worker) is None
        assert await play.balance(tenant) == (1_000_000, 0)
        assert (await upkeep.audit(yard)).in_order

    async def test_out_of_memory_at_the_second(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        await play.fail(worker, claimed, "out_of_memory")
        claimed = await play.claim(worker)
        assert claimed.memory_failures == 1
        await play.fail(worker, claimed, "out_of_memory")
        with pytest.raises(InferenceFailed):
            await play.retrieve(tenant, claimed.queue_id)
        assert await play.balance(tenant) == (1_000_000, 0)

    async def test_a_hand_back_counts_nothing(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        for _ in range(LOST_LEASES + 2):
            await attempt.hand_back(yard, worker, claimed.queue_id, claimed.attempt)
            row = await play.row(claimed.queue_id)
            assert row["state"] == "queued"
            assert not row["strikes"] + row["lost_leases"] + row["memory_failures"]
            claimed = await play.claim(worker)
        assert (await play.sql("SELECT virtual_us FROM shares"))[0]["virtual_us"] == 2_000_000


class TestNote:
    async def test_comes_back_sealed(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        assert claimed.note is None
        note = "at the upstream as vidéo_77"
        await attempt.progress(yard, worker, claimed.queue_id, 1, 0.1, note)
        kept = (await play.row(claimed.queue_id))["note"]
        assert b"upstream" not in bytes(kept)
        assert len(kept) == len(note.encode()) + 28
        await play.fail(worker, claimed, "upstream")
        again = await attempt.claim(yard, worker, ())
        assert (again.claimed.attempt, again.note) == (2, note)
        assert (await play.row(claimed.queue_id))["strikes"] == 1

    async def test_survives_a_lost_lease(self, yard, play, tenant, worker, calm, look):
        claimed = await play.rendering(tenant, worker)
        await attempt.progress(yard, worker, claimed.queue_id, 1, 0.1, "first")
        await attempt.progress(yard, worker, claimed.queue_id, 1, 0.2, "second")
        await attempt.progress(yard, worker, claimed.queue_id, 1, 0.3)
        assert await look(10) == 1
        stranger = await play.hire()
        again = await attempt.claim(yard, stranger, ())
        assert again.note == "second"
        with pytest.raises(StaleAttempt):
            await attempt.progress(yard, worker, claimed.queue_id, 1, 0.4, "from the dead")
        await attempt.hand_back(yard, stranger, claimed.queue_id, 2)
        assert (await attempt.claim(yard, stranger, ())).note == "second"

    @pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
    async def test_goes_with_the_job(self, yard, play, tenant, worker, end):
        claimed = await play.rendering(tenant, worker)
        of = (yard, worker, claimed.queue_id, 1)
        await attempt.progress(*of, 0.1, "note")
        assert not await attempt.is_cancelled(*of)
        if end == "completed":
            await play.finish(worker, claimed)
        elif end == "failed":
            await play.fail(worker, claimed, "bad_input")
        else:
            await generation.cancel(yard, tenant.account.id, claimed.queue_id)
        assert (await play.row(claimed.queue_id))["note"] is None
        assert await attempt.is_cancelled(*of) == (end == "cancelled")
        assert not await attempt.is_cancelled(yard, await play.hire(), claimed.queue_id, 1)


class TestFinish:
    async def test_captures_once(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        await play.finish(worker, claimed)
        before = await play.world()
        with pytest.raises(StaleAttempt):
            await play.finish(worker, claimed)
        assert await play.world() == before
        assert await play.balance(tenant) == (1_000_000 - PRICE, 0)
        found = await upkeep.audit(yard)
        assert found.in_order
        assert found.totals[-1].revenue_micros == PRICE


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
        await attempt.reap(yard)
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
        await attempt.hush(yard)
        assert await look(yard.settings.lease_seconds - 2) == 0
        assert await look(2) == 1

    async def test_starts_over_and_over_keep_no_lease(self, yard, play, tenant, worker, look):
        """Another server starts every two seconds, for ever."""
        await play.rendering(tenant, worker)
        lost = 0
        for _ in range(0, 3 * yard.settings.lease_seconds, 2):
            await attempt.hush(yard)
            lost += await look(2)
        assert lost == 1

    async def test_a_later_start_is_quiet_again(self, yard, play, tenant, worker, look):
        await attempt.hush(yard)
        await look(2 * yard.settings.lease_seconds)
        await play.rendering(tenant, worker)
        await look(4)
        await attempt.hush(yard)
        assert await look(yard.settings.lease_seconds - 2) == 0

    async def test_nothing_for_one_lease_after_an_outage(
        self, yard, play, tenant, worker, look, pass_time
    ):
        await play.rendering(tenant, worker)
        await pass_time(1000)
        assert await attempt.reap(yard) == 0
        assert await look(yard.settings.lease_seconds - 2) == 0
        assert await look(2) == 1

    async def test_a_short_outage_is_one_too(self, yard, play, tenant, worker, look, pass_time):
        await play.rendering(tenant, worker)
        await look(2)
        await pass_time(LONGEST_LOOK_SECONDS + 1)
        assert await attempt.reap(yard) == 0

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
        assert await attempt.release_own(yard, play.server, mine.worker_id) == 1
        states = [(await play.row(one.queue_id))["state"] for one in (others, first, second)]
        assert states == ["rendering", "queued", "rendering"]
        assert await play.claim(mine) is None
        assert await attempt.release_own(yard, play.server) == 1
        assert (await play.row(second.queue_id))["state"] == "queued"
        assert (await play.row(others.queue_id))["state"] == "rendering"
        in_force = await play.sql("SELECT id FROM workers WHERE revoked_at IS NULL")
        assert [row["id"] for row in in_force] == [worker.worker_id]

    async def test_no_other_servers(self, yard, play, tenant):
        mine = await play.hire(own=True)
        await play.rendering(tenant, mine)
        assert await attempt.release_own(yard, uuid4()) == 0
        assert await attempt.release_own(yard, uuid4(), mine.worker_id) == 0
        assert len(await play.sql("SELECT 1 FROM workers WHERE revoked_at IS NULL")) == 1
        assert await attempt.release_own(yard, play.server) == 1

    async def test_leaves_no_heap_of_tokens(self, yard, play):
        for _ in range(3):
            await play.hire(own=True)
            await attempt.release_own(yard, play.server)
        assert await play.sql("SELECT 1 FROM workers") == []

    async def test_takes_back_what_a_claim_under_way_takes(self, yard, play, tenant, database_url):
        mine = await play.hire(own=True)
        queue_id = await play.queue(tenant)
        async with yard.database.transaction() as tx:
            await tx.run("generations.lock_lane", lane="default")
            releasing = play.beside(attempt.release_own(yard, play.server))
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
        assert await attempt.drop_gone(yard) == 1
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
        ended = await asyncio.gather(*[attempt.drop_gone(yard) for _ in range(3)])
        assert sum(ended) == 3
        assert await attempt.drop_gone(yard) == 0
        for one in (tenant, other):
            assert await play.balance(one) == (1_000_000, 0)
        assert (await upkeep.audit(yard)).in_order

    async def test_a_render_goes_on_but_does_not_wait_again(self, yard, play, tenant, worker, sql):
        claimed = await play.rendering(tenant, worker)
        await sql("UPDATE generations SET model = 'gone'")
        assert await attempt.drop_gone(yard) == 0
        await attempt.progress(yard, worker, claimed.queue_id, claimed.attempt, 0.5)
        await attempt.hand_back(yard, worker, claimed.queue_id, claimed.attempt)
        row = await play.row(claimed.queue_id)
        assert (row["state"], row["failure"]) == ("failed", "model_gone")
        assert await play.balance(tenant) == (1_000_000, 0)
        assert (await upkeep.audit(yard)).in_order


class TestClaim:
    @pytest.mark.parametrize("why", ["the model is gone", "the words do not open"])
    async def test_what_nobody_can_render_ends_and_the_next_has_its_turn(
        self, yard, play, tenant, worker, sql, why
    ):
        first, second = await play.queue(tenant), await play.queue(tenant)
        if why == "the model is gone":
            await sql("UPDATE generations SET model = 'gone' WHERE queue_id = %s", first)
        else:
            await sql("UPDATE generations SET prompt = 'x' WHERE queue_id = %s", first)
        claimed = await play.claim(worker)
        assert claimed.queue_id == second
        assert (await play.row(first))["state"] == "failed"
        assert await play.balance(tenant) == (1_000_000 - PRICE, PRICE)
        assert (await upkeep.audit(yard)).in_order

    async def test_a_job_whose_key_is_gone_fails(self, yard, play, tenant, worker):
        lost, good = await play.queue(tenant), await play.queue(tenant)
        await play.sql("UPDATE generations SET prompt = 'x' WHERE queue_id = %s", lost)
        claimed = await play.claim(worker)
        assert claimed.queue_id == good
        with pytest.raises(InferenceFailed):
            await play.retrieve(tenant, lost)
        assert await play.balance(tenant) == (1_000_000 - PRICE, PRICE)
        assert (await upkeep.audit(yard)).in_order

    async def test_of_an_empty_lane(self, play, worker):
        assert await play.claim(worker) is None
