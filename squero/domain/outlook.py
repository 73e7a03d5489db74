"""The outlook: how long a render takes, how long a job waits, and where in the queue it stands.

Everything here is an estimate for people, made from a snapshot of the lane that is at most a
second old; nothing is decided by it.
"""

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from uuid import UUID

from squero.domain.clip import FPS
from squero.domain.fresh import Fresh
from squero.domain.model import Model
from squero.store.db import Database

_LANE_FRESH_SECONDS = 1.0
_TIMING_FRESH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one account has waiting in a lane."""

    account_id: UUID
    queued: int
    waiting_us: int


class Turns:
    """Amounts of many accounts, and how much of them goes before a given amount of one's own.

    Under fair queueing others go before me with at most as much as I have waiting myself.
    """

    def __init__(self, amounts: dict[UUID, int]) -> None:
        self._own = amounts
        self._sorted = sorted(amounts.values())
        self._sums = [0, *accumulate(self._sorted)]

    def before(self, account_id: UUID, own: int, turn: int) -> int:
        """What starts before a job that has `own` of its own account's before it."""
        share = own + turn
        below = bisect_left(self._sorted, share)
        others = self._sums[below] + share * (len(self._sorted) - below)
        return own + others - min(self._own.get(account_id, 0), share)


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane a moment ago: who waits in it, what is left of what renders, how many workers."""

    jobs: Turns
    time_us: Turns
    waiting_us: dict[UUID, int]
    rendering_us: int
    workers: int

    def wait_us(self, account_id: UUID, own_us: int, turn_us: int) -> int:
        """How long until a job starts that has so much of its own account's before it."""
        before_us = self.time_us.before(account_id, own_us, turn_us) + self.rendering_us
        return before_us // max(1, self.workers)


class Outlook:
    """Estimates from measured renders and a fresh look at the lanes."""

    def __init__(self, database: Database) -> None:
        self._lanes = Fresh(partial(_read_lane, database), _LANE_FRESH_SECONDS)
        self._timings = Fresh(partial(_read_timing, database), _TIMING_FRESH_SECONDS)

    async def render_us(self, model: Model, resolution: str, frames: int) -> int:
        """The P80 of the measured renders of this kind, or the catalogue's figure, in µs."""
        measured = await self._timings.get((model.id, resolution, frames))
        configured = model.render_seconds_per_second[resolution] * frames / FPS
        return measured or max(1, round(configured * 1_000_000))

    async def wait_us(self, lane_id: str, account_id: UUID, render_us: int) -> int:
        """How long a job waits that this account queues now, in µs."""
        lane = await self._lanes.get(lane_id)
        return lane.wait_us(account_id, lane.waiting_us.get(account_id, 0), render_us)

    async def place(
        self, lane_id: str, account_id: UUID, own_ahead: int, render_us: int
    ) -> tuple[int, int]:
        """The position of a queued job (1 starts next), and its wait in µs."""
        lane = await self._lanes.get(lane_id)
        wait_us = lane.wait_us(account_id, own_ahead * render_us, render_us)
        return 1 + lane.jobs.before(account_id, own_ahead, 1), wait_us


async def _read_lane(database: Database, lane_id: str) -> Lane:
    async with database.reading() as tx:
        rows = await tx.all(Waiting, "shares.waiting", lane=lane_id)
        rendering_us = await tx.value("generations.rendering", lane=lane_id)
        workers = await tx.value("workers.serving", lane=lane_id)
    waiting_us = {row.account_id: row.waiting_us for row in rows}
    jobs = Turns({row.account_id: row.queued for row in rows})
    return Lane(jobs, Turns(waiting_us), waiting_us, rendering_us, workers)


async def _read_timing(database: Database, kind: tuple[str, str, int]) -> int | None:
    model, resolution, frames = kind
    async with database.reading() as tx:
        value: int | None = await tx.value(
            "generations.timing", model=model, resolution=resolution, frames=frames
        )
    return value
