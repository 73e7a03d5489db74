"""How often an account may call: requests a minute, by class of endpoint."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple
from uuid import UUID

from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage

from squero.settings import Settings

EndpointClass = Literal["video_queue", "video_retrieve"]


class Allowance(NamedTuple):
    """What is left of an account's requests; `reset` is a Unix timestamp in seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


class Limits:
    """The request counters of this process."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = Windows(clock)
        self._items: Mapping[EndpointClass, RateLimitItemPerMinute] = {
            "video_queue": RateLimitItemPerMinute(settings.queue_per_minute),
            "video_retrieve": RateLimitItemPerMinute(settings.retrieve_per_minute),
        }

    async def hit(self, endpoint: EndpointClass, account_id: UUID) -> Allowance:
        """Count a request, unless none is left."""
        item = self._items[endpoint]
        # What the library's fixed window does, with its count and its end from the same window.
        key = _key(item, endpoint, account_id)
        count = await self._storage.incr(key, item.get_expiry())
        reset = await self._storage.get_expiry(key)
        left = max(0, item.amount - count)
        return Allowance(count <= item.amount, item.amount, left, math.ceil(reset))


@lru_cache(maxsize=10_000)
def _key(item: RateLimitItemPerMinute, endpoint: EndpointClass, account_id: UUID) -> str:
    return item.key_for(endpoint, str(account_id))


@dataclass(slots=True)
class _Window:
    count: int
    ends: float


class Windows(Storage):
    """The library's storage in this process: one window a key, which begins with its first count.

    The library's own starts a task for each count, which looks at every key there is, and goes by
    the wall clock: set back an hour, that would keep a full window for the hour.
    """

    STORAGE_SCHEME = None
    base_exceptions = ()

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts in the key's window, a new one of `expiry` seconds if it has none; the count."""
        window = self._find(key)
        if window is None:
            self._tidy()
            window = self._windows[key] = _Window(0, self._clock() + expiry)
        window.count += amount
        return window.count

    async def get(self, key: str) -> int:
        """The count in the key's window, 0 without one."""
        window = self._find(key)
        return 0 if window is None else window.count

    async def get_expiry(self, key: str) -> float:
        """When the key's window ends, as a Unix timestamp; now, without one."""
        window = self._find(key)
        return time.time() + (0 if window is None else window.ends - self._clock())

    async def check(self) -> bool:
        """That it can be used: always."""
        return True

    async def reset(self) -> int:
        """Forgets every window; gives how many there were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        """Forgets the key's window."""
        self._windows.pop(key, None)

    def _find(self, key: str) -> _Window | None:
        window = self._windows.get(key)
        return window if window is not None and window.ends > self._clock() else None

    def _tidy(self) -> None:
        """Looks at two windows for each one that begins, so that those that ended never pile up."""
        for key in list(islice(self._windows, 2)):
            self._windows.move_to_end(key)
            if self._find(key) is None:
                del self._windows[key]
