"""The way of a shot through upstreams: given to one, followed there, fetched, and let go of.

Which upstream is offered the shot is noted before it is, and its job as soon as it has answered, so
whoever comes next goes on from there; and what is asked a second time bears the first time's key.
While an upstream may have taken the shot and has not said so, nobody else is offered it.
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
from squero.engines.remote.ticket import Taken, Ticket
from squero.engines.remote.upstream import Away, Broke, Gone, Ready, Upstream
from squero.shot import BadInput, Shot, UpstreamFailed

HEED_SECONDS = 0.1
OUTAGE_SECONDS = 300.0
"""How long a shot waits for upstreams that are all away, for word of its own, or for an answer that
was lost."""
TURNS = 3
"""How many jobs of one attempt may come to nothing."""
FORGET_SECONDS = 10.0
QUICK = Backoff(tries=3, total_seconds=5.0, first_seconds=0.2, cap_seconds=1.0)

Result = TypeVar("Result")


class Dialect(Protocol):
    """What an upstream speaks. Every call raises Away; the last three raise Gone."""

    async def start(self, http: Http, at: Upstream, shot: Shot, key: str) -> Taken:
        """Give it the shot, once for each key. Raises BadInput when it refuses it."""

    async def look(self, http: Http, at: Upstream, job: Taken) -> float | Ready:
        """How far the job is; raises BadInput, and Broke when there will be no video."""

    async def fetch(self, http: Http, at: Upstream, job: Taken, ready: Ready, target: Path) -> None:
        """Save the video; raises BrokenDownload, and BadInput when it cannot be had."""

    async def forget(self, http: Http, at: Upstream, job: Taken) -> None:
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
    if at is None or ticket.job is None:
        return
    with suppress(Away, Gone, ClientError, TimeoutError):
        async with asyncio.timeout(FORGET_SECONDS), at.http(QUICK) as http:
            await dialect.forget(http, at, ticket.job)


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
        self._note(self._ticket.void())

    def _note(self, ticket: Ticket) -> None:
        if ticket != self._ticket:
            self._ticket = ticket
            self._tell(self.share, ticket.note)

    async def _place(self) -> tuple[Upstream, slots.Slot]:
        """Where the shot is rendered: where it already is, or at the first that takes it."""
        until = time.monotonic() + OUTAGE_SECONDS
        at = self._pool.find(self._ticket.upstream or "")
        if at is not None and self._ticket.job is not None:
            return at, slots.take(at.url, at.model, at.limit) or slots.Slot(None)
        if at is not None and await self._offer(at, slot := await self._room(at)):
            return at, slot
        while True:
            able = self._pool.order(self._key)
            for at in able:
                found = slots.take(at.url, at.model, at.limit)
                if found is not None and await self._offer(at, found):
                    return at, found
            if able:
                until = max(until, time.monotonic() + pace.POLL_SECONDS)
            if time.monotonic() > until:
                raise UpstreamFailed("All upstreams are away")
            await asyncio.sleep(pace.POLL_SECONDS)

    async def _room(self, at: Upstream) -> slots.Slot:
        """A place at the upstream that may have the shot: one elsewhere would not do."""
        while True:
            if (slot := slots.take(at.url, at.model, at.limit)) is not None:
                return slot
            await asyncio.sleep(pace.POLL_SECONDS)

    async def _offer(self, at: Upstream, slot: slots.Slot) -> bool:
        """Whether this upstream took the shot; the place is given back if it did not."""
        took = False
        try:
            job = await self._start(at)
            self._note(self._ticket.at(at.name if job else None, job))
            (self._pool.praise if job else self._pool.leave_out)(at)
            took = job is not None
        finally:
            if not took:
                slot.release()
        return took

    async def _start(self, at: Upstream) -> Taken | None:
        """The job that this upstream made of the shot; None when it did not take it.

        Once an answer was lost it may have, and no later word but the job's id says which.
        """
        key, lost = f"{self._key}-{self._ticket.turn}", self._ticket.upstream == at.name
        self._note(self._ticket.at(at.name))
        began = time.monotonic()
        async with at.http() as http:
            while True:
                try:
                    return await self._dialect.start(http, at, self._shot, key)
                except Away as away:
                    lost = lost or away.asked
                passed_seconds = time.monotonic() - began
                if not lost or passed_seconds > OUTAGE_SECONDS:
                    return None
                await asyncio.sleep(pace.pause_seconds(passed_seconds, http.heard))

    async def _follow(self, at: Upstream, source: Path) -> None:
        """Wait for the upstream's video and save it; raises Broke, Gone, BadInput."""
        job = self._ticket.job
        assert job is not None
        began = heard = time.monotonic()
        async with at.http() as http:
            while True:
                try:
                    found = await self._dialect.look(http, at, job)
                    if isinstance(found, Ready):
                        await self._dialect.fetch(http, at, job, found, source)
                        return
                    heard = time.monotonic()
                    self.share = max(self.share, min(found, 0.99))
                except (Away, BrokenDownload):
                    if time.monotonic() - heard > OUTAGE_SECONDS:
                        raise UpstreamFailed("The upstream gives no news of the job") from None
                passed_seconds = time.monotonic() - began
                await asyncio.sleep(pace.pause_seconds(passed_seconds, http.heard))
