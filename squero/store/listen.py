"""Notifications from the database, and the news that some may have been missed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection, sql


@dataclass(frozen=True, slots=True)
class Notice:
    """What was notified; without a channel: the connection is new, anything may have happened."""

    channel: str | None
    payload: str = ""


async def listen(url: str, channels: Sequence[str]) -> AsyncIterator[Notice]:
    """Every notification on these channels; raises OperationalError when the database goes away."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        for channel in channels:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        yield Notice(None)
        async for notify in connection.notifies():
            yield Notice(notify.channel, notify.payload)
