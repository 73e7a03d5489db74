"""The way of a shot through upstreams: given to one, followed there, fetched, and let go of.

What an upstream was asked to do is noted as soon as it has answered, so whoever comes next goes on
from there; and what is asked a second time bears the first time's key.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from squero.client import Backoff, BrokenDownload, ClientError, Http
from squero.engines import Tell
from squero.engines.remote import pace, slots, upstream
from squero.engines.remote.fit import deliver
from squero.engines.remote.pool import Pool
from squero.engines.remote.survey import survey
from squero.engines.remote.ticket import Ticket
from squero.engines.remote.upstream import Away, Broke, Gone, Ready, Upstream
from squero.shot import BadInput, Shot, UpstreamFailed

HEED_SECONDS = 0.1
OUTAGE_SECONDS = 300.0
"""How long a shot waits for upstreams that are all away, or for word of its own."""
TURNS = 3
"""How many jobs of one attempt may come to nothing."""
FORGET_SECONDS = 10.0
QUICK = Backoff(tries=3, total_seconds=5.0, first_seconds=0.2, cap_seconds=1.0)

Result = TypeVar("Result")


class Dialect(Protocol):
    """What an upstream speaks. Every call raises Away; the last three raise Gone."""

    async def start(self, http: Http, at: Upstream, shot: Shot, key: str) -> str:
        """Give it the shot, once for each key; its id. Raises BadInput when it refuses it."""

    async def look(self, http: Http, at: Upstream, id: str) -> float | Ready:  # noqa: A002
        """How far the job is; raises BadInput, and Broke when there will be no video."""

    async def fetch(self, http: Http, at: Upstream, id: str, target: Path) -> None:  # noqa: A002
        """Save the video; raises BrokenDownload."""

    async def forget(self, http: Http, at: Upstream, id: str) -> None:  # noqa: A002
        """Have it delete what it keeps of the job."""

    async def serves(self, http: Http, at: Upstream) -> bool:
        """Whether the model can be had there now, as far as a cheap call tells."""


class Relay:
    """The engine: renders nothing itself."""

    network = True

    def __init__(self, dialect: Dialect, upstreams: Sequence[Mapping[str, Any]]) -> None:
        self._dialect = dialect
        self._pool = Pool(upstream.read(upstreams))

    def load(self) -> None:
        """Nothing: an upstream that is away now may be back for the first shot."""

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        """Write what an upstream made of the shot; raises BadInput, UpstreamFailed, Stopped."""
        source = out.with_suffix(".upstream")
        journey = Journey(self._dialect, self._pool, shot, tell)
        asyncio.run(_heeding(journey.run(source, out), lambda: tell(journey.share)))

    def settle(self, note: str) -> None:
        """Have the upstream delete what it keeps of this job, if it answers."""
        asyncio.run(forget(self._dialect, self._pool, Ticket.read(note)))

    def missing(self, constraints: Mapping[str, object] | None = None) -> str | None:
        """Why no job can be rendered now, in a sentence; None when one can."""
        there = asyncio.run(survey(self._pool.upstreams, self._dialect.serves))
        if any(there):
            return None
        return (
            "None of its upstreams serves the model" if there else "None of its upstreams answers"
        )


async def forget(dialect: Dialect, pool: Pool, ticket: Ticket) -> None:
    """Have the ticket's upstream delete its copy; what it does not is left to its own expiry."""
    at = pool.find(ticket.upstream or "")
    if at is None or ticket.id is None:
        return
    with suppress(Away, Gone, ClientError, TimeoutError):
        async with asyncio.timeout(FORGET_SECONDS), at.http(QUICK) as http:
            await dialect.forget(http, at, ticket.id)


async def _heeding(work: Coroutine[Any, Any, Result], heed: Callable[[], None]) -> Result:
    """The result of the work, which ends at once when `heed` raises."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=HEED_SECONDS))[0]:
            heed()
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Journey:
    """One shot on its way."""

    def __init__(self, dialect: Dialect, pool: Pool, shot: Shot, tell: Tell) -> None:
        self._dialect = dialect
        self._pool = pool
        self._shot = shot
        self._tell = tell
        self._key = shot.key or uuid4().hex
        self._ticket = Ticket.read(shot.note)
        self.share = 0.0

    async def run(self, source: Path, out: Path) -> None:
        """The whole way, to the video at `out`; raises BadInput, UpstreamFailed."""
        last = self._ticket.turn + TURNS
        while self._ticket.turn < last:
            at, slot = await self._place()
            try:
                await self._follow(at, source)
                await asyncio.to_thread(deliver, source, self._shot, out)
                return
            except BadInput:
                await self._void()
                raise
            except (Broke, Gone):
                await self._void()
                self._pool.leave_out(at)
            finally:
                slot.release()
        raise UpstreamFailed("No upstream's job came to a video")

    async def _void(self) -> None:
        """This job gives no video: the upstream may drop it, and the next has another key."""
        await forget(self._dialect, self._pool, self._ticket)
        self._ticket = self._ticket.void()
        self._tell(self.share, self._ticket.note)

    async def _place(self) -> tuple[Upstream, slots.Slot]:
        """Where the shot is rendered: where it already is, or at the first that takes it."""
        at = self._pool.find(self._ticket.upstream or "")
        if at is not None and self._ticket.id is not None:
            return at, slots.take(at.url, at.model, at.limit) or slots.Slot(None)
        until = time.monotonic() + OUTAGE_SECONDS
        while True:
            able = self._pool.order(self._key)
            for at in able:
                if (slot := await self._offer(at)) is not None:
                    return at, slot
            if able:
                until = max(until, time.monotonic() + pace.POLL_SECONDS)
            if time.monotonic() > until:
                raise UpstreamFailed("All upstreams are away")
            await asyncio.sleep(pace.POLL_SECONDS)

    async def _offer(self, at: Upstream) -> slots.Slot | None:
        """A place at this upstream, if it has one and took the shot."""
        slot, took = slots.take(at.url, at.model, at.limit), False
        if slot is None:
            return None
        try:
            took = await self._start(at)
        finally:
            if not took:
                slot.release()
        return slot if took else None

    async def _start(self, at: Upstream) -> bool:
        """Whether this upstream took the shot."""
        key = f"{self._key}-{self._ticket.turn}"
        async with at.http() as http:
            for _ in range(2):
                try:
                    id = await self._dialect.start(http, at, self._shot, key)  # noqa: A001
                except Away as away:
                    if away.asked:
                        continue  # it may have taken it, and says so when it is asked again
                    break
                self._ticket = self._ticket.at(at.name, id)
                self._tell(self.share, self._ticket.note)
                self._pool.praise(at)
                return True
        self._pool.leave_out(at)
        return False

    async def _follow(self, at: Upstream, source: Path) -> None:
        """Wait for the upstream's video and save it; raises Broke, Gone, BadInput."""
        assert self._ticket.id is not None
        began = heard = time.monotonic()
        async with at.http() as http:
            while True:
                try:
                    found = await self._dialect.look(http, at, self._ticket.id)
                    if isinstance(found, Ready):
                        await self._dialect.fetch(http, at, self._ticket.id, source)
                        return
                    heard = time.monotonic()
                    self.share = max(self.share, min(found, 0.99))
                except (Away, BrokenDownload):
                    if time.monotonic() - heard > OUTAGE_SECONDS:
                        raise UpstreamFailed("The upstream gives no news of the job") from None
                passed_seconds = time.monotonic() - began
                await asyncio.sleep(pace.pause_seconds(passed_seconds, http.heard))
