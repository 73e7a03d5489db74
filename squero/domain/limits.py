"""How often an account may call: requests a minute, by class of endpoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage

from squero.settings import Settings

EndpointClass = Literal["video_queue", "video_retrieve"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of an account's requests; `reset` is a Unix timestamp in seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


class Limits:
    """The request counters of this process."""

    def __init__(self, settings: Settings) -> None:
        self._storage = MemoryStorage()
        self._items: Mapping[EndpointClass, RateLimitItemPerMinute] = {
            "video_queue": RateLimitItemPerMinute(settings.queue_per_minute),
            "video_retrieve": RateLimitItemPerMinute(settings.retrieve_per_minute),
        }

    async def hit(self, endpoint: EndpointClass, account_id: UUID) -> Allowance:
        """Count a request, unless none is left."""
        item = self._items[endpoint]
        # What the library's fixed window does, with its count and its end from the same window.
        key = item.key_for(endpoint, str(account_id))
        count = await self._storage.incr(key, item.get_expiry())
        reset = await self._storage.get_expiry(key)
        left = max(0, item.amount - count)
        return Allowance(count <= item.amount, item.amount, left, math.ceil(reset))
