"""A worker: claims over HTTP, renders in a child, reports, uploads.

It knows a URL and a token, neither database nor store. Its files lie in a private folder in
memory; one job at a time. While the server is away it renders on, and brings the result later.
"""

import asyncio
import contextlib
import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from squero.client import ApiError, Backoff, ClientError, Http
from squero.engines.host import Host
from squero.engines.scratch import scratch
from squero.prices import Prices
from squero.shot import BadInput, Crashed, RenderError, Shot, Stopped

log = structlog.get_logger(__name__)

CLAIM_SECONDS = 20.0
PROGRESS_SECONDS = 1.0
AGAIN_SECONDS = 1.0
FAREWELL_SECONDS = 5.0
LIMIT_MESSAGE = 200
STALE = (404, 409)
GONE = (401, 403)
SETTLED = 400
"""The answer to a result that is not what was ordered: the server has counted the strike."""

PATIENCE = Backoff(tries=1_000, total_seconds=600.0, first_seconds=0.25, cap_seconds=1.0)
"""A rendered result waits ten minutes for a server that is away. The tries come often: a server
that is back takes a job away from a worker that stays silent for the length of a lease."""


class TokenRefused(Exception):
    """The server does not know the worker's token, or revoked it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed attempt."""

    queue_id: UUID
    attempt: int
    model: str
    engine: str
    options: Mapping[str, Any]
    shot: Mapping[str, Any]
    deadline_seconds: float

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Job":
        """The job in the answer to a claim; words of a newer server are left out."""
        known = {one.name: body[one.name] for one in fields(cls)}
        return cls(**known | {"queue_id": UUID(body["queue_id"])})

    @property
    def path(self) -> str:
        """Where the server listens for news of it."""
        return f"/worker/v1/jobs/{self.queue_id}/{self.attempt}"

    def shot_of(self, media: Mapping[str, Path]) -> Shot:
        """What the engine renders, of these files."""
        known = {one.name for one in fields(Shot)}
        wanted = {name: value for name, value in self.shot.items() if name in known}
        return Shot(**wanted, media=media, types=self.shot["inputs"], key=str(self.queue_id))


