"""The budget: how many bytes of bodies the whole process holds at once.

Each body may be no larger than its own limit; this bounds all of them together, on the disk of the
spool and in memory.
"""

from collections import Counter
from typing import TypeAlias
from uuid import UUID

from squero.errors import AtCapacity
from squero.settings import Settings

Holder: TypeAlias = UUID | None
"""The account or worker that sent a body; None is everybody without a key, together."""


class Budget:
    """Bytes of bodies in flight; no account gets more than half, lest one stop all the others.

    Those without a key get an eighth together: none of their calls has a use for media. Whatever
    the settings, one body of the largest size fits into either part.

    A worker's result is not counted: it comes from a host that the operator named, few are taken
    in at once, it is sealed where it stays and never spooled. Two of them would keep every customer
    out, and to refuse one is to render it again.
    """

    def __init__(self, settings: Settings) -> None:
        self.taken_bytes = 0
        """What all bodies hold together."""
        self._limit_bytes = settings.body_bytes_in_flight
        self._share_bytes = max(settings.body_limit_bytes, self._limit_bytes // 2)
        self._keyless_bytes = max(settings.body_limit_bytes, self._limit_bytes // 8)
        self._taken_by = Counter[Holder]()

    def take(self, holder: Holder, size: int) -> None:
        """Counts so many bytes more; raises AtCapacity when there is no room, and counts none."""
        taken = self._taken_by[holder] + size
        share = self._keyless_bytes if holder is None else self._share_bytes
        if taken > share or self.taken_bytes + size > self._limit_bytes:
            raise AtCapacity("The server is at capacity. Please try again later.")
        self._taken_by[holder] = taken
        self.taken_bytes += size

    def give_back(self, holder: Holder, size: int) -> None:
        """Counts so many bytes less."""
        self.taken_bytes -= size
        self._taken_by[holder] -= size
        if not self._taken_by[holder]:
            del self._taken_by[holder]


class Portion:
    """What one body holds of the budget; close it whatever becomes of the body."""

    def __init__(self, budget: Budget, holder: Holder) -> None:
        self._budget = budget
        self._holder = holder
        self._size = 0

    def cover(self, size: int) -> None:
        """Makes it at least so many bytes; raises AtCapacity."""
        if size > self._size:
            self._budget.take(self._holder, size - self._size)
            self._size = size

    def close(self) -> None:
        """Gives all of it back; closing again does nothing."""
        size, self._size = self._size, 0
        self._budget.give_back(self._holder, size)
