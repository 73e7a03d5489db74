"""News of jobs that are queued at the same time, told in one notice of each lane."""

import asyncio

import psycopg
import pytest

from squero.domain.news import heard

pytestmark = pytest.mark.anyio


async def test_told_together(yard):
    connection = await psycopg.AsyncConnection.connect(yard.database.url, autocommit=True)
    async with connection:
        await connection.execute("LISTEN squero_queued")
        told = await asyncio.gather(*map(yard.news.ask, ["a lane", "b", "a lane"]))
        assert told == [True, True, True]
        notices = [
            heard(notice.payload) async for notice in connection.notifies(timeout=30, stop_after=2)
        ]
    assert sorted(notices) == [("a lane", 2), ("b", 1)]
