"""The schema, brought up to date: numbered SQL, each file once, under one lock.

A migration that was applied is remembered with its checksum: a file that is no longer what a
database was made of would leave two kinds of databases under one number.
"""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

from procrastinate.schema import SchemaManager
from psycopg import AsyncConnection

_LOCK = 7_383_376  # any number that nobody else locks: "squero" on a telephone's keys


class SchemaForeign(Exception):
    """The database was made by migrations that are not ours."""


def migrations() -> dict[int, str]:
    """Every migration: its number to its SQL, in order."""
    folder = files("squero.store").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return {int(name.split("_")[0]): folder.joinpath(name).read_text("utf-8") for name in names}


def checksum(sql: str) -> str:
    """What a migration is known by."""
    return sha256(sql.encode()).hexdigest()


async def migrate(url: str) -> list[int]:
    """Apply what is missing and say which; waits while another process does the same.

    Raises SchemaForeign.
    """
    async with await AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY,"
            " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        ours = migrations()
        missing = _missing(ours, await _applied(connection))
        for number in missing:
            await connection.execute(ours[number].encode())
            await connection.execute(
                "INSERT INTO migrations (number, checksum) VALUES (%s, %s)",
                [number, checksum(ours[number])],
            )
        await _install_procrastinate(connection)
        return missing


async def pending(url: str) -> list[int]:
    """The migrations that the database lacks; raises SchemaForeign."""
    async with await AsyncConnection.connect(url) as connection:
        table = await (await connection.execute("SELECT to_regclass('migrations')")).fetchone()
        if table is None or table[0] is None:
            return list(migrations())
        return _missing(migrations(), await _applied(connection))


async def _applied(connection: AsyncConnection) -> dict[int, str | None]:
    # Before there were checksums the table had no column for them.
    found = await connection.execute(
        "SELECT number, to_jsonb(migrations) ->> 'checksum' FROM migrations ORDER BY number"
    )
    return dict(await found.fetchall())


def _missing(ours: Mapping[int, str], applied: Mapping[int, str | None]) -> list[int]:
    for number, known in applied.items():
        if number not in ours:
            raise SchemaForeign(
                f"The database has migration {number}, which this Squero does not know:"
                " use the newer Squero that applied it"
            )
        if known != checksum(ours[number]):
            raise SchemaForeign(
                f"The database was made with another migration {number} than this Squero's:"
                " use the Squero that made it, or begin with another home or database"
            )
    return [number for number in ours if number not in applied]


async def _install_procrastinate(connection: AsyncConnection) -> None:
    found = await connection.execute("SELECT to_regclass('procrastinate_jobs')")
    if (await found.fetchone()) == (None,):
        await connection.execute(SchemaManager.get_schema().encode())
