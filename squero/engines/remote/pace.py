"""How often an upstream is asked for news of a job: by the time that passed, and what it allows."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from squero.client.backoff import MILLISECONDS_FROM

POLL_SECONDS = 0.2
POLL_SHARE = 0.01
LONGEST_POLL_SECONDS = 5.0
WINDOW_SECONDS = 60.0
"""The longest that an upstream's word on its allowance is believed to matter."""


def pause_seconds(passed_seconds: float, headers: Mapping[str, str]) -> float:
    """How long to wait after an answer with these headers, so long after the job was given."""
    pause = POLL_SECONDS + POLL_SHARE * passed_seconds
    return min(max(pause, _spread_seconds(headers)), LONGEST_POLL_SECONDS)


def _spread_seconds(headers: Mapping[str, str]) -> float:
    """What makes the second half of an allowance last until the next one begins.

    Others who share it do the same, so it lasts as long as they are few. 0 where there is none.
    """
    try:
        names = (f"x-ratelimit-{one}-requests" for one in ("limit", "remaining", "reset"))
        limit, left, reset = (float(headers[name]) for name in names)
    except (KeyError, ValueError):
        return 0.0
    if not 2 * left <= limit:
        return 0.0
    at = reset / 1000 if reset >= MILLISECONDS_FROM else reset
    until = min(max(0.0, at - _now(headers)), WINDOW_SECONDS)
    return until / (max(0, left) + 1)


def _now(headers: Mapping[str, str]) -> float:
    """By the upstream's clock, where it tells it."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()
