"""Generations as their customers' polls see them, read for many polls in one statement."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple, TypeAlias
from uuid import UUID

from squero.domain.together import Together
from squero.store.db import Database

Asked: TypeAlias = tuple[UUID, UUID]
"""The id of a generation, and the account that asks for it."""


class Generation(NamedTuple):
    """A generation as its customer's poll sees it."""

    queue_id: UUID
    account_id: UUID
    seq: int
    model: str
    lane: str
    state: str
    media: str | None
    attempt: int
    progress: float
    failure: str | None
    failure_message: str | None
    estimate_us: int
    expected_wait_us: int
    key_day: date
    wrapped_key: bytes | None
    execution_ms: int
    progressed_us: int | None
    """How long the attempt had run when its progress was last written."""
    since_us: int | None
    """How long ago that was."""
    ahead: int
    """How many of the account's own jobs wait before it, up to a thousand."""


class Polls(Together[Asked, Generation]):
    """The generations of the callers who ask for them; None for one that is another's."""

    def __init__(self, database: Database) -> None:
        super().__init__(self._read)
        self._database = database

    async def _read(self, asked: Sequence[Asked]) -> Mapping[Asked, Generation]:
        queue_ids, account_ids = map(list, zip(*asked, strict=True))
        async with self._database.reading() as tx:
            rows = await tx.all(
                Generation, "generations.poll", queue_ids=queue_ids, account_ids=account_ids
            )
        return {(row.queue_id, row.account_id): row for row in rows}
