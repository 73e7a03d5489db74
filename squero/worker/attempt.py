"""One attempt at a job, from its inputs to the server's answer to its end."""

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import structlog

from squero.client import ApiError, ClientError, Http
from squero.engines.child import place
from squero.engines.host import Interrupted
from squero.engines.reports import Listener
from squero.shot import BadInput, Crashed, DeadlineExceeded, OutOfMemory, RenderError, Stopped
from squero.worker.berth import Berth, Elsewhere
from squero.worker.job import Job
from squero.worker.progress import Progress
from squero.worker.troubles import GONE, Troubles
from squero.worker.warm import Loaded, Warm

log = structlog.get_logger(__name__)

PROGRESS_SECONDS = 1.0
FAREWELL_SECONDS = 5.0
LIMIT_MESSAGE = 200
STALE = (404, 409)
SETTLED = 400
"""The answer to a result that is not what was ordered: the server has counted the strike."""


class Attempt:
    """A job in hand: fetched while another is rendered, delivered while the next one is."""

    def __init__(
        self, http: Http, folder: Path, berth: Berth, warm: Warm, troubles: Troubles, job: Job
    ) -> None:
        self._http = http
        self._folder = folder / f"{job.queue_id}-{job.attempt}"
        self._berth = berth
        self._warm = warm
        self._troubles = troubles
        self._job = job
        self._progress = Progress()
        self._held: Loaded | None = None
        berth.come(self._progress)

    async def run(self) -> None:
        """See it through; cancelled, it is handed back."""
        job, progress = self._job, self._progress
        log.info("claimed", model=job.model, **job.words)
        reports = asyncio.create_task(self._report())
        try:
            await self._see_through()
            log.info("rendered", **job.words)
            self._troubles.succeeded()
            reports.cancel()  # the next would be told that the attempt is over
            await self._settle()
        except Stopped:
            log.info("no longer wanted", **job.words)
            if progress.cancelled:
                await self._settle()
        except RenderError as failed:
            log.warning("failed", kind=failed.kind, why=_fit_to_log(failed), **job.words)
            await self._judge(failed)
            await self._tell(only_news=True)
            await self._fail(failed)
        except ClientError as lost:
            log.warning("abandoned", error=type(lost).__name__, **job.words)
            await self._abandon(lost)
        except Elsewhere as why:
            log.info("handed back", why=str(why), **job.words)
            await self._hand_back()
        except Interrupted:
            await self._begin_anew()
        except OSError as broken:
            log.error("the scratch folder failed", error=broken.strerror, **job.words)
            self._troubles.failed(job)
            await self._fail(Crashed())
        except Exception as error:
            # Whatever it is, the other jobs in hand are not to suffer.
            log.error("unexpected error", error=type(error).__name__, at=place(error), **job.words)
            self._stop()
            await self._fail(Crashed())
        except asyncio.CancelledError:
            log.info("handed back", **job.words)
            self._stop()
            await self._hand_back()
            raise
        finally:
            reports.cancel()
            await asyncio.gather(reports, return_exceptions=True)
            self._let_go()
            self._berth.go(progress)
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _see_through(self) -> None:
        media = await self._fetch()
        job, progress, out = self._job, self._progress, self._folder / "result.mp4"
        shot = job.shot_of(media)
        progress.note = shot.note
        await self._berth.enter(progress)
        if job.model in self._troubles.told():  # since it was claimed
            raise Elsewhere("It failed here too often")
        held = self._held = await self._warm.hold(job)
        # Nothing is awaited between this line and the render, which a stop reaches by the host.
        progress.begin()
        log.info("rendering", **job.words)
        listener = Listener(self._heard, progress.hear, self._drawn)
        await held.host.render(shot, out, job.deadline_seconds, listener)
        self._drawn()
        if progress.note is None:
            self._let_go()
        await self._http.request(
            "PUT", f"{job.path}/result", content=out, headers={"content-type": "video/mp4"}
        )

    async def _fetch(self) -> Mapping[str, Path]:
        await asyncio.to_thread(self._folder.mkdir, 0o700)
        media = {}
        for role in self._job.shot["inputs"]:
            path = f"{self._job.path}/inputs/{role}"
            media[role] = await self._http.download("GET", path, self._folder / f"input-{role}")
        return media

    def _heard(self, share: float) -> None:
        self._progress.tell(share)
        self._berth.look()

    def _drawn(self) -> None:
        self._berth.leave(self._progress)

    async def _report(self) -> None:
        """Tell the server every second how far the render is, and what is news at once."""
        while not self._progress.unwanted:
            await self._progress.news(PROGRESS_SECONDS)
            await self._tell()

    async def _tell(self, *, only_news: bool = False) -> None:
        """One report; stops the render when nobody wants it."""
        progress = self._progress
        note, begins = progress.untold, progress.begins
        if note is None and only_news:
            return
        news = {"note": note} if note is not None else {}
        try:
            answer = await self._http.request(
                "POST",
                f"{self._job.path}/progress",
                json={"progress": progress.share, **news, **({"begins": True} if begins else {})},
                retry=False,
            )
        except ApiError as refused:
            if refused.status in (*STALE, *GONE):
                progress.unwanted = True
        except ClientError:
            return  # the server is away; when it is back the lease is renewed
        else:
            progress.told(note, begins=begins)
            if not answer.json()["go_on"]:
                progress.unwanted = progress.cancelled = True
        if progress.unwanted:
            self._stop()

    def _stop(self) -> None:
        """Stop the render if it is under way; what only waits will find out."""
        if self._held is not None and self._berth.holds(self._progress):
            self._held.host.stop()

    async def _settle(self) -> None:
        """Have the engine let go of what it noted: the video is sealed, or will never be wanted."""
        if self._progress.note is not None:
            try:
                self._held = self._held or await self._warm.hold(self._job)
                await self._held.host.settle(self._progress.note)
            except RenderError as failed:
                log.warning("not let go", kind=failed.kind, why=str(failed))

    async def _judge(self, failed: RenderError) -> None:
        """Whether it was the worker, and what is to be done about it."""
        if isinstance(failed, Crashed | DeadlineExceeded):
            self._troubles.failed(self._job)
        if isinstance(failed, OutOfMemory):
            self._let_go()
            await self._warm.clear()

    async def _begin_anew(self) -> None:
        """The engine's process ended, perhaps for another job's sake: once that is no strike."""
        job = self._job
        if self._troubles.first_interruption(job):
            log.info("handed back", why="the engine's process ended under two jobs", **job.words)
            await self._hand_back()
        else:
            log.warning("failed", kind=Crashed.kind, why="interrupted again", **job.words)
            await self._fail(Crashed())

    async def _abandon(self, lost: ClientError) -> None:
        """Say so when it was the server that would not give an input or take the result."""
        if isinstance(lost, ApiError) and lost.status == SETTLED:
            self._troubles.failed(self._job)
        elif isinstance(lost, ApiError) and lost.status not in (*STALE, *GONE):
            await self._fail(Crashed())
        if self._progress.note is not None:
            await self._tell()  # is the job another's now, or nobody's?
        if self._progress.cancelled:
            await self._settle()

    async def _fail(self, failed: RenderError) -> None:
        message = str(failed)[:LIMIT_MESSAGE] if isinstance(failed, BadInput) else None
        body = {"kind": failed.kind, "message": message}
        with contextlib.suppress(ClientError):
            await self._http.request("POST", f"{self._job.path}/failure", json=body)

    async def _hand_back(self) -> None:
        with contextlib.suppress(ClientError, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._tell(only_news=True)
                await self._http.request("POST", f"{self._job.path}/hand-back", retry=False)

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._warm.let_go(held)


def _fit_to_log(failed: RenderError) -> str | None:
    """Why it failed, but for what a customer may read: that may quote what the customer wrote."""
    return None if isinstance(failed, BadInput) else str(failed)
