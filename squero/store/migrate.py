"""The schema, brought up to date: numbered SQL, each file once, under one lock."""

from importlib.resources import files

from procrastinate.schema import SchemaManager
from psycopg import AsyncConnection

_LOCK = 7_383_376  # any number that nobody else locks: "squero" on a telephone's keys


def migrations() -> dict[int, str]:
    """Every migration: its number to its SQL, in order."""
    folder = files("squero.store").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return {int(name.split("_")[0]): folder.joinpath(name).read_text("utf-8") for name in names}


async def migrate(url: str) -> list[int]:
    """Apply what is missing and say which; waits while another process does the same."""
    async with await AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await (await connection.execute("SELECT number FROM migrations")).fetchall()
        missing = [number for number in migrations() if (number,) not in rows]
        for number in missing:
            await connection.execute(migrations()[number].encode())
            await connection.execute("INSERT INTO migrations VALUES (%s)", [number])
        await _install_procrastinate(connection)
        return missing


async def pending(url: str) -> list[int]:
    """The migrations that the database lacks."""
    async with await AsyncConnection.connect(url) as connection:
        table = await (await connection.execute("SELECT to_regclass('migrations')")).fetchone()
        if table is None or table[0] is None:
            return list(migrations())
        rows = await (await connection.execute("SELECT number FROM migrations")).fetchall()
        return [number for number in migrations() if (number,) not in rows]


async def _install_procrastinate(connection: AsyncConnection) -> None:
    found = await connection.execute("SELECT to_regclass('procrastinate_jobs')")
    if (await found.fetchone()) == (None,):
        await connection.execute(SchemaManager.get_schema().encode())
