"""How long a job waits: for what renders, for what waits before it, by those who work on it."""

import pytest
from psycopg import OperationalError

from squero.domain.video_request import VideoRequest

pytestmark = pytest.mark.anyio

LONG = VideoRequest("motion-text-to-video", "a lagoon", "10s", resolution="1080p")


class TestRemaining:
    async def test_waits_for_what_renders(self, play, open_tenant, pass_time):
        worker, one, other = await play.hire(), await open_tenant(), await open_tenant()
        await play.seen(worker)
        await play.queue(one, request=LONG)
        assert await play.claim(worker) is not None
        play.yard.outlook._lanes._known.clear()  # it may be a second old
        queue_id = await play.queue(other)
        poll = await play.retrieve(other, queue_id)
        row = await play.row(queue_id)
        long_ms = 18_000
        assert poll.position == 1
        assert poll.remaining_ms == pytest.approx(long_ms + row["estimate_us"] // 1000, abs=1500)
        assert poll.average_execution_ms == pytest.approx(poll.remaining_ms, abs=1500)

    async def test_a_busy_worker_counts(self, play, open_tenant, pass_time):
        busy, idle = await play.hire(), await play.hire()
        tenant = await open_tenant()
        await play.queue(tenant, request=LONG)
        assert await play.claim(busy) is not None
        await pass_time(120)
        await play.seen(idle)
        async with play.yard.database.reading() as tx:
            assert await tx.value("workers.serving", lane="default") == 2


class TestNews:
    async def test_that_cannot_be_told_lose_no_job(self, play, open_tenant, monkeypatch):
        tenant = await open_tenant()

        async def fail(lane: str) -> bool:
            raise OperationalError

        monkeypatch.setattr(play.yard.news, "ask", fail)
        queue_id = await play.queue(tenant)
        assert (await play.row(queue_id))["state"] == "queued"
