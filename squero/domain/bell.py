"""The bell: wakes one waiting claim of a lane when a job has come to it.

A ring that finds nobody waiting is kept for the next claim that would: it looked before the job
had come, and must look again. A claim that may not take every job hands the ring on.
"""

import asyncio
from collections import Counter, defaultdict, deque

_KEPT_RINGS = 16


class Bell:
    """The claims that wait in this process, by lane, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[asyncio.Future[int]]] = defaultdict(deque)
        self._kept: Counter[str] = Counter()
        self._closed = False

    async def wait(self, lane: str, seconds: float) -> int:
        """How many claims are to look again, this one first; 0 when the time is over or the server.

        Those that come after it do so when it hands the ring on.
        """
        if self._closed:
            return 0
        if self._kept[lane]:
            self._kept[lane] -= 1
            return 1
        ring: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(ring)
        try:
            claims = await asyncio.wait_for(ring, seconds)
        except TimeoutError:
            return 0
        finally:
            if ring in self._waiting[lane]:
                self._waiting[lane].remove(ring)
        return 0 if self._closed else claims

    def ring(self, lane: str) -> None:
        """Wake the claim that has waited longest, if there is one."""
        if not self.hand_on(lane, len(self._waiting[lane])):
            self._kept[lane] = min(self._kept[lane] + 1, _KEPT_RINGS)

    def hand_on(self, lane: str, claims: int) -> bool:
        """Let so many more claims look, one after the other; whether anybody waits."""
        waiting = self._waiting[lane]
        while waiting and claims > 0:
            ring = waiting.popleft()
            if not ring.done():
                ring.set_result(claims)
                return True
        return False

    def ring_all(self) -> None:
        """Wake every claim: something may have been missed."""
        for lane in list(self._waiting):
            for _ in range(len(self._waiting[lane])):
                self.ring(lane)

    def close(self) -> None:
        """Let every claim answer at once: the server stops."""
        self._closed = True
        self.ring_all()
