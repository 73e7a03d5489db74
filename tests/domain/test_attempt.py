"""A worker's verbs: fences and strikes."""

import pytest

from squero.domain import attempt, generation, upkeep
from squero.domain.ending import LOST_LEASES
from squero.domain.poll import Working
from squero.errors import InferenceFailed, InputRejected, StaleAttempt

pytestmark = pytest.mark.anyio

PRICE = 50_000


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
