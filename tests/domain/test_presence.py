"""Which jobs a worker gets that cannot render every model, and who gets what failed elsewhere."""

import pytest

from squero.domain import attempt
from squero.domain.video_request import VideoRequest

from .conftest import TEXT

pytestmark = pytest.mark.anyio

OTHER = VideoRequest("wan-2.5-preview-text-to-video", "a lagoon", "5s", resolution="480p")


class TestTroubles:
    async def test_its_jobs_are_left_to_others(self, play, tenant, worker):
        first, second = await play.queue(tenant), await play.queue(tenant, request=OTHER)
        assert (await play.claim(worker, troubles=[TEXT.model])).queue_id == second
        assert await play.claim(worker, troubles=[TEXT.model]) is None
        assert (await play.claim(worker)).queue_id == first

    async def test_a_warm_model_among_them(self, play, tenant, worker):
        await play.queue(tenant)
        second = await play.queue(tenant, request=OTHER)
        claimed = await play.claim(worker, [TEXT.model], troubles=[TEXT.model])
        assert claimed.queue_id == second

    async def test_an_account_with_nothing_else_is_passed_over_and_not_charged(
        self, play, open_tenant, worker, sql
    ):
        one, two = await open_tenant(), await open_tenant()
        await play.queue(one)
        queue_id = await play.queue(two, request=OTHER)
        claimed = await play.claim(worker, troubles=[TEXT.model])
        assert claimed.queue_id == queue_id
        rows = await sql("SELECT virtual_us FROM shares WHERE account_id = %s", one.account.id)
        assert rows == [{"virtual_us": 0}]

    async def test_the_oldest_of_those_that_it_can(self, yard, play, tenant, worker):
        """Whatever the order in which the catalogue names them."""
        models = [model for model in yard.catalog.models if model != TEXT.model]
        queue_ids = []
        for model in (models[-1], models[0], models[-1]):
            await play.queue(tenant)
            queue_ids.append(await play.queue(tenant))
            await play.sql(
                "UPDATE generations SET model = %s WHERE queue_id = %s", model, queue_ids[-1]
            )
        claimed = [await play.claim(worker, troubles=[TEXT.model]) for _ in queue_ids]
        assert [one.queue_id for one in claimed] == queue_ids
        assert await play.claim(worker, troubles=[TEXT.model]) is None

    async def test_a_model_that_is_now_of_another_lane(
        self, yard, play, tenant, worker, monkeypatch
    ):
        queue_id = await play.queue(tenant)
        moved = yard.catalog.find(TEXT.model).model_copy(update={"lane": "other"})
        monkeypatch.setitem(yard.catalog.models, TEXT.model, moved)
        claimed = await play.claim(worker, troubles=[OTHER.model])
        assert claimed.queue_id == queue_id

    async def test_every_model(self, yard, play, tenant, worker):
        queue_id = await play.queue(tenant)
        assert await play.claim(worker, troubles=list(yard.catalog.models)) is None
        assert (await play.row(queue_id))["state"] == "queued"

    async def test_are_as_told_last(self, play, worker, sql):
        await play.seen(worker, "one", "two")
        await play.seen(worker, "two")
        rows = await sql("SELECT troubles FROM workers WHERE id = %s", worker.worker_id)
        assert rows == [{"troubles": {"two": "It has no GPU"}}]


class TestStruck:
    @pytest.fixture
    async def struck(self, play, tenant, worker):
        """A job that has just failed at the worker's hands."""
        claimed = await play.rendering(tenant, worker)
        await play.fail(worker, claimed)
        return claimed.queue_id

    async def test_is_anothers_where_there_is_one(self, play, struck, worker):
        other = await play.hire()
        await play.seen(other)
        assert await play.claim(worker) is None
        assert (await play.claim(other)).queue_id == struck

    async def test_does_not_keep_its_worker_from_others_jobs(
        self, play, struck, worker, open_tenant
    ):
        await play.seen(await play.hire())
        queue_id = await play.queue(await open_tenant())
        assert (await play.claim(worker)).queue_id == queue_id

    async def test_nor_from_those_of_its_own_account_that_it_can(
        self, play, struck, worker, tenant
    ):
        await play.seen(await play.hire())
        queue_id = await play.queue(tenant)
        assert (await play.claim(worker, troubles=[OTHER.model])).queue_id == queue_id
        assert await play.claim(worker, troubles=[OTHER.model]) is None

    async def test_nor_from_those_of_its_own_account(self, play, struck, worker, tenant):
        await play.seen(await play.hire())
        queue_id = await play.queue(tenant)
        assert (await play.claim(worker, [TEXT.model])).queue_id == queue_id

    @pytest.mark.parametrize("other", ["none", "unable", "elsewhere", "silent", "revoked"])
    async def test_is_its_own_where_there_is_none(
        self, play, struck, worker, other, pass_time, sql
    ):
        if other != "none":
            rival = await play.hire("other" if other == "elsewhere" else "default")
            await play.seen(rival, *[TEXT.model] * (other == "unable"))
        if other == "silent":
            await pass_time(61)
        if other == "revoked":
            await sql("UPDATE workers SET revoked_at = now() WHERE id = %s", rival.worker_id)
        assert (await play.claim(worker)).queue_id == struck

    async def test_is_its_own_after_a_minute(self, play, struck, worker, pass_time):
        await pass_time(61)
        await play.seen(await play.hire())
        assert (await play.claim(worker)).queue_id == struck


class TestBegins:
    async def test_a_render_that_waited_is_measured_from_its_beginning(
        self, yard, play, tenant, worker, pass_time
    ):
        claimed = await play.rendering(tenant, worker)
        who = (yard, worker, claimed.queue_id, claimed.attempt)
        await pass_time(100)
        await attempt.progress(*who, 0.0, begins=True)
        await pass_time(5)
        await attempt.progress(*who, 0.5)
        await attempt.progress(*who, 0.5, begins=True)  # too late: it has progressed
        await play.finish(worker, claimed)
        assert 5e6 <= (await play.row(claimed.queue_id))["render_us"] < 50e6
