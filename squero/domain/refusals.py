"""Refusals: the calls of late that came too often, for their account to see.

Written in the background, so that a flood of refused calls is no flood of writes: of one account at
most five a second and process, of all accounts together at most a thousand.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from squero.domain.keys import Caller
from squero.store.db import Database

Kind = Literal["RPM", "FAILED_REQUESTS"]

KEPT: Final = 50
"""How many of an account are kept."""
_EACH: Final = 5
_ALL: Final = 1000
_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that was refused for its number."""

    key_id: UUID
    model: str
    """A model's id, or `endpoint:` and the path of the call where its model was not known yet."""
    tier: str
    type: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Note:
    caller: Caller
    model: str
    kind: Kind
    at: float


class Refusals:
    """The log of refusals: noted at once, written once a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._notes: list[_Note] = []
        self._each: Counter[UUID] = Counter()
        self._some = asyncio.Event()

    def note(self, caller: Caller, model: str, kind: Kind) -> None:
        """Remember a refusal, unless enough of this second are remembered."""
        account_id = caller.account_id
        if self._each[account_id] < _EACH and len(self._notes) < _ALL:
            self._each[account_id] += 1
            self._notes.append(_Note(caller, model, kind, time.monotonic()))
            self._some.set()

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._some.wait()
            await self.write()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def write(self) -> None:
        """Write what is noted now; it is not tried again when the database is away."""
        notes, self._notes = self._notes, []
        self._each.clear()
        self._some.clear()
        now = time.monotonic()
        async with self._database.reading() as tx:
            await tx.run(
                "refusals.add",
                account_ids=[note.caller.account_id for note in notes],
                key_ids=[note.caller.key_id for note in notes],
                models=[note.model for note in notes],
                tiers=[note.caller.tier for note in notes],
                types=[note.kind for note in notes],
                seconds_ago=[now - note.at for note in notes],
            )

    async def last(self, account_id: UUID) -> Sequence[Refusal]:
        """The last of an account, the newest first."""
        async with self._database.reading() as tx:
            return await tx.all(Refusal, "refusals.last", account_id=account_id, most=KEPT)


async def trim(database: Database) -> int:
    """Delete all but the last of every account; how many."""
    async with database.reading() as tx:
        return await tx.run("refusals.trim", most=KEPT)
