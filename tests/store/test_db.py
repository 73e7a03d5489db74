"""Transactions and the named statements in them."""

from datetime import date

import psycopg
import pytest

from squero.store.db import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url):
    """A pool on the test's own database."""
    opened = Database(database_url, connections=2)
    await opened.open()
    yield opened
    await opened.close()


async def create(tx, name):
    """An account of this name, or None when it is taken."""
    terms = {"billing": "prepaid", "weight": 1, "cap": None}
    return await tx.one(dict, "accounts.create", name=name, **terms)


class TestTx:
    async def test_one(self, database):
        async with database.reading() as tx:
            account = await create(tx, "a")
            assert account["name"] == "a"
            assert await create(tx, "a") is None

    async def test_all(self, database):
        async with database.reading() as tx:
            assert await tx.all(dict, "generations.lost") == []

    async def test_value(self, database):
        async with database.reading() as tx:
            assert isinstance(await tx.value("session.today"), date)
            assert await tx.value("workers.create", name="w", lane="l", hash=b"h", server=None)
            assert (
                await tx.value(
                    "generations.renew",
                    **dict.fromkeys(
                        (
                            "queue_id",
                            "attempt",
                            "worker_id",
                            "progress",
                            "note",
                            "begins",
                            "lease_seconds",
                        )
                    ),
                )
                is None
            )

    async def test_run_counts_rows(self, database):
        async with database.reading() as tx:
            account = await create(tx, "a")
            values = {"account_id": account["id"], "currency": "USD"}
            assert await tx.run("accounts.open_balance", **values) == 1
            assert await tx.run("accounts.open_balance", **values) == 0


class TestTransaction:
    async def test_whole(self, database):
        async with database.transaction() as tx:
            await create(tx, "a")
        async with database.reading() as tx:
            assert await tx.one(dict, "accounts.find", name="a")

    async def test_or_not_at_all(self, database):
        with pytest.raises(ZeroDivisionError):
            async with database.transaction() as tx:
                await create(tx, "a")
                raise ZeroDivisionError
        async with database.reading() as tx:
            assert await tx.one(dict, "accounts.find", name="a") is None

    async def test_a_snapshot_does_not_change(self, database):
        async with database.snapshot() as before:
            assert (await before.one(dict, "ledger.totals"))["balances"] == 0
            async with database.transaction() as tx:
                account = await create(tx, "a")
                await tx.run("accounts.open_balance", account_id=account["id"], currency="USD")
            assert (await before.one(dict, "ledger.totals"))["balances"] == 0

    async def test_a_snapshot_only_reads(self, database):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            async with database.snapshot() as tx:
                await create(tx, "a")

    async def test_a_broken_connection_is_replaced(self, database):
        with pytest.raises(psycopg.OperationalError):
            async with database.reading() as tx:
                await tx._connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        async with database.reading() as tx:
            assert await tx.value("session.ping") == 1
