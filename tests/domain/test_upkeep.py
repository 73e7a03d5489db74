"""Upkeep: what has expired goes, what was left over is swept."""

import os
from datetime import timedelta
from uuid import uuid4

import pytest

from squero.domain import upkeep
from squero.errors import MediaNotFound

pytestmark = pytest.mark.anyio


@pytest.fixture
def age(yard):
    """Makes every object of a generation two hours old."""

    def make(queue_id) -> None:
        for name in yard.folder.names(f"generations/{queue_id}"):
            path = yard.settings.home / "media" / name
            old = path.stat().st_mtime - 7200
            os.utime(path, (old, old))

    return make


class TestExpire:
    async def test_after_the_retention(self, yard, play, tenant, worker, pass_time):
        claimed = await play.rendering(tenant, worker)
        play.seal_result(claimed)
        await play.finish(worker, claimed)
        await pass_time(yard.settings.retention_hours * 3600 - 60)
        assert await upkeep.expire(yard) == 0
        assert play.stored(claimed.queue_id)
        await pass_time(61)
        assert await upkeep.expire(yard) == 1
        assert play.stored(claimed.queue_id) == []
        assert (await play.row(claimed.queue_id))["wrapped_key"] is None
        for _ in range(2):
            with pytest.raises(MediaNotFound):
                await play.retrieve(tenant, claimed.queue_id)
        assert await upkeep.expire(yard) == 0
        assert (await upkeep.audit(yard)).in_order


class TestSweep:
    async def test_orphans_only(self, yard, play, tenant, worker, age):
        done, rendering = await play.rendering(tenant, worker), None
        play.seal_result(done)
        await play.finish(worker, done)
        rendering = await play.rendering(tenant, worker)
        queued, orphan = await play.queue(tenant), uuid4()
        for queue_id in (done.queue_id, rendering.queue_id, queued, orphan):
            play.store(f"generations/{queue_id}/input/image")
            age(queue_id)
        assert await upkeep.sweep(yard) == 2
        assert play.stored(orphan) == []
        assert play.stored(done.queue_id) == [f"generations/{done.queue_id}/result/1"]
        for kept in (rendering.queue_id, queued):
            assert play.stored(kept) == [f"generations/{kept}/input/image"]
        assert await upkeep.sweep(yard) == 0

    async def test_the_inputs_of_a_call_that_is_being_made_stay(self, yard, play):
        young = uuid4()
        play.store(f"generations/{young}/input/image")
        assert await upkeep.sweep(yard) == 0
        assert play.stored(young)

    async def test_what_a_late_upload_left(self, yard, play, tenant, worker, age):
        claimed = await play.rendering(tenant, worker)
        await play.fail(worker, claimed, "bad_input")
        play.seal_result(claimed)
        age(claimed.queue_id)
        assert await upkeep.sweep(yard) == 1
        assert play.stored(claimed.queue_id) == []

    @pytest.mark.parametrize(
        "name", ["README", "not-an-id/input/image", "A B/c", "{young}/Odd Name", "{old}/x/y/z/w"]
    )
    async def test_what_is_not_ours_stops_nothing(self, yard, play, age, name):
        old, young = uuid4(), uuid4()
        for queue_id in (old, young):
            play.store(f"generations/{queue_id}/input/image")
        age(old)
        odd = yard.settings.home / "media/generations" / name.format(young=young, old=old)
        odd.parent.mkdir(parents=True, exist_ok=True)
        odd.write_bytes(b"")
        os.utime(odd, (0, 0))
        assert await upkeep.sweep(yard) == 1
        assert play.stored(old) == []
        assert f"generations/{young}/input/image" in play.stored(young)


class TestForgetDays:
    async def test_only_days_that_nothing_can_need(self, yard, play, tenant, worker, pass_time):
        claimed = await play.rendering(tenant, worker)
        today = tenant.caller.today
        assert await upkeep.forget_days(yard) == 0
        await pass_time(3 * 24 * 3600)
        assert await upkeep.forget_days(yard) == 0
        yard.keyring.unwrap(claimed.wrapped_key, today)
        await pass_time(4 * 24 * 3600)
        yard.keyring.wrap(b"k" * 32, today + timedelta(days=7))
        assert await upkeep.forget_days(yard) == 1
        assert list(yard.folder.names("keys")) == [f"keys/{today + timedelta(days=7)}"]
