"""The schema from nothing, once and only once."""

import asyncio

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from squero.store.migrate import migrate, migrations, pending

pytestmark = pytest.mark.anyio

TABLES = {
    "accounts", "balances", "clock", "generations", "idempotency", "keys", "lanes", "migrations",
    "shares", "transfers", "watch", "workers",
}  # fmt: skip
PARTIAL = {
    "generations_queue", "generations_queue_by_model", "generations_waiting", "generations_leases",
    "generations_kept", "generations_timings", "generations_of_worker", "shares_next",
    "shares_active",
}  # fmt: skip


@pytest.fixture
def empty_url(cluster, database_url):
    """A database without anything in it."""
    name = f"empty_{psycopg.conninfo.conninfo_to_dict(database_url)['dbname']}"
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield make_conninfo(cluster, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def names(url, query):
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute(query)}


class TestMigrate:
    async def test_from_nothing_and_not_again(self, empty_url):
        assert await pending(empty_url) == list(migrations())
        assert await migrate(empty_url) == list(migrations())
        assert await pending(empty_url) == []
        assert await migrate(empty_url) == []

    async def test_two_at_once(self, empty_url):
        done = await asyncio.gather(*(migrate(empty_url) for _ in range(2)))
        assert sorted(done) == [[], list(migrations())]

    def test_numbers_have_no_gaps(self):
        assert list(migrations()) == list(range(1, len(migrations()) + 1))


class TestSchema:
    def test_tables(self, database_url):
        found = names(
            database_url,
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT LIKE 'procrastinate%'",
        )
        assert found == TABLES

    def test_partial_indexes(self, database_url):
        found = names(
            database_url,
            "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
            " AND indexdef LIKE '% WHERE %' AND tablename NOT LIKE 'procrastinate%'",
        )
        assert found == PARTIAL

    def test_chores(self, database_url):
        assert names(database_url, "SELECT to_regclass('procrastinate_jobs')::text") == {
            "procrastinate_jobs"
        }

    @pytest.mark.parametrize("column", ["available_micros", "held_micros"])
    def test_no_balance_below_zero(self, database_url, column):
        with (
            psycopg.connect(database_url) as connection,
            pytest.raises(psycopg.errors.CheckViolation),
        ):
            connection.execute(
                "WITH a AS (INSERT INTO accounts (name, billing) VALUES ('a', 'prepaid')"
                f" RETURNING id) INSERT INTO balances (account_id, currency, {column})"
                " SELECT gen_random_uuid(), 'USD', -1 FROM a"
            )

    def test_the_clock_can_be_moved(self, database_url):
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE clock SET shift = '2 days'")
            (ahead,) = connection.execute("SELECT squero_now() - now()").fetchone()
        assert ahead.days == 2