class Worker:
    """Works for one server until its task is cancelled; then hands its job back."""

    def __init__(self, http: Http, folder: Path) -> None:
        self._http = http
        self._folder = folder
        self._host: Host | None = None
        self._loaded: tuple[str, str] | None = None
        self._warm: set[str] = set()
        self._away = False

    async def run(self) -> None:
        """Claim and render for ever; raises TokenRefused."""
        prices = asyncio.create_task(Prices(self._http, self._folder).run())
        try:
            while True:
                job = await self._claim()
                if job is not None:
                    await self._work(job)
        finally:
            prices.cancel()
            await asyncio.gather(prices, return_exceptions=True)
            await self._close_host()

    async def _claim(self) -> Job | None:
        asked = {"warm": sorted(self._warm), "wait_seconds": CLAIM_SECONDS}
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            answer = await self._http.request(
                "POST",
                "/worker/v1/claim",
                json=asked,
                retry=False,
                silence_seconds=CLAIM_SECONDS + 30,
            )
        except ApiError as refused:
            if refused.status in GONE:
                raise TokenRefused(str(refused)) from None
            await self._later(refused)
            return None
        except ClientError as lost:
            await self._later(lost)
            return None
        self._away = False
        if answer.status_code == 204:
            # A server that stops answers at once.
            await asyncio.sleep(max(0.0, asked_at + AGAIN_SECONDS - loop.time()))
            return None
        return Job.read(answer.json())

    async def _later(self, why: Exception) -> None:
        if not self._away:
            log.warning("the server is away", error=type(why).__name__)
        self._away = True
        await asyncio.sleep(AGAIN_SECONDS)

    async def _work(self, job: Job) -> None:
        """One attempt, from its inputs to the server's answer to its end."""
        folder = self._folder / f"{job.queue_id}-{job.attempt}"
        words = {"queue_id": str(job.queue_id), "attempt": job.attempt}
        log.info("rendering", model=job.model, **words)
        progress = Progress()
        reports = asyncio.create_task(self._report(job, progress))
        try:
            await self._attempt(job, folder, progress)
            log.info("rendered", **words)
            reports.cancel()  # the next would be told that the attempt is over, and stop the engine
            await self._settle(progress)
        except Stopped:
            log.info("no longer wanted", **words)
            if progress.cancelled:
                await self._settle(progress)
        except RenderError as failed:
            log.warning("failed", kind=failed.kind, why=_fit_to_log(failed), **words)
            await self._tell(job, progress, only_news=True)
            await self._fail(job, failed)
        except ClientError as lost:
            log.warning("abandoned", error=type(lost).__name__, **words)
            await self._abandon(job, lost)
            if progress.note is not None:
                await self._tell(job, progress)  # is the job another's now, or nobody's?
            if progress.cancelled:
                await self._settle(progress)
        except OSError as broken:
            log.error("the scratch folder failed", error=broken.strerror, **words)
            await self._fail(job, Crashed())
        except asyncio.CancelledError:
            log.info("handed back", **words)
            await self._hand_back(job, progress)
            raise
        finally:
            reports.cancel()
            await asyncio.gather(reports, return_exceptions=True)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _attempt(self, job: Job, folder: Path, progress: "Progress") -> None:
        await asyncio.to_thread(folder.mkdir, 0o700)
        media = {}
        for role in job.shot["inputs"]:
            path = f"{job.path}/inputs/{role}"
            media[role] = await self._http.download("GET", path, folder / f"input-{role}")
        shot, out = job.shot_of(media), folder / "result.mp4"
        progress.note = shot.note
        host = await self._engine(job)
        # Nothing is awaited between this line and the render, which a stop reaches by the host.
        progress.heed()
        await host.render(shot, out, progress.tell, job.deadline_seconds, progress.hear)
        await self._http.request(
            "PUT", f"{job.path}/result", content=out, headers={"content-type": "video/mp4"}
        )

    async def _engine(self, job: Job) -> Host:
        """The engine that the job asks for; another one that is loaded makes room for it."""
        wanted = (job.engine, json.dumps(job.options, sort_keys=True))
        if self._host is None or self._loaded != wanted:
            await self._close_host()
            try:
                self._host = Host(job.engine, job.options, self._folder)
            except LookupError as unknown:
                raise Crashed(str(unknown)) from None
            self._loaded = wanted
        self._warm.add(job.model)
        return self._host

    async def _report(self, job: Job, progress: "Progress") -> None:
        """Tell the server every second how far the render is, and a note at once."""
        while not progress.unwanted:
            await progress.news()
            await self._tell(job, progress)

    async def _tell(self, job: Job, progress: "Progress", *, only_news: bool = False) -> None:
        """One report; stops the render when nobody wants it."""
        note, body = progress.untold, {"progress": progress.share}
        if note is None and only_news:
            return
        try:
            answer = await self._http.request(
                "POST",
                f"{job.path}/progress",
                json=body if note is None else body | {"note": note},
                retry=False,
            )
        except ApiError as refused:
            if refused.status in (*STALE, *GONE):
                progress.unwanted = True
        except ClientError:
            return  # the server is away; when it is back the lease is renewed
        else:
            if progress.untold == note:
                progress.untold = None
            if not answer.json()["go_on"]:
                progress.unwanted = progress.cancelled = True
        if progress.unwanted and self._host is not None:
            self._host.stop()

    async def _settle(self, progress: "Progress") -> None:
        """Have the engine let go of what it noted: the video is sealed, or will never be wanted."""
        if progress.note is not None and self._host is not None:
            try:
                await self._host.settle(progress.note)
            except RenderError as failed:
                log.warning("not let go", kind=failed.kind, why=str(failed))

    async def _abandon(self, job: Job, lost: ClientError) -> None:
        """Say so when it was the server that would not give an input or take the result."""
        if isinstance(lost, ApiError) and lost.status not in (*STALE, *GONE, SETTLED):
            await self._fail(job, Crashed())

    async def _fail(self, job: Job, failed: RenderError) -> None:
        message = str(failed)[:LIMIT_MESSAGE] if isinstance(failed, BadInput) else None
        body = {"kind": failed.kind, "message": message}
        with contextlib.suppress(ClientError):
            await self._http.request("POST", f"{job.path}/failure", json=body)

    async def _hand_back(self, job: Job, progress: "Progress") -> None:
        if self._host is not None:
            self._host.stop()
        with contextlib.suppress(ClientError, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._tell(job, progress, only_news=True)
                await self._http.request("POST", f"{job.path}/hand-back", retry=False)

    async def _close_host(self) -> None:
        host, self._host, self._loaded = self._host, None, None
        self._warm.clear()
        if host is not None:
            await host.aclose()


class Progress:
    """How much of a render is done, from 0 to 1."""

    def __init__(self) -> None:
        self.share = 0.0
        self.note: str | None = None
        """What the engine noted last, in this attempt or in an earlier one."""
        self.untold: str | None = None
        """The note that the server does not have yet."""
        self.unwanted = False
        """Whether the server has said that it does not want the result any more."""
        self.cancelled = False
        """Whether nobody else renders it either."""
        self._noted = asyncio.Event()

    def tell(self, share: float) -> None:
        """What the engine's child reports."""
        self.share = min(1.0, max(0.0, share))

    def hear(self, note: str) -> None:
        """What the engine's child notes."""
        self.note = self.untold = note
        self._noted.set()

    async def news(self) -> None:
        """Wait for a note, or for the time of the next report."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROGRESS_SECONDS):
                await self._noted.wait()
        self._noted.clear()

    def heed(self) -> None:
        """Raises Stopped when nobody wants the result."""
        if self.unwanted:
            raise Stopped("The server does not want it any more")


def _fit_to_log(failed: RenderError) -> str | None:
    """Why it failed, but for what a customer may read: that may quote what the customer wrote."""
    return None if isinstance(failed, BadInput) else str(failed)


async def work(server: str, token: str) -> None:
    """Work for this server until SIGTERM or SIGINT; raises TokenRefused, ValueError."""
    task = asyncio.current_task()
    assert task is not None
    _cancel_once(task)
    with scratch() as folder, contextlib.suppress(asyncio.CancelledError):
        async with Http(server, token, backoff=PATIENCE) as http:
            await Worker(http, folder).run()


def _cancel_once(task: asyncio.Task[Any]) -> None:
    """On the first signal; another would cut the farewell short."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        if not told.is_set():
            told.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
