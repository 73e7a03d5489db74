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
        self._under_way = 0
        self._accounts: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, job: Job, alone: Callable[[], Awaitable[None]]) -> None:
        """Queue the job together with others, or else by `alone`, whose errors are its own.

        Raises OperationalError when the database went away: then the job may be there or not.
        """
        if self._waiting or self._under_way >= _AT_ONCE:
            waiting = _Waiting(job)
            self._waiting.append(waiting)
            if await waiting.taken:
                return
            await alone()
            return
        self._under_way += 1
        try:
            await alone()
        finally:
            self._end()

    def _end(self) -> None:
        """A statement has come back: those who wait meanwhile are next."""
        self._under_way -= 1
        chosen = self._choose()
        if chosen:
            self._under_way += 1
            task = asyncio.create_task(self._take(chosen))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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

    async def _take(self, chosen: Sequence[_Waiting]) -> None:
        accounts = {one.job.account_id for one in chosen}
        self._accounts |= accounts
        try:
            await self._settle(chosen)
        finally:
            self._accounts -= accounts
            self._end()

    async def _settle(self, chosen: Sequence[_Waiting]) -> None:
        taken: set[UUID] = set()
        try:
            if len(chosen) > 1:
                taken = await self._queue([one.job for one in chosen])
        except OperationalError as error:
            # Of a deadlock nothing is left; of a lost connection nobody knows.
            if not isinstance(error, DeadlockDetected):
                return _tell(chosen, error)
        except DatabaseError:
            pass  # one of them is to blame, and will hear of it by itself
        except BaseException as error:
            _tell(chosen, error)
            raise
        for one in chosen:
            if not one.taken.done():
                one.taken.set_result(one.job.queue_id in taken)

    async def _queue(self, jobs: Sequence[Job]) -> set[UUID]:
        text = json.dumps([_fields(job) for job in jobs], separators=(",", ":"))
        async with self._database.reading() as tx:
            return set(
                await tx.values(
                    "generations.queue_many", jobs=text, queued_limit=self._queued_limit
                )
            )


def _tell(chosen: Sequence[_Waiting], error: BaseException) -> None:
    for one in chosen:
        if not one.taken.done():
            one.taken.set_exception(error)


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
