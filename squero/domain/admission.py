"""Admission: whether a job is taken at all, decided before anything is fetched or held.

What it goes by is a look at the lane and at the disk that is at most a second old; how many jobs
an account may have waiting is decided in the transaction that queues.
"""

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from anyio import to_thread

from squero.domain.fresh import Fresh
from squero.domain.model import Model
from squero.errors import AtCapacity, InsufficientBalance, ModelOffline, TooManyQueued
from squero.settings import Settings
from squero.store.db import Database

OFFLINE_SECONDS = 120
"""How long nobody has asked for a lane's work before its models are offline."""

_FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A lane a moment ago."""

    queued: int
    unable: Sequence[Collection[str]]
    """What each worker cannot render that has lately asked for its work, or is at it."""


@dataclass(frozen=True, slots=True)
class Unable:
    """The models that a worker cannot render."""

    models: list[str]


@dataclass(frozen=True, slots=True)
class Room:
    """What an account's next job would find: the jobs that wait, and whether it could be paid."""

    queued: int
    funded: bool


class Admission:
    """The rules of one server, and what it knows of its lanes and its disk."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self.reset()

    def reset(self) -> None:
        """Begin anew, as at the start of the server, from which a lane's silence counts."""
        self._began_at = time.monotonic()
        self._lanes = Fresh(self._read_lane, _FRESH_SECONDS)
        self._free_bytes = Fresh(_read_free, _FRESH_SECONDS)

    async def check_disk(self) -> None:
        """Raises AtCapacity while the home's disk has less free than `min_free_bytes`."""
        if await self._free_bytes.get(self._settings.home) < self._settings.min_free_bytes:
            raise AtCapacity

    async def check_lane(self, model: Model) -> None:
        """Raises ModelOffline, and AtCapacity when the lane's queue is as long as it may be."""
        standing = await self._lanes.get(model.lane)
        if self._is_offline(model, standing):
            raise ModelOffline
        limit = self._settings.lane_queue_limit
        if limit is not None and standing.queued >= limit:
            raise AtCapacity

    async def check_account(self, account_id: UUID, model: Model, price_micros: int) -> None:
        """Raises TooManyQueued and InsufficientBalance before any work is done for such a job.

        Whether it is taken is decided when it is queued.
        """
        async with self._database.reading() as tx:
            room = await tx.one(
                Room,
                "shares.room",
                lane=model.lane,
                account_id=account_id,
                price_micros=price_micros,
            )
        assert room is not None
        self.check_count(room.queued + 1)
        if not room.funded:
            raise InsufficientBalance

    def check_count(self, queued: int) -> None:
        """Raises TooManyQueued for an account that has so many jobs waiting in a lane."""
        if queued > self._settings.queued_per_account:
            raise TooManyQueued

    async def offline(self, model: Model) -> bool:
        """Whether nobody renders for this model."""
        return self._is_offline(model, await self._lanes.get(model.lane))

    def _is_offline(self, model: Model, standing: Standing) -> bool:
        """Whether every worker there is cannot render it, or none has come for too long."""
        if standing.unable:
            return all(model.id in models for models in standing.unable)
        return time.monotonic() - self._began_at > OFFLINE_SECONDS

    async def _read_lane(self, lane: str) -> Standing:
        async with self._database.reading() as tx:
            queued = await tx.value("shares.queued", lane=lane)
            unable = await tx.all(
                Unable, "workers.unable", lane=lane, offline_seconds=OFFLINE_SECONDS
            )
        return Standing(queued, [one.models for one in unable])


async def _read_free(folder: Path) -> int:
    return await to_thread.run_sync(_free_bytes, folder)


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
