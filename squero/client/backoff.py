"""How often and how long to wait before a call is made again."""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import anyio
import httpx

TRANSIENT = frozenset({429, 500, 502, 503, 504})

MILLISECONDS_FROM = 100_000_000_000
"""A Unix timestamp this large is in milliseconds: the hosted API sends 13 digits."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with full jitter, bounded in number and in time.

    The wait before try n is random between nothing and `first_seconds` times 2 to the n, at most
    `cap_seconds`. No wait begins that would end after `total_seconds`.
    """

    tries: int = 10
    total_seconds: float = 120.0
    first_seconds: float = 0.5
    cap_seconds: float = 20.0
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time

    def start(self) -> "Waits":
        """The waits of one call."""
        return Waits(self)

    def told_seconds(self, response: httpx.Response) -> float | None:
        """How long the server asks to wait; None where it does not say."""
        told = _seconds(response.headers.get("retry-after"))
        if told is None and response.status_code == 429:
            reset = _seconds(response.headers.get("x-ratelimit-reset-requests"))
            if reset is not None:
                at = reset / 1000 if reset >= MILLISECONDS_FROM else reset
                told = max(0.0, at - self._server_now(response))
        return told

    def _server_now(self, response: httpx.Response) -> float:
        """The time by the server's own clock where it tells it: ours may be wrong."""
        try:
            return parsedate_to_datetime(response.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return self.now()


class Waits:
    """The tries of one call, counted from its first."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self.restart()

    def restart(self) -> None:
        """Count anew: something was gained since the last try."""
        self.tried = 0
        self._since = self._backoff.monotonic()

    async def another(self, told_seconds: float | None = None) -> bool:
        """Wait for the next try, not less than told; False at once when there is none."""
        plan = self._backoff
        self.tried += 1
        if self.tried >= plan.tries:
            return False
        jitter = plan.random()
        if told_seconds is None:
            reach = min(plan.cap_seconds, plan.first_seconds * 2.0 ** min(self.tried - 1, 60))
            seconds = jitter * reach
        else:
            # All who were told the same moment should not come back in the same moment.
            seconds = told_seconds + jitter * plan.first_seconds
        if plan.monotonic() + seconds > self._since + plan.total_seconds:
            return False
        await plan.sleep(seconds)
        return True


def _seconds(text: str | None) -> float | None:
    """A header's plain, non-negative number."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
