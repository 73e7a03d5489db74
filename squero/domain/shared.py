"""Windows that replicas share: in a Redis or Valkey, counted by the library `limits`."""

import asyncio
import time
from typing import Any, Final

import structlog
from limits.aio.storage import RedisStorage
from limits.errors import StorageError

log = structlog.get_logger(__name__)

_ANSWER_SECONDS: Final = 0.25
_AGAIN_SECONDS: Final = 1.0
_PREFIX: Final = "squero"
# Whoever calls has better to do than to try again; and the client's own name would be looked up in
# files, on the event loop.
_OPTIONS: Final[dict[str, Any]] = {"retry": None, "driver_info": None}


class Shared:
    """One store for many processes. It may be away: nobody waits long for it, and few do."""

    def __init__(self, url: str) -> None:
        self._storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=_PREFIX,
            **_OPTIONS,
        )
        self._away = False
        self._asks_again_at = 0.0

    async def count(self, key: str, seconds: int) -> tuple[int, float] | None:
        """Count in the key's window of so many seconds: the count, and when the window ends.

        The end is a Unix timestamp. None while the store is away: one call a second asks again.
        """
        if self._away and time.monotonic() < self._asks_again_at:
            return None
        self._asks_again_at = time.monotonic() + _AGAIN_SECONDS
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                counted = await self._storage.incr(key, seconds)
                ends = await self._storage.get_expiry(key)
        except (StorageError, TimeoutError) as error:
            self._note(error)
            return None
        self._note(None)
        return counted, ends

    async def aclose(self) -> None:
        """Close the connections."""
        bridge: Any = self._storage.bridge
        await bridge.get_connection().aclose()

    def _note(self, error: Exception | None) -> None:
        if self._away == (error is not None):
            return
        self._away = error is not None
        if error is None:
            log.info("requests are counted in the shared store again")
        else:
            # Its words may quote the URL, and so the password.
            cause = type(error.__cause__ or error).__name__
            log.warning("the shared store is away: each process counts by itself", error=cause)
