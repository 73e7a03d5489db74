"""Turns at what only a few may do at once: nobody takes them all, and nobody waits for ever."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import UUID

from squero.errors import AtCapacity

Holder: TypeAlias = UUID | None
"""The account whose turn it is; None is everybody without one, together."""


class Turns:
    """So many turns at once, so many of them for one holder; who has fewest comes first."""

    def __init__(
        self, at_once: int, each: int, *, waiting: int = 100, wait_seconds: float = 30
    ) -> None:
        self._free = at_once
        self._each = each
        self._waiting = waiting
        self._wait_seconds = wait_seconds
        self._running = Counter[Holder]()
        self._queues: OrderedDict[Holder, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, holder: Holder) -> AsyncIterator[None]:
        """One turn of the holder's; raises as `begin`."""
        await self.begin(holder)
        try:
            yield
        finally:
            self.end(holder)

    async def begin(self, holder: Holder) -> None:
        """Waits for a turn, which the caller ends.

        Raises AtCapacity when it does not come in time, or as many of the holder's wait already
        as may.
        """
        queue = self._queues.setdefault(holder, deque())
        if len(queue) == self._waiting:
            raise AtCapacity
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._serve()
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except TimeoutError:
            self._forget(holder, turn)
            raise AtCapacity from None
        except BaseException:
            self._forget(holder, turn)
            raise

    def end(self, holder: Holder) -> None:
        """The turn is over, and the next one's begins."""
        self._free += 1
        self._running[holder] -= 1
        if not self._running[holder]:
            del self._running[holder]
        self._serve()

    def _serve(self) -> None:
        while self._free and (queue := self._next()):
            holder, turns = queue
            turn = turns.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                self._free -= 1
                self._running[holder] += 1
            self._queues.move_to_end(holder)
            if not turns:
                del self._queues[holder]

    def _next(self) -> tuple[Holder, deque[asyncio.Future[None]]] | None:
        able = [one for one in self._queues.items() if self._running[one[0]] < self._each]
        return min(able, key=lambda one: self._running[one[0]], default=None)

    def _forget(self, holder: Holder, turn: "asyncio.Future[None]") -> None:
        """Gives up a turn that may have come just now."""
        if not turn.cancelled():
            self.end(holder)
            return
        queue = self._queues.get(holder, deque())
        if turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[holder]
