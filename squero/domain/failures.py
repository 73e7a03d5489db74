"""Failed requests: who has had too many of late, and may not call for a while.

Counted in this process by the monotonic clock: no step of the wall clock opens or locks anything.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

Who: TypeAlias = UUID | str
"""An account, or the address of somebody who has none."""

_MOST = 10_000


class Failures:
    """The failed requests of late: at most `allowed` in `seconds`, or a block of as long.

    The `most` accounts and, apart from them, the `most` addresses that failed last are known, each
    with `allowed + 1` times: so no flood of addresses makes this grow, or lets an account go.
    """

    def __init__(
        self,
        allowed: int,
        seconds: int,
        *,
        most: int = _MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.allowed = allowed
        self.seconds = seconds
        self._most = most
        self._clock = clock
        self._accounts: OrderedDict[Who, deque[float]] = OrderedDict()
        self._addresses: OrderedDict[Who, deque[float]] = OrderedDict()

    def blocked(self, who: Who) -> float:
        """For how many seconds this one may not call; 0 for one who may."""
        failed = self._of(who).get(who)
        return 0.0 if failed is None else self._left(failed, self._clock())

    def count(self, who: Who) -> None:
        """One more request of theirs has failed; nothing while they are blocked."""
        known, now = self._of(who), self._clock()
        failed = known.setdefault(who, deque())
        if self._left(failed, now):
            return
        while failed and failed[0] <= now - self.seconds:
            failed.popleft()
        failed.append(now)
        known.move_to_end(who)
        if len(known) > self._most:
            known.popitem(last=False)

    def reset(self) -> None:
        """Forget everyone."""
        self._accounts.clear()
        self._addresses.clear()

    def _of(self, who: Who) -> OrderedDict[Who, deque[float]]:
        return self._accounts if isinstance(who, UUID) else self._addresses

    def _left(self, failed: deque[float], now: float) -> float:
        """A block begins with the failure that was one too many, and nothing is added to it."""
        if len(failed) <= self.allowed:
            return 0.0
        return max(0.0, failed[-1] + self.seconds - now)
