"""How often an account may call: requests a minute, by class of endpoint, tier and model."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final, Literal, NamedTuple, get_args
from uuid import UUID

from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage

from squero.domain.model import Model
from squero.domain.shared import Shared
from squero.settings import Settings

EndpointClass = Literal["video_queue", "video_retrieve"]
_CLASSES: Final[tuple[EndpointClass, ...]] = get_args(EndpointClass)


class Allowance(NamedTuple):
    """What is left of an account's requests; `reset` is a Unix timestamp in seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


class Limits:
    """The request counters: those of the shared store if there is one, else of this process.

    Also while the shared store does not answer.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        url = settings.limits_url
        self._shared = None if url is None else Shared(url.get_secret_value())
        self._storage = Windows(clock)
        self._tiers = {
            name: {one: RateLimitItemPerMinute(getattr(tier, one)) for one in _CLASSES}
            for name, tier in settings.tiers
        }
        self._default = self._tiers["paid"]

    async def hit(self, endpoint: EndpointClass, account_id: UUID, tier: str = "paid") -> Allowance:
        """Count a request, unless none is left."""
        item = self._tiers.get(tier, self._default)[endpoint]
        return await self._hit(item, _key(item, endpoint, account_id))

    async def hit_model(self, model: Model, account_id: UUID) -> Allowance | None:
        """Count a request for a model that has a limit of its own; None for one that has none."""
        if model.requests_per_minute is None:
            return None
        item = RateLimitItemPerMinute(model.requests_per_minute)
        return await self._hit(item, _key(item, f"model {model.id}", account_id))

    def of_model(self, tier: str, model: Model) -> int:
        """How many videos of the model an account of the tier may queue in a minute."""
        amount = self._tiers.get(tier, self._default)["video_queue"].amount
        return min(amount, model.requests_per_minute or amount)

    async def aclose(self) -> None:
        """Close the connections to the shared store."""
        if self._shared is not None:
            await self._shared.aclose()

    async def _hit(self, item: RateLimitItemPerMinute, key: str) -> Allowance:
        # What the library's fixed window does, with its count and its end from the same window.
        seconds = item.get_expiry()
        counted = None if self._shared is None else await self._shared.count(key, seconds)
        if counted is None:
            counted = await self._storage.incr(key, seconds), await self._storage.get_expiry(key)
        count, reset = counted
        left = max(0, item.amount - count)
        return Allowance(count <= item.amount, item.amount, left, math.ceil(reset))


@lru_cache(maxsize=10_000)
def _key(item: RateLimitItemPerMinute, what: str, account_id: UUID) -> str:
    return item.key_for(what, str(account_id))


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
