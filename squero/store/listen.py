"""Notifications from the database, and the news that some may have been missed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import structlog
from anyio import sleep
from psycopg import AsyncConnection, OperationalError, sql

log = structlog.get_logger(__name__)
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Notice:
    """What was notified; without a channel: the connection is new, anything may have happened."""

    channel: str | None
    payload: str = ""


async def listen(url: str, channels: Sequence[str]) -> AsyncIterator[Notice]:
    """Every notification on these channels, for ever; connects again when the database was away."""
    while True:
        try:
            async with await AsyncConnection.connect(url, autocommit=True) as connection:
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                yield Notice(None)
                async for notify in connection.notifies():
                    yield Notice(notify.channel, notify.payload)
        except OperationalError as lost:
            log.warning("the database is away", error=type(lost).__name__)
        await sleep(_AGAIN_SECONDS)
