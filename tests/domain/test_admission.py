"""Admission: lanes that nobody serves, queues that are full, a disk that is."""

import asyncio

import pytest

from squero.domain import admission, attempt, inputs
from squero.domain.admission import OFFLINE_SECONDS
from squero.domain.video_request import VideoRequest
from squero.errors import AtCapacity, InsufficientBalance, ModelOffline, TooManyQueued

pytestmark = pytest.mark.anyio

PICTURE = VideoRequest("motion-image-to-video", "p", "5s", media={"image_url": "https://a.test/"})


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"queued_per_account": 3, "lane_queue_limit": 5})


@pytest.fixture
def model(yard):
    return yard.catalog.find("motion-text-to-video")


@pytest.fixture
def long_since(monkeypatch):
    """As if the server had been up for long, and had looked at nothing yet."""

    def begin(yard, seconds=OFFLINE_SECONDS + 1):
        yard.admission.reset()
        yard.admission._began_at -= seconds

    return begin


class TestOffline:
    async def test_only_after_a_while(self, yard, model, long_since):
        long_since(yard, OFFLINE_SECONDS - 10)
        await yard.admission.check_lane(model)
        long_since(yard)
        with pytest.raises(ModelOffline):
            await yard.admission.check_lane(model)
        assert await yard.admission.offline(model)

    async def test_while_a_worker_asks(self, yard, play, model, long_since, worker, pass_time):
        await play.seen(worker)
        await pass_time(OFFLINE_SECONDS - 1)
        long_since(yard)
        assert not await yard.admission.offline(model)
        await pass_time(2)
        long_since(yard)
        assert await yard.admission.offline(model)

    async def test_while_a_worker_renders(self, yard, play, model, tenant, long_since, worker):
        claimed = await play.rendering(tenant, worker)
        long_since(yard)
        assert not await yard.admission.offline(model)
        await attempt.hand_back(yard, worker, claimed.queue_id, claimed.attempt)
        long_since(yard)
        assert await yard.admission.offline(model)

    async def test_of_another_lane(self, yard, play, model, long_since):
        other = await play.hire("other")
        await play.seen(other)
        long_since(yard)
        assert await yard.admission.offline(model)

    async def test_a_model_that_no_worker_can_render(self, yard, play, model, worker):
        await play.seen(worker, model.id)
        yard.admission.reset()
        with pytest.raises(ModelOffline):
            await yard.admission.check_lane(model)
        other = await play.hire()
        await play.seen(other, "another")
        yard.admission.reset()
        await yard.admission.check_lane(model)

    async def test_nor_can_one_that_was_seen_too_long_ago(
        self, yard, play, model, worker, pass_time
    ):
        await play.seen(await play.hire())
        await pass_time(OFFLINE_SECONDS + 1)
        await play.seen(worker, model.id)
        yard.admission.reset()
        assert await yard.admission.offline(model)

    async def test_queues_nothing(self, yard, play, tenant, long_since):
        before = await play.world()
        long_since(yard)
        with pytest.raises(ModelOffline):
            await play.queue(tenant)
        assert await play.world() == before


class TestAccount:
    async def test_of_fifty_at_once_no_more_than_may_wait(self, yard, play, open_tenant):
        tenant = await open_tenant()
        yard.admission._settings = yard.settings.model_copy(update={"lane_queue_limit": None})
        answers = await asyncio.gather(
            *(play.queue(tenant) for _ in range(50)), return_exceptions=True
        )
        assert sum(isinstance(one, TooManyQueued) for one in answers) == 47
        assert len(await play.sql("SELECT 1 FROM generations")) == 3
        assert len(await play.sql("SELECT 1 FROM transfers")) == 3

    async def test_others_and_what_renders_do_not_count(self, play, open_tenant, tenant, worker):
        for _ in range(3):
            await play.queue(tenant)
        with pytest.raises(TooManyQueued):
            await play.queue(tenant)
        await play.claim(worker)
        await play.queue(tenant)
        await play.queue(await open_tenant())

    async def test_before_anything_is_fetched(self, play, tenant, monkeypatch):
        for _ in range(3):
            await play.queue(tenant)

        def sealed(*_):
            raise AssertionError("the media was asked for")

        monkeypatch.setattr(inputs, "sealed", sealed)
        with pytest.raises(TooManyQueued):
            await play.queue(tenant, request=PICTURE)

    async def test_that_cannot_pay(self, play, open_tenant, monkeypatch):
        poor = await open_tenant(credit_micros=1)

        def sealed(*_):
            raise AssertionError("the media was asked for")

        monkeypatch.setattr(inputs, "sealed", sealed)
        before = await play.world()
        with pytest.raises(InsufficientBalance):
            await play.queue(poor, request=PICTURE)
        assert await play.world() == before

    async def test_that_can_or_need_not(self, yard, open_tenant):
        model = yard.catalog.find(PICTURE.model)
        for credit, price in ((5, 5), (None, 10**12)):
            tenant = await open_tenant(credit_micros=credit)
            await yard.admission.check_account(tenant.account.id, model, price)


class TestLane:
    async def test_of_a_full_one(self, yard, play, open_tenant):
        tenants = [await open_tenant() for _ in range(2)]
        for number in range(5):
            await play.queue(tenants[number % 2])
        yard.admission.reset()
        before = await play.world()
        with pytest.raises(AtCapacity):
            await play.queue(tenants[1])
        assert await play.world() == before


class TestDisk:
    async def test_that_is_full(self, yard, monkeypatch):
        await yard.admission.check_disk()
        monkeypatch.setattr(admission, "_free_bytes", lambda _: yard.settings.min_free_bytes - 1)
        yard.admission.reset()
        with pytest.raises(AtCapacity):
            await yard.admission.check_disk()
        monkeypatch.setattr(admission, "_free_bytes", lambda _: yard.settings.min_free_bytes)
        yard.admission.reset()
        await yard.admission.check_disk()
