"""Jobs that are queued by one statement for all who wait at the time.

A job is queued by itself as long as nobody waits. Under load what would be a transaction and a
write to the disk for each is one for all of them; each job is still taken whole or not at all.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from psycopg import DatabaseError, OperationalError
from psycopg.errors import DeadlockDetected
from psycopg.types.json import Jsonb

from squero.store.db import Database

_AT_ONCE = 2  # while one statement is in the database, there is work for the next


@dataclass(frozen=True)
class Job:
    """The row of a generation that is about to be queued; the fields are its columns."""

    queue_id: UUID
    account_id: UUID
    key_id: UUID
    model: str
    lane: str
    resolution: str
    width: int
    height: int
    frames: int
    fps: int
    audio: bool
    seed: int
    prompt: bytes
    inputs: Jsonb
    key_day: date
    wrapped_key: bytes
    price_micros: int
    estimate_us: int
    expected_wait_us: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job
    taken: "asyncio.Future[bool]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Intake:
    """The way into the queue."""

    def __init__(self, database: Database, queued_limit: int) -> None:
        self._database = database
        self._queued_limit = queued_limit
        self._waiting: list[_Waiting] = []
        self._accounts: set[UUID] = set()
        self._alone = 0
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def take(self, job: Job, alone: Callable[[], Awaitable[None]]) -> None:
        """Queue the job together with others, or else by `alone`, whose errors are its own.

        Raises OperationalError when the database went away: then the job may be there or not.
        """
        if self._waiting or self._alone + len(self._tasks) >= _AT_ONCE:
            if not await self._join(job):
                await alone()
            return
        self._alone += 1
        try:
            await alone()
        finally:
            self._alone -= 1

    def _join(self, job: Job) -> Awaitable[bool]:
        waiting = _Waiting(job)
        self._waiting.append(waiting)
        # Jobs that go by themselves may wait for another's lock; nobody waits for them here.
        if len(self._tasks) < _AT_ONCE:
            self._tasks.add(asyncio.create_task(self._go_on()))
        return waiting.taken

    async def _go_on(self) -> None:
        try:
            while chosen := self._choose():
                accounts = {one.job.account_id for one in chosen}
                self._accounts |= accounts
                try:
                    await self._settle(chosen)
                finally:
                    self._accounts -= accounts
        finally:
            # Here, not in a callback: whoever comes next must find that this one has ended.
            self._tasks -= {asyncio.current_task()}

    def _choose(self) -> Sequence[_Waiting]:
        """One job of each account that waits, but for those of which one is under way."""
        chosen: dict[UUID, _Waiting] = {}
        left: list[_Waiting] = []
        for waiting in self._waiting:
            if waiting.taken.done():
                continue  # the caller has left
            account_id = waiting.job.account_id
            if account_id in self._accounts or account_id in chosen:
                left.append(waiting)
            else:
                chosen[account_id] = waiting
        self._waiting = left
        return list(chosen.values())

    async def _settle(self, chosen: Sequence[_Waiting]) -> None:
        try:
            taken = await self._try(chosen)
        except Exception as error:
            for one in chosen:
                if not one.taken.done():
                    one.taken.set_exception(error)
        except BaseException:
            for one in chosen:
                one.taken.cancel()
            raise
        else:
            for one in chosen:
                if not one.taken.done():
                    one.taken.set_result(one.job.queue_id in taken)

    async def _try(self, chosen: Sequence[_Waiting]) -> set[UUID]:
        if len(chosen) == 1:
            return set()
        try:
            return await self._queue([one.job for one in chosen])
        except DeadlockDetected:
            return set()  # nothing of it is left
        except OperationalError:
            raise  # the connection is lost, and nobody knows
        except DatabaseError:
            return set()  # one of them is to blame, and will hear of it by itself

    async def _queue(self, jobs: Sequence[Job]) -> set[UUID]:
        text = json.dumps([_fields(job) for job in jobs], separators=(",", ":"))
        async with self._database.reading() as tx:
            return set(
                await tx.values(
                    "generations.queue_many", jobs=text, queued_limit=self._queued_limit
                )
            )


def _fields(job: Job) -> dict[str, Any]:
    """The row as JSON that PostgreSQL reads."""
    return vars(job) | {
        "queue_id": str(job.queue_id),
        "account_id": str(job.account_id),
        "key_id": str(job.key_id),
        "prompt": "\\x" + job.prompt.hex(),
        "inputs": job.inputs.obj,
        "key_day": job.key_day.isoformat(),
        "wrapped_key": "\\x" + job.wrapped_key.hex(),
    }
