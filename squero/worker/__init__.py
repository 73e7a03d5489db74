"""A worker: claims over HTTP, renders in a child, reports, uploads.

It knows a URL and a token, neither database nor store. Its files lie in a private folder in
memory. It renders one job at a time; the next one is fetched when that is about to end, and the
last one's result goes out meanwhile. While the server is away it renders on, and brings the result
later.
"""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import structlog

from squero.client import ApiError, Backoff, ClientError, Http
from squero.engines.machine import Machine, look
from squero.engines.scratch import scratch
from squero.worker.attempt import Attempt
from squero.worker.berth import Berth
from squero.worker.job import Job
from squero.worker.prices import Prices
from squero.worker.troubles import GONE, Troubles
from squero.worker.warm import Warm

log = structlog.get_logger(__name__)

CLAIM_SECONDS = 20.0
AGAIN_SECONDS = 1.0

PATIENCE = Backoff(tries=1_000, total_seconds=600.0, first_seconds=0.25, cap_seconds=1.0)
"""A rendered result waits ten minutes for a server that is away. The tries come often: a server
that is back takes a job away from a worker that stays silent for the length of a lease."""


class TokenRefused(Exception):
    """The server does not know the worker's token, or revoked it."""


class Worker:
    """Works for one server until its task is cancelled; then hands its jobs back."""

    def __init__(self, http: Http, folder: Path, machine: Machine) -> None:
        self._http = http
        self._folder = folder
        self._berth = Berth()
        self._warm = Warm(folder, machine)
        self._troubles = Troubles(http)
        self._away = False

    async def run(self) -> None:
        """Claim and render for ever; raises TokenRefused."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._first_look()
                tasks.create_task(self._troubles.keep_looking())
                tasks.create_task(Prices(self._http, self._folder).run())
                while True:
                    await self._berth.vacancy()
                    job = await self._claim()
                    if job is not None:
                        tasks.create_task(self._attempt(job).run())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            await self._warm.aclose()

    async def _first_look(self) -> None:
        """Until it is known what this machine can load, nothing is claimed."""
        try:
            while not await self._troubles.look():
                await self._later("cannot tell its models")
        except ApiError as refused:
            raise TokenRefused(str(refused)) from None

    def _attempt(self, job: Job) -> Attempt:
        return Attempt(self._http, self._folder, self._berth, self._warm, self._troubles, job)

    async def _claim(self) -> Job | None:
        asked = {
            "warm": self._warm.models,
            "troubles": self._troubles.told(),
            "wait_seconds": CLAIM_SECONDS,
        }
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
            await self._later(type(refused).__name__)
            return None
        except ClientError as lost:
            await self._later(type(lost).__name__)
            return None
        self._away = False
        if answer.status_code == 204:
            # A server that stops answers at once.
            await asyncio.sleep(max(0.0, asked_at + AGAIN_SECONDS - loop.time()))
            return None
        try:
            return Job.read(answer.json())
        except (ValueError, LookupError, TypeError):
            await self._later("an answer that is none of Squero's")
            return None

    async def _later(self, why: str) -> None:
        if not self._away:
            log.warning("the server is away", error=why)
        self._away = True
        await asyncio.sleep(AGAIN_SECONDS)


async def work(server: str, token: str) -> None:
    """Work for this server until SIGTERM or SIGINT; raises TokenRefused, ValueError."""
    task = asyncio.current_task()
    assert task is not None
    _cancel_once(task)
    machine = await asyncio.to_thread(look)
    with scratch() as folder, contextlib.suppress(asyncio.CancelledError):
        async with Http(server, token, backoff=PATIENCE) as http:
            await Worker(http, folder, machine).run()


def _cancel_once(task: asyncio.Task[Any]) -> None:
    """On the first signal; another would cut the farewell short."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        if not told.is_set():
            told.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
