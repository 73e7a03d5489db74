"""The house: what every handler may use; made in the lifespan and handed on."""

from asyncio import Semaphore
from dataclasses import dataclass, field
from uuid import UUID

from squero.domain.bell import Bell
from squero.domain.keys import Callers
from squero.domain.limits import Limits
from squero.domain.yard import Yard
from squero.media.spool import Spool

_RESULTS_AT_ONCE = 4


@dataclass(slots=True)
class Readiness:
    """Whether the server's own workers have asked for work, and the server is not stopping."""

    own_workers: int
    asked: set[UUID] = field(default_factory=set)
    stopping: bool = False

    @property
    def ready(self) -> bool:
        """Whether a job that is queued now will be rendered."""
        return not self.stopping and len(self.asked) >= self.own_workers


@dataclass(frozen=True, slots=True)
class House:
    """The yard, and what belongs to HTTP: who calls, how often, and what they send."""

    yard: Yard
    callers: Callers
    limits: Limits
    bell: Bell
    spool: Spool
    readiness: Readiness
    results: Semaphore = field(default_factory=lambda: Semaphore(_RESULTS_AT_ONCE))
    """How many results are taken in at once; further workers wait."""
