"""Values that are read once for everybody, and known for a moment."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Fresh(Generic[K, V]):
    """Values by key, each at most `seconds` old; the `most` that were read last are kept.

    Whoever asks while a value is being read waits for that reading, so that a value that has just
    grown too old is read once and not by every call under way.
    """

    def __init__(
        self, read: Callable[[K], Awaitable[V]], seconds: float, *, most: int = 10_000
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._most = most
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._readings: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """The value; raises what reading it raises."""
        known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < self._seconds:
            return known[1]
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = asyncio.create_task(self._renew(key))
        # A call that is cancelled leaves the reading to the others.
        return await asyncio.shield(reading)

    def forget(self, key: K) -> None:
        """The value has changed: whoever asks from now on gets the new one."""
        self._known.pop(key, None)
        self._readings.pop(key, None)

    async def _renew(self, key: K) -> V:
        read_at, this = time.monotonic(), asyncio.current_task()
        current = False
        try:
            value = await self._read(key)
        finally:
            # One that was forgotten meanwhile may have read what no longer is.
            current = self._readings.get(key) is this
            if current:
                del self._readings[key]
        if not current:
            return value
        self._known[key] = (read_at, value)
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return value
