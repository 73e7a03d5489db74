"""A customer's verbs."""

import asyncio
import json
from uuid import uuid4

import pytest
from psycopg.errors import DeadlockDetected

from squero.domain import generation, unfinished, upkeep
from squero.domain.poll import Video, Working
from squero.domain.video_request import VideoRequest
from squero.errors import (
    InputRejected,
    InsufficientBalance,
    MediaNotFound,
    QueuedTooLong,
    RequestNotFound,
)

pytestmark = pytest.mark.anyio

TEXT = VideoRequest("motion-text-to-video", "a lagoon", "5s", resolution="480p")
PRICE = 50_000


class TestQueue:
    async def test_holds_the_quoted_price(self, yard, play, tenant):
        price = await generation.quote(yard, TEXT)
        queued = await generation.queue(yard, tenant.caller, TEXT, None)
        assert queued.model == TEXT.model
        assert not queued.replayed
        assert price == PRICE
        assert await play.balance(tenant) == (1_000_000 - PRICE, PRICE)

    async def test_of_fifty_at_once_only_what_is_paid_for(self, yard, play, open_tenant):
        tenant = await open_tenant(credit_micros=3 * PRICE + PRICE - 1)
        answers = await asyncio.gather(
            *(play.queue(tenant) for _ in range(50)), return_exceptions=True
        )
        refused = [one for one in answers if isinstance(one, InsufficientBalance)]
        assert len(refused) == 47
        assert len({one for one in answers if one not in refused}) == 3
        assert await play.balance(tenant) == (PRICE - 1, 3 * PRICE)
        assert len(await play.sql("SELECT 1 FROM generations")) == 3
        assert (await upkeep.audit(yard)).in_order

    async def test_refused_leaves_nothing_but_an_empty_share(self, play, open_tenant):
        tenant = await open_tenant(credit_micros=PRICE - 1)
        with pytest.raises(InsufficientBalance):
            await play.queue(tenant, key="k")
        (share,) = await play.sql("SELECT queued, running, waiting_us, virtual_us FROM shares")
        assert set(share.values()) == {0}
        before = await play.world()
        with pytest.raises(InsufficientBalance):
            await play.queue(tenant, key="k")
        assert await play.world() == before
        assert not await play.sql("SELECT 1 FROM idempotency")

    async def test_an_unmetered_account_pays_nothing(self, yard, play, open_tenant, worker):
        tenant = await open_tenant()
        claimed = await play.rendering(tenant, worker)
        assert await play.balance(tenant) == (0, PRICE)
        await play.finish(worker, claimed)
        queue_id = await play.queue(tenant)
        assert await generation.cancel(yard, tenant.account.id, queue_id)
        assert await play.balance(tenant) == (0, 0)
        assert (await upkeep.audit(yard)).in_order

    async def test_the_prompt_is_sealed(self, play, tenant):
        row = await play.row(await play.queue(tenant))
        assert "lagoon" not in json.dumps(row, default=str)
        assert b"lagoon" not in row["prompt"]


