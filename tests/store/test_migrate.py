"""The schema from nothing, once and only once."""

import asyncio

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from squero.store.migrate import SchemaForeign, checksum, migrate, migrations, pending

pytestmark = pytest.mark.anyio

TABLES = {
    "accounts", "balances", "clock", "generations", "idempotency", "keys", "lanes", "migrations",
    "refusals", "shares", "spending", "transfers", "upstream_prices", "watch", "workers",
}  # fmt: skip
PARTIAL = {
    "generations_queue", "generations_queue_by_model", "generations_waiting", "generations_leases",
    "generations_kept", "generations_timings", "generations_of_worker", "shares_next",
    "generations_struck", "shares_active", "transfers_of_key", "workers_of_server",
}  # fmt: skip

RELEASED = {
    1: "2ef3cf01cbea0e399174eafc40e7d8f58f022268c69eefbe373def59542475f5",
    2: "0055cc9de48567ea3657ea979386be127c29ec0b92a6c16b696ce31a9c31b96a",
    3: "0f0e04dff99e32103bd1b7f4d61fec5cc1826e337c8d468c37209265086ce015",
    4: "9a974e3c7ea604a1a212c76bc802f0ce9cb614b9b18c438d087076ea19409b70",
}
# Holds of an account by one key: 1 that was released; 4 that is held; 8 of long ago, captured.
BOOKS_OF_THE_SECOND = """
INSERT INTO accounts (name, billing) VALUES ('marina', 'prepaid');
INSERT INTO keys (account_id, type, hash, last6, description)
    SELECT id, 'INFERENCE', '', '', '' FROM accounts;
INSERT INTO balances (account_id, currency, held_micros) SELECT id, 'USD', 4 FROM accounts;
CREATE TEMPORARY TABLE jobs AS
    SELECT gen_random_uuid() AS queue_id, micros, made, settled FROM (VALUES
        (1, now(), 'available'), (4, now(), NULL), (8, now() - interval '100 days', 'revenue')
    ) AS jobs (micros, made, settled);
INSERT INTO transfers (id, account_id, currency, from_book, to_book, amount_micros, queue_id,
                       key_id, created_at)
    SELECT 'hold:' || queue_id, account_id, 'USD', 'available', 'held', micros, queue_id, id, made
    FROM jobs, keys
    UNION ALL
    SELECT 'settle:' || queue_id, account_id, 'USD', 'held', settled, micros, queue_id, id, made
    FROM jobs, keys WHERE settled IS NOT NULL;
"""
SCHEMA = (
    "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default,"
    " is_identity FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "SELECT proname, pg_get_functiondef(oid) FROM pg_proc"
    " WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger"
    " WHERE NOT tgisinternal ORDER BY 1, 2",
)


@pytest.fixture
def empty_url(cluster, database_url):
    """A database without anything in it."""
    name = f"empty_{psycopg.conninfo.conninfo_to_dict(database_url)['dbname']}"
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield make_conninfo(cluster, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def schema(url):
    """Every column, constraint, index and function of the database."""
    with psycopg.connect(url) as connection:
        return [connection.execute(query).fetchall() for query in SCHEMA]


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

    async def test_refuses_a_changed_one(self, empty_url, monkeypatch):
        await migrate(empty_url)
        changed = migrations() | {1: migrations()[1] + "-- a word"}
        monkeypatch.setattr("squero.store.migrate.migrations", lambda: changed)
        for verb in (migrate, pending):
            with pytest.raises(SchemaForeign, match="another migration 1 "):
                await verb(empty_url)

    async def test_refuses_one_of_a_newer_squero(self, empty_url, monkeypatch):
        await migrate(empty_url)
        older = dict(list(migrations().items())[:-1])
        monkeypatch.setattr("squero.store.migrate.migrations", lambda: older)
        for verb in (migrate, pending):
            with pytest.raises(SchemaForeign, match="newer Squero"):
                await verb(empty_url)

    async def test_refuses_a_database_from_before_checksums(self, empty_url):
        await migrate(empty_url)
        with psycopg.connect(empty_url) as connection:
            connection.execute("ALTER TABLE migrations DROP COLUMN checksum")
        for verb in (migrate, pending):
            with pytest.raises(SchemaForeign, match="another migration 1 "):
                await verb(empty_url)

    async def test_one_by_one_is_the_same_as_all_at_once(
        self, empty_url, database_url, monkeypatch
    ):
        every, applied = migrations(), {}
        monkeypatch.setattr("squero.store.migrate.migrations", lambda: dict(applied))
        for number, sql in every.items():
            applied[number] = sql
            assert await migrate(empty_url) == [number]
        assert schema(empty_url) == schema(database_url)

    async def test_the_third_counts_what_keys_have_spent(self, empty_url, monkeypatch):
        every = migrations()
        monkeypatch.setattr("squero.store.migrate.migrations", lambda: {1: every[1], 2: every[2]})
        await migrate(empty_url)
        with psycopg.connect(empty_url) as connection:
            connection.execute(BOOKS_OF_THE_SECOND)
        monkeypatch.undo()
        await migrate(empty_url)
        with psycopg.connect(empty_url) as connection:
            spent = connection.execute(
                "SELECT currency, day_micros, month_micros, lifetime_micros FROM spending"
                " ORDER BY currency"
            ).fetchall()
            balances = connection.execute("SELECT currency, epoch::text FROM balances").fetchall()
        assert spent == [("DIEM", 0, 0, 0), ("USD", 4, 4, 12)]
        assert balances == [("USD", "1970-01-01")]

    def test_what_is_released_stays(self):
        """A change comes as a new file: databases made by these are out there."""
        assert {number: checksum(migrations()[number]) for number in RELEASED} == RELEASED

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

    def test_no_spending_below_zero(self, database_url):
        with (
            psycopg.connect(database_url) as connection,
            pytest.raises(psycopg.errors.CheckViolation),
        ):
            connection.execute(
                "WITH a AS (INSERT INTO accounts (name, billing) VALUES ('a', 'prepaid')"
                " RETURNING id) INSERT INTO spending (key_id, currency, day, day_micros)"
                " SELECT gen_random_uuid(), 'USD', squero_today(), -1 FROM a"
            )

    def test_only_diem_has_an_epoch(self, database_url):
        for currency, epoch in (("DIEM", "epoch"), ("USD", "2030-01-01")):
            with (
                psycopg.connect(database_url) as connection,
                pytest.raises(psycopg.errors.CheckViolation),
            ):
                connection.execute(
                    "WITH a AS (INSERT INTO accounts (name, billing) VALUES ('a', 'prepaid')"
                    " RETURNING id) INSERT INTO balances (account_id, currency, epoch)"
                    " SELECT gen_random_uuid(), %s, %s FROM a",
                    (currency, epoch),
                )

    def test_the_clock_can_be_moved(self, database_url):
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE clock SET shift = '2 days'")
            (ahead,) = connection.execute("SELECT squero_now() - now()").fetchone()
        assert ahead.days == 2
