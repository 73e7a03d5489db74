"""Upkeep: what has expired goes, what was left over is swept, and the books are looked at."""

import os
import re
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from anyio import to_thread

from squero.domain import inputs, ledger
from squero.domain.ledger import Audit
from squero.domain.yard import Yard
from squero.media.folder import ObjectMissing

_DAY_HOURS = 24
_SWEEP_AT_ONCE = 1000
_GRACE_SECONDS = 3600.0
"""Objects younger than this may belong to a call that has yet to commit its row."""


_OBJECT = re.compile(
    r"generations/(?P<queue_id>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<role>[a-z]+)(/[^/]+)?"
)


@dataclass(frozen=True, slots=True)
class Named:
    """A generation that a statement has named."""

    queue_id: UUID


@dataclass(frozen=True, slots=True)
class Readable:
    """A generation whose media can still be read."""

    queue_id: UUID
    state: str


async def expire(yard: Yard) -> int:
    """Delete the videos that were kept long enough, and old idempotency keys; how many videos."""
    async with yard.database.transaction() as tx:
        expired = await tx.all(Named, "generations.expired")
        await tx.run("idempotency.forget")
    for one in expired:
        await inputs.discard(yard, one.queue_id)
    return len(expired)


async def forget_days(yard: Yard) -> int:
    """Delete the day keys under which nothing can be alive any more; how many."""
    settings = yard.settings
    # A job may wait, render for as long as it waited, and then its video is kept.
    alive_hours = 2 * settings.queue_hours + settings.retention_hours
    async with yard.database.reading() as tx:
        today: date = await tx.value("session.today")
    oldest = today - timedelta(days=alive_hours // _DAY_HOURS + 2)
    return await to_thread.run_sync(yard.keyring.forget_before, oldest)


async def sweep(yard: Yard) -> int:
    """Delete objects that no generation can read: a crash between two steps left them."""
    await to_thread.run_sync(yard.folder.sweep)
    stored = await to_thread.run_sync(_stored, yard)
    swept = 0
    queue_ids = list(stored)
    for start in range(0, len(queue_ids), _SWEEP_AT_ONCE):
        some = queue_ids[start : start + _SWEEP_AT_ONCE]
        async with yard.database.reading() as tx:
            rows = await tx.all(Readable, "generations.readable", queue_ids=some)
        states = {row.queue_id: row.state for row in rows}
        for queue_id in some:
            swept += await _sweep_one(yard, queue_id, states.get(queue_id), stored[queue_id])
    return swept


async def audit(yard: Yard) -> Audit:
    """What does not add up in the books, seen in one snapshot."""
    async with yard.database.snapshot() as tx:
        return await ledger.audit(tx)


async def _sweep_one(yard: Yard, queue_id: UUID, state: str | None, roles: set[str]) -> int:
    if state is None:
        if await to_thread.run_sync(_is_young, yard, queue_id):
            return 0
        await inputs.discard(yard, queue_id)
    elif state == "completed" and "input" in roles:
        await inputs.discard(yard, queue_id, "input")
    else:
        return 0
    return 1


def _is_young(yard: Yard, queue_id: UUID) -> bool:
    for name in yard.folder.names(f"generations/{queue_id}"):
        # A name that is none of ours is no object, and says nothing.
        with suppress(ObjectMissing, ValueError), yard.folder.open(name) as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < _GRACE_SECONDS:
                return True
    return False


def _stored(yard: Yard) -> dict[UUID, set[str]]:
    """What lies in the media store: each generation's kinds of objects; no files but ours."""
    stored: defaultdict[UUID, set[str]] = defaultdict(set)
    for name in yard.folder.names("generations"):
        if ours := _OBJECT.fullmatch(name):
            stored[UUID(ours["queue_id"])].add(ours["role"])
    return stored