class TestRetrieve:
    async def test_counts_the_place_in_the_queue(self, play, tenant):
        queue_ids = [await play.queue(tenant) for _ in range(3)]
        states = [await play.retrieve(tenant, queue_id) for queue_id in queue_ids]
        assert [state.position for state in states] == [1, 2, 3]

    async def test_rendering_has_no_place(self, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        state = await play.retrieve(tenant, claimed.queue_id)
        assert isinstance(state, Working)
        assert state.position is None

    async def test_gives_the_video(self, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        play.seal_result(claimed, b"the video")
        await play.finish(worker, claimed)
        for _ in range(2):
            video = await play.retrieve(tenant, claimed.queue_id)
            assert isinstance(video, Video)
            with video.file:
                assert video.reader.read(100) == b"the video"

    async def test_waited_too_long(self, yard, play, tenant, pass_time):
        early = await play.queue(tenant)
        await pass_time(yard.settings.queue_hours * 3600 - 60)
        late = await play.queue(tenant)
        assert await unfinished.give_up(yard) == 0
        await pass_time(61)
        assert await unfinished.give_up(yard) == 1
        for _ in range(2):
            with pytest.raises(QueuedTooLong) as told:
                await play.retrieve(tenant, early)
            assert told.value.status == 503
        assert isinstance(await play.retrieve(tenant, late), Working)
        assert await play.balance(tenant) == (1_000_000 - PRICE, PRICE)
        assert (await upkeep.audit(yard)).in_order


class TestForeign:
    @pytest.mark.parametrize("whose", ["foreign", "unknown", "other model", "no uuid"])
    async def test_is_not_found_by_any_verb(self, yard, play, tenant, open_tenant, whose):
        queue_id = await play.queue(tenant)
        caller = (await open_tenant()).caller if whose == "foreign" else tenant.caller
        model = "motion-image-to-video" if whose == "other model" else TEXT.model
        named = {"unknown": str(uuid4()), "no uuid": "1"}.get(whose, str(queue_id))
        before = await play.world()
        for verb in (generation.retrieve, generation.complete):
            with pytest.raises(RequestNotFound):
                await verb(yard, caller, model, named)
        if whose in ("foreign", "unknown"):
            known = uuid4() if whose == "unknown" else queue_id
            with pytest.raises(RequestNotFound):
                await generation.cancel(yard, caller.account_id, known)
        assert await play.world() == before


class TestComplete:
    async def test_deletes_the_bytes_and_the_key(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        play.seal_result(claimed)
        await play.finish(worker, claimed)
        named = (yard, tenant.caller, TEXT.model, str(claimed.queue_id))
        assert await generation.complete(*named)
        assert play.stored(claimed.queue_id) == []
        row = await play.row(claimed.queue_id)
        assert (row["media"], row["wrapped_key"], row["prompt"]) == ("deleted", None, None)
        with pytest.raises(MediaNotFound):
            await generation.retrieve(*named)
        assert await generation.complete(*named)

    async def test_does_not_cancel(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        queue_id = await play.queue(tenant)
        before = await play.world()
        for job in (claimed.queue_id, queue_id):
            assert not await generation.complete(yard, tenant.caller, TEXT.model, str(job))
        assert await play.world() == before


class TestCancel:
    async def test_while_it_waits(self, yard, play, tenant):
        queue_id = await play.queue(tenant)
        assert await generation.cancel(yard, tenant.account.id, queue_id)
        assert await play.balance(tenant) == (1_000_000, 0)
        share = (await play.sql("SELECT * FROM shares"))[0]
        assert (share["queued"], share["waiting_us"], share["virtual_us"]) == (0, 0, 0)
        for _ in range(2):
            with pytest.raises(InputRejected, match="cancelled"):
                await play.retrieve(tenant, queue_id)
        assert not await generation.cancel(yard, tenant.account.id, queue_id)
        assert (await upkeep.audit(yard)).in_order

    async def test_while_it_renders(self, yard, play, tenant, worker, pass_time):
        claimed = await play.rendering(tenant, worker)
        await pass_time(100)
        assert await generation.cancel(yard, tenant.account.id, claimed.queue_id)
        assert await play.balance(tenant) == (1_000_000, 0)
        share = (await play.sql("SELECT * FROM shares"))[0]
        assert share["running"] == 0
        assert share["virtual_us"] >= 100_000_000
        assert (await upkeep.audit(yard)).in_order

    async def test_too_late(self, yard, play, tenant, worker):
        claimed = await play.rendering(tenant, worker)
        await play.finish(worker, claimed)
        before = await play.world()
        assert not await generation.cancel(yard, tenant.account.id, claimed.queue_id)
        assert await play.world() == before


async def test_a_deadlock_is_tried_again(yard, play, tenant, monkeypatch):
    takes = [generation._take]

    async def take(*arguments):
        if len(takes) == 1:
            takes.append(take)
            raise DeadlockDetected
        await takes[0](*arguments)

    monkeypatch.setattr(generation, "_take", take)
    await play.queue(tenant)
    assert len(takes) == 2
    assert (await upkeep.audit(yard)).in_order
