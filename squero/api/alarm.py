"""A connection's only timer: by when the client must have done something, and what it has taken.

It is set again only when it fires, or when something is to happen earlier than it would: what sets
a later deadline, as nearly all requests do, touches no timer.
"""

import asyncio
from collections.abc import Callable

from squero.api.flow import unacknowledged


class Alarm:
    """Calls `expire` once the deadline is over, and aborts a connection that takes nothing."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        expire: Callable[[], None],
        stall_seconds: float,
        looks: int,
    ) -> None:
        self.deadline: float | None = None
        """By the loop's clock; None: nothing is waited for."""
        self._loop = loop
        self._transport = transport
        self._expire = expire
        self._stall_seconds = stall_seconds
        self._pause_seconds = stall_seconds / looks
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0.0
        self._looks: float | None = None
        self._left: int | None = None
        self._left_since = 0.0

    def wait(self, seconds: float) -> None:
        """The deadline is in so many seconds."""
        self.deadline = wakes = self._loop.time() + seconds
        if self._timer is None or self._wakes > wakes:
            self._set(wakes)

    def watch(self) -> None:
        """From now on something must go out every `stall_seconds`, until all has."""
        self._left = None
        if self._looks is None:
            self._look()

    def stop(self) -> None:
        """The connection has ended."""
        self.deadline = self._looks = None
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left, now = unacknowledged(self._transport), self._loop.time()
        self._looks = now + self._pause_seconds if left else None
        if left != self._left:
            self._left, self._left_since = left, now
        elif left and now - self._left_since >= self._stall_seconds:
            self._transport.abort()
        self._arm()

    def _arm(self) -> None:
        wakes = min((at for at in (self.deadline, self._looks) if at is not None), default=None)
        if wakes is not None and (self._timer is None or self._wakes > wakes):
            self._set(wakes)

    def _set(self, wakes: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes, self._timer = wakes, self._loop.call_at(wakes, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._looks is not None and now >= self._looks:
            self._look()
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
            self._expire()
        self._arm()
