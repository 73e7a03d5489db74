"""Notifications, and the news that some may have been missed."""

import asyncio
from contextlib import aclosing

import psycopg
import pytest

from squero.store.listen import Notice, listen

pytestmark = pytest.mark.anyio


async def execute(url, text):
    """One statement on a connection of its own."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(text)


async def following(notices):
    async with asyncio.timeout(30):
        return await anext(notices)


async def test_first_that_it_is_new_then_what_is_said(database_url):
    async with aclosing(listen(database_url, ["one", "two"])) as notices:
        assert await following(notices) == Notice(None)
        await execute(database_url, "NOTIFY other, 'x'")
        await execute(database_url, "NOTIFY two, 'y'")
        await execute(database_url, "NOTIFY one")
        assert await following(notices) == Notice("two", "y")
        assert await following(notices) == Notice("one")


async def test_says_when_the_database_goes(database_url):
    async with aclosing(listen(database_url, ["one"])) as notices:
        assert await following(notices) == Notice(None)
        await execute(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        with pytest.raises(psycopg.OperationalError):
            await following(notices)
