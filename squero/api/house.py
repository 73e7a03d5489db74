"""The house: what every handler may use; made in the lifespan and handed on."""

import time
from asyncio import Semaphore
from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from squero.api.budget import Budget
from squero.api.quotes import Quotes
from squero.domain.bell import Bell
from squero.domain.failures import Failures
from squero.domain.keys import Callers
from squero.domain.limits import Limits
from squero.domain.refusals import Refusals
from squero.domain.yard import Yard

_RESULTS_AT_ONCE = 4
_REMEMBERED = 10_000
_FRESH_SECONDS = 2.5
_FRESH_SHARE = 0.4  # of the lease, so that a report that is late by a second still renews it


@dataclass(slots=True)
class Readiness:
    """Whether the server's own workers have asked for work, and the server is not stopping."""

    own_workers: int
    asked: set[str] = field(default_factory=set)
    """The names of those that have asked: one that was started again keeps its name."""
    stopping: bool = False

    @property
    def ready(self) -> bool:
        """Whether a job that is queued now will be rendered."""
        return not self.stopping and len(self.asked) >= self.own_workers


class Leases:
    """The leases that this process has written of late: workers report more often than is needed.

    What is not here, or was here for another attempt, is asked of the database.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._fresh_seconds = min(_FRESH_SECONDS, _FRESH_SHARE * lease_seconds)
        self._written: OrderedDict[UUID, tuple[UUID, int, float]] = OrderedDict()

    def fresh(self, worker_id: UUID, queue_id: UUID, attempt: int) -> bool:
        """Whether the attempt is current, and its lease need not be written again yet."""
        held_by, number, written_at = self._written.get(queue_id, (None, 0, 0.0))
        current = (held_by, number) == (worker_id, attempt)
        return current and time.monotonic() - written_at < self._fresh_seconds

    def write(self, worker_id: UUID, queue_id: UUID, attempt: int, written_at: float) -> None:
        """Remember that the lease was written; `written_at` is the monotonic time before that."""
        _, number, _ = self._written.get(queue_id, (None, 0, 0.0))
        if number > attempt:
            return
        self._written[queue_id] = (worker_id, attempt, written_at)
        self._written.move_to_end(queue_id)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def forget(self, queue_id: UUID) -> None:
        """The attempt is over, or nobody knows."""
        self._written.pop(queue_id, None)


@dataclass(frozen=True, slots=True)
class House:
    """The yard, and what belongs to HTTP: who calls, how often, and what they send."""

    yard: Yard
    callers: Callers
    limits: Limits
    failures: Failures
    refusals: Refusals
    bell: Bell
    budget: Budget
    readiness: Readiness
    leases: Leases
    quotes: Quotes = field(default_factory=Quotes)
    results: Semaphore = field(default_factory=lambda: Semaphore(_RESULTS_AT_ONCE))
    """How many results are taken in at once; further workers wait. The budget counts none."""
