"""The upstreams of a model: in which order a job tries them, and which are left out for a while."""

import hashlib
import math
import time
from collections.abc import Sequence

from squero.engines.remote.upstream import Upstream

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0


class Pool:
    """One worker's view of the upstreams; it lasts from job to job."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self._upstreams = tuple(upstreams)
        self._failures: dict[str, int] = {}
        self._out_until: dict[str, float] = {}

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """All of them, in the entry's order."""
        return self._upstreams

    def find(self, name: str) -> Upstream | None:
        """The upstream of this name, unless the entry has lost it meanwhile."""
        return next((one for one in self._upstreams if one.name == name), None)

    def order(self, key: str) -> list[Upstream]:
        """The upstreams that are not left out, in the order in which this job tries them.

        By weighted rendezvous: the same key gives the same order in every process, so that a call
        that is repeated after a crash reaches the server that had it first.
        """
        now = time.monotonic()
        able = [one for one in self._upstreams if self._out_until.get(one.name, 0.0) <= now]
        return sorted(able, key=lambda one: -math.log(_draw(key, one.name)) / one.weight)

    def leave_out(self, upstream: Upstream) -> None:
        """It failed: leave it out, for twice as long each time in a row."""
        failures = self._failures.get(upstream.name, 0)
        self._failures[upstream.name] = failures + 1
        seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures, 10))
        self._out_until[upstream.name] = time.monotonic() + seconds

    def praise(self, upstream: Upstream) -> None:
        """It answered as it should."""
        self._failures.pop(upstream.name, None)
        self._out_until.pop(upstream.name, None)


def _draw(key: str, name: str) -> float:
    """A number above 0 and at most 1, by chance and yet always the same."""
    digest = hashlib.sha256(f"{key}\n{name}".encode()).digest()
    return (int.from_bytes(digest[:7], "big") + 1) / 2**56
