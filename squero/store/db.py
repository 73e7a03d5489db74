"""The database: a pool, transactions, and the named statements that run in them."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, LiteralString, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row, tuple_row
from psycopg.types.json import set_json_dumps
from psycopg_pool import AsyncConnectionPool

from squero.store.statements import statement

Row = TypeVar("Row")


class Tx:
    """One transaction; every verb of the domain gets one or opens one."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def run(self, name: str, /, **values: object) -> int:
        """Run a named statement; gives the number of rows that it touched."""
        return (await self._connection.execute(_text(name), values)).rowcount

    async def one(self, row: type[Row], name: str, /, **values: object) -> Row | None:
        """The one row of a named statement as `row(**columns)`, or None: the answer is no."""
        cursor = self._connection.cursor(row_factory=class_row(row))
        await cursor.execute(_text(name), values)
        return await cursor.fetchone()

    async def all(self, row: type[Row], name: str, /, **values: object) -> Sequence[Row]:
        """Every row of a named statement."""
        cursor = self._connection.cursor(row_factory=class_row(row))
        await cursor.execute(_text(name), values)
        return await cursor.fetchall()

    async def value(self, name: str, /, **values: object) -> Any:
        """The first column of the first row, or None when there is no row."""
        cursor = self._connection.cursor(row_factory=tuple_row)
        await cursor.execute(_text(name), values)
        row = await cursor.fetchone()
        return None if row is None else row[0]

    async def values(self, name: str, /, **values: object) -> Sequence[Any]:
        """The first column of every row."""
        cursor = self._connection.cursor(row_factory=tuple_row)
        await cursor.execute(_text(name), values)
        return [row[0] for row in await cursor.fetchall()]


async def _in_utc(connection: AsyncConnection[Any]) -> None:
    # Elsewhere the first and the last moment that a column holds cannot be read.
    await connection.execute("SET timezone TO 'UTC'")


class Database:
    """A pool of connections to one PostgreSQL."""

    def __init__(self, url: str, *, connections: int = 16) -> None:
        self.url = url
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            open=False,
            timeout=10,
            kwargs={"autocommit": True, "application_name": "squero"},
            configure=_in_utc,
        )

    async def open(self) -> None:
        """Connect; raises `psycopg_pool.PoolTimeout` when there is no database."""
        set_json_dumps(partial(json.dumps, separators=(",", ":")))
        await self._pool.open(wait=True)

    async def refresh(self) -> None:
        """Replace the connections that a restart of the database has killed."""
        await self._pool.check()

    async def close(self) -> None:
        """Give every connection back."""
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One transaction: what is done in it happens whole or not at all."""
        async with self._pool.connection() as connection, connection.transaction():
            yield Tx(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        """One transaction that only reads, and sees the database as it is when it begins."""
        async with self.transaction() as tx:
            await tx.run("session.snapshot")
            yield tx

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        """A connection for statements that stand alone."""
        # `connection()` would end a transaction that none of these statements has begun.
        connection = await self._pool.getconn()
        try:
            yield Tx(connection)
        finally:
            await self._pool.putconn(connection)


def _text(name: str) -> LiteralString:
    return statement(name)
