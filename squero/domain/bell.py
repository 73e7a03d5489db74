"""The bell: wakes one waiting claim of a lane when a job has come to it.

A ring that finds nobody waiting is kept for the next claim that would: it looked before the job
had come, and must look again.
"""

import asyncio
from collections import Counter, defaultdict, deque

_KEPT_RINGS = 16


class Bell:
    """The claims that wait in this process, by lane, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._kept: Counter[str] = Counter()
        self._closed = False

    async def wait(self, lane: str, seconds: float) -> bool:
        """Whether to look again: False when the time ran out or the server stops."""
        if self._closed:
            return False
        if self._kept[lane]:
            self._kept[lane] -= 1
            return True
        ring: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(ring)
        try:
            await asyncio.wait_for(ring, seconds)
        except TimeoutError:
            return False
        finally:
            if ring in self._waiting[lane]:
                self._waiting[lane].remove(ring)
        return not self._closed

    def ring(self, lane: str) -> None:
        """Wake the claim that has waited longest, if there is one."""
        waiting = self._waiting[lane]
        while waiting:
            ring = waiting.popleft()
            if not ring.done():
                ring.set_result(None)
                return
        self._kept[lane] = min(self._kept[lane] + 1, _KEPT_RINGS)

    def ring_all(self) -> None:
        """Wake every claim: something may have been missed."""
        for lane in list(self._waiting):
            for _ in range(len(self._waiting[lane])):
                self.ring(lane)

    def close(self) -> None:
        """Let every claim answer at once: the server stops."""
        self._closed = True
        self.ring_all()
