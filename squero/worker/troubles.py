"""What a worker cannot render, and why: what this machine cannot load, and what failed too often.

The server hears of it with every claim, gives such jobs to others, and calls a model offline that
nobody can render.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from squero.client import ClientError, Http
from squero.engines.check import unloadable
from squero.worker.job import Job

log = structlog.get_logger(__name__)

DEFAULT = "motion"
"""The engine that comes with Squero and needs nothing: it is taken at its word."""

LOOK_SECONDS = 60.0
CHECK_SECONDS = 30.0
REASON = 300
"""The longest reason that the server takes, in characters."""

FAILURES = 3
OUT_SECONDS = 600.0


class Troubles:
    """Which models of its lane a worker keeps away from."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._models: set[str] = set()
        self._unloadable: Mapping[str, str] = {}
        self._out_until: dict[str, float] = {}
        self._failures: dict[UUID, str] = {}

    def told(self) -> dict[str, str]:
        """By model, why it is not rendered here."""
        now = time.monotonic()
        out = (model for model, until in self._out_until.items() if until > now)
        return {**dict.fromkeys(out, "Failed here too often"), **self._unloadable}

    async def look(self) -> None:
        """Ask the server for the lane's models, and see which this machine can load."""
        try:
            answer = await self._http.request("GET", "/worker/v1/models", retry=False)
        except ClientError:
            return  # the claim will tell that the server is away
        models: Sequence[Mapping[str, Any]] = answer.json()["models"]
        self._models = {str(entry["id"]) for entry in models}
        doubtful = [entry for entry in models if entry["engine"] != DEFAULT]
        found = await unloadable(doubtful, timeout=CHECK_SECONDS) if doubtful else {}
        for model in sorted(found.keys() - self._unloadable.keys()):
            log.warning("cannot load", model=model, why=found[model])
        self._unloadable = {model: _told(why) for model, why in found.items()}

    async def keep_looking(self) -> None:
        """Look again and again: what was missing may have been put there."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    def succeeded(self) -> None:
        """A render went well: whatever failed before, it was not this worker."""
        self._failures.clear()

    def failed(self, job: Job) -> None:
        """A job failed that is not known to be at fault: after three in a row the worker is out.

        Out for ten minutes, and then after one more. While it has other models and only one of
        them failed, that one alone is. A job that fails again and again is one.
        """
        self._failures[job.queue_id] = job.model
        if len(self._failures) < FAILURES:
            return
        failed = set(self._failures.values())
        is_one = len(failed) == 1 and bool(self._models - failed)
        out = failed if is_one else self._models | failed
        log.error("takes itself out", models=sorted(out), failures=FAILURES, seconds=OUT_SECONDS)
        self._out_until |= dict.fromkeys(out, time.monotonic() + OUT_SECONDS)
        kept = () if is_one else list(self._failures.items())[1 - FAILURES :]
        self._failures = dict(kept)


def _told(why: str) -> str:
    """As the server takes it: in one line, and not too long."""
    return "".join(one if one.isprintable() else " " for one in why)[:REASON]
