"""Fetching the media that a customer's URL names: the one place that does.

One GET per address, without cookies, keys, proxies or compression, streamed into the spool. All
that can go wrong on the way has one answer, so that nobody learns about a network by asking.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import anyio
from anyio import CancelScope, CapacityLimiter, Semaphore, create_task_group, to_thread

from squero.errors import InvalidRequest, Issue
from squero.media.addresses import Rules
from squero.media.dial import Network, NoAnswer
from squero.media.exchange import Exchange
from squero.media.spool import Spool, Spooled
from squero.media.turns import Holder
from squero.media.urls import BadUrl, Url, parse_url

BATCH_BYTES = 256 * 1024
"""How much gathers before a thread seals it."""
SPOOL_THREADS = 1
"""More would only take turns at the interpreter's lock, with the event loop waiting behind them."""

Cover: TypeAlias = Callable[[int], None]
"""Makes room for so many bytes in all; raises AtCapacity when there is none."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What all the URLs of one request may take together."""

    urls: int = 4
    bytes: int = 100_000_000
    seconds: float = 20
    connect_seconds: float = 5
    """For looking up and connecting, at every redirect anew; and once more for TLS."""
    idle_seconds: float = 5
    """How long a server may be silent."""
    sockets_per_host: int = 2
    redirects: int = 3
    """For each URL."""


class UrlRefused(InvalidRequest):
    """A URL that is refused as it is written, before anything is looked up."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__([Issue((field,), message)])
        self.field = field


class FetchFailed(InvalidRequest):
    """A URL that gave no media: the same words whatever the reason."""

    def __init__(self, field: str) -> None:
        super().__init__([Issue((field,), "The media could not be fetched from its URL")])
        self.field = field


def uncounted(_: int) -> None:
    """Room for any number of bytes."""


class _Trip:
    """What the URLs of one request share while they are fetched."""

    def __init__(self, limits: Limits, holder: Holder, cover: Cover) -> None:
        self.holder = holder
        self.sockets = defaultdict[str, Semaphore](lambda: Semaphore(limits.sockets_per_host))
        self._limit_bytes = limits.bytes
        self._taken_bytes = 0
        self._cover = cover
        self.arrived: dict[str, Spooled] = {}
        self.failures: list[Exception] = []

    @property
    def left_bytes(self) -> int:
        """How many more may come."""
        return self._limit_bytes - self._taken_bytes

    def take(self, size: int) -> None:
        """Counts so many bytes that came; raises NoAnswer, AtCapacity."""
        self._taken_bytes += size
        if self.left_bytes < 0:
            raise NoAnswer
        self._cover(self._taken_bytes)


class Fetcher:
    """Fetches URLs into a spool; one for the whole process."""

    def __init__(
        self,
        spool: Spool,
        rules: Rules,
        *,
        limits: Limits | None = None,
        network: Network | None = None,
    ) -> None:
        self._spool = spool
        self._rules = rules
        self._limits = limits or Limits()
        self._network = network or Network()
        self._limiter = CapacityLimiter(SPOOL_THREADS)

    async def fetch(
        self,
        urls: Mapping[str, str],
        limit_bytes: Mapping[str, int],
        holder: Holder = None,
        cover: Cover = uncounted,
    ) -> dict[str, Spooled]:
        """The media at all the URLs of one request, by field; the caller closes them.

        Takes the URL and the largest size of each field, whose they are, and what makes room for
        their bytes as they come. Raises UrlRefused before any is fetched, FetchFailed as soon as
        one fails, AtCapacity; then nothing is left to close.
        """
        targets = self._targets(urls)
        trip = _Trip(self._limits, holder, cover)
        try:
            with anyio.move_on_after(self._limits.seconds):
                async with create_task_group() as group:
                    for field, url in targets.items():
                        stop = group.cancel_scope.cancel
                        group.start_soon(self._bring, trip, field, url, limit_bytes[field], stop)
            trip.failures += [FetchFailed(field) for field in targets if field not in trip.arrived]
            if trip.failures:
                raise trip.failures[0]
            return {field: trip.arrived[field] for field in targets}
        except BaseException:
            await self._in_thread(_close, trip.arrived)
            raise

    def _targets(self, urls: Mapping[str, str]) -> dict[str, Url]:
        targets: dict[str, Url] = {}
        for field, text in urls.items():
            if len(targets) == self._limits.urls:
                raise UrlRefused(field, f"A request may name {self._limits.urls} URLs at most")
            try:
                targets[field] = self._allowed(parse_url(text))
            except BadUrl as bad:
                raise UrlRefused(field, str(bad)) from None
        return targets

    def _allowed(self, url: Url) -> Url:
        if not self._rules.permit_port(url.host, url.port):
            raise BadUrl("The URL's port must be 80 or 443")
        return url

    async def _bring(
        self, trip: _Trip, field: str, url: Url, limit_bytes: int, stop: Callable[[], None]
    ) -> None:
        try:
            await self._follow(trip, field, url, limit_bytes)
        except NoAnswer:
            trip.failures.append(FetchFailed(field))
            stop()
        except Exception as broken:
            trip.failures.append(broken)
            stop()

    async def _follow(self, trip: _Trip, field: str, url: Url, limit_bytes: int) -> None:
        for _ in range(1 + self._limits.redirects):
            async with trip.sockets[url.host], aclosing(self._exchange(trip)) as exchange:
                await exchange.ask(url)
                if exchange.status == 200:
                    await self._keep(trip, field, exchange, limit_bytes)
                    return
                reference = exchange.redirect()
            url = self._redirected(url, reference)
        raise NoAnswer

    def _exchange(self, trip: _Trip) -> Exchange:
        return Exchange(
            self._network,
            self._rules,
            self._limits.connect_seconds,
            self._limits.idle_seconds,
            trip.holder,
        )

    def _redirected(self, url: Url, reference: str) -> Url:
        try:
            target = self._allowed(url.joined(reference))
        except BadUrl:
            raise NoAnswer from None
        downgrade = url.scheme == "https" and target.scheme == "http"
        # A stranger's server must not be the one to choose a host that the operator vouched for.
        inward = self._rules.vouch_for(target.host) and not self._rules.vouch_for(url.host)
        if downgrade or inward:
            raise NoAnswer
        return target

    async def _keep(self, trip: _Trip, field: str, exchange: Exchange, limit_bytes: int) -> None:
        """Streams the answer's body into the spool."""
        left_bytes = min(limit_bytes, trip.left_bytes)
        if exchange.declared_bytes > left_bytes:
            raise NoAnswer
        writer = await self._in_thread(self._spool.open)
        try:
            batch = bytearray()
            while piece := await exchange.read():
                left_bytes -= len(piece)
                if left_bytes < 0:
                    raise NoAnswer
                trip.take(len(piece))
                batch += piece
                if len(batch) >= BATCH_BYTES:
                    await self._in_thread(writer.write, batch)
                    batch = bytearray()
            await self._in_thread(writer.write, batch)
            trip.arrived[field] = await self._in_thread(writer.finish)
        except BaseException:
            await self._in_thread(writer.discard)
            raise

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        with CancelScope(shield=True):
            result = await to_thread.run_sync(call, *arguments, limiter=self._limiter)
        return result


def _close(arrived: dict[str, Spooled]) -> None:
    for spooled in arrived.values():
        spooled.close()
