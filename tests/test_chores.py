"""The chores, done by Procrastinate on the house's own schedule."""

import asyncio

import psycopg
import pytest
from psycopg import OperationalError

from squero import app
from squero.api.house import House
from squero.domain import attempt, generation, keys, unfinished
from squero.domain.keys import Worker
from squero.domain.news import heard
from squero.domain.video_request import VideoRequest
from squero.domain.yard import Yard
from squero.settings import Settings

pytestmark = pytest.mark.anyio

TEXT = VideoRequest("motion-text-to-video", "a lagoon", "5s", resolution="480p")


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path / "home", lease_seconds=2)


async def claimed(yard: Yard, tenant) -> attempt.Claimed:
    await generation.queue(yard, tenant.caller, TEXT, None)
    async with yard.database.transaction() as tx:
        worker_id, _ = await keys.create_worker(tx, yard.keyring, "silent", "default")
    found = await attempt.claim(yard, Worker(worker_id, "default", False, "silent"), [])
    assert found is not None
    return found.claimed


async def test_a_silent_worker_loses_its_job(house: House, yard: Yard, open_tenant) -> None:
    tenant = await open_tenant()
    connection = await psycopg.AsyncConnection.connect(yard.database.url, autocommit=True)
    async with connection:
        job = await claimed(yard, tenant)
        await connection.execute("LISTEN squero_queued")
        async for notice in connection.notifies(timeout=30):
            assert heard(notice.payload) == ("default", 1)
            break
    poll = await generation.retrieve(yard, tenant.caller, TEXT.model, str(job.queue_id))
    assert isinstance(poll, generation.Working)
    assert poll.position == 1


async def test_a_start_ends_what_waits_for_a_model_that_is_gone(yard: Yard, open_tenant) -> None:
    tenant = await open_tenant()
    queued = await generation.queue(yard, tenant.caller, TEXT, None)
    del yard.catalog.models[TEXT.model]
    async with app.open_house(yard, 0), yard.database.reading() as tx, asyncio.timeout(10):
        while await tx.values("generations.gone", models=list(yard.catalog.models)):
            await asyncio.sleep(0.01)
    async with await psycopg.AsyncConnection.connect(yard.database.url) as connection:
        found = "SELECT failure FROM generations WHERE queue_id = %s"
        row = await (await connection.execute(found, (queued.queue_id,))).fetchone()
    assert row == ("model_gone",)


async def test_a_start_waits_for_none_of_it(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_AGAIN_SECONDS", 0.0)
    begun, tries = asyncio.Event(), 0

    async def drop_gone(_: Yard) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OperationalError
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(unfinished, "drop_gone", drop_gone)
    async with asyncio.timeout(10), app.open_house(yard, 0):
        await begun.wait()
    assert tries == 2


async def test_work_that_fails_begins_again(monkeypatch) -> None:
    monkeypatch.setattr(app, "_AGAIN_SECONDS", 0.0)
    again = asyncio.Event()
    tries: list[int] = []

    async def work() -> None:
        tries.append(1)
        if len(tries) == 3:
            again.set()
            await asyncio.Event().wait()
        raise ValueError("what a customer wrote")

    task = asyncio.create_task(app._keep_up("test", work))
    await asyncio.wait_for(again.wait(), 5)
    task.cancel()
