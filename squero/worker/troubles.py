"""What a worker cannot render, and why: what this machine cannot load, and what failed too often.

The server hears of it with every claim, gives such jobs to others, and calls a model offline that
nobody can render.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from squero.client import ApiError, ClientError, Http
from squero.engines.check import unloadable
from squero.worker.job import Job

log = structlog.get_logger(__name__)

DEFAULT = "motion"
"""The engine that comes with Squero and needs nothing: it is taken at its word."""

LOOK_SECONDS = 60.0
CHECK_SECONDS = 30.0
REASON = 300
"""The longest reason that the server takes, in characters."""
TOLD = 20_000
"""All reasons together: a claim has 64 KiB at most, and names besides."""
REMEMBERED = 1000

GONE = (401, 403)
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
        self._interrupted: OrderedDict[UUID, None] = OrderedDict()
        self._doubted: set[str] = set()
        self._looked = False

    def told(self) -> dict[str, str]:
        """By model, why it is not rendered here."""
        now = time.monotonic()
        out = [model for model, until in self._out_until.items() if until > now]
        told = {**dict.fromkeys(out, "Failed here too often"), **self._unloadable}
        most = min(REASON, TOLD // max(1, len(told)))
        return {model: _told(why, most) for model, why in told.items()}

    def first_interruption(self, job: Job) -> bool:
        """Whether the engine's process has not ended under this job before."""
        is_first = job.queue_id not in self._interrupted
        self._interrupted[job.queue_id] = None
        if len(self._interrupted) > REMEMBERED:
            self._interrupted.popitem(last=False)
        return is_first

    async def look(self) -> bool:
        """Ask the server for the lane's models, and see which this machine can load.

        False when it did not answer as it should: then nothing is known anew. Raises ApiError when
        it does not take the token.
        """
        try:
            answer = await self._http.request("GET", "/worker/v1/models", retry=False)
            models: Sequence[Mapping[str, Any]] = answer.json()["models"]
        except ApiError as refused:
            if refused.status in GONE:
                raise
            return False
        except (ClientError, ValueError, LookupError, TypeError):
            return False
        self._models = {str(entry["id"]) for entry in models}
        doubtful = [entry for entry in models if entry["engine"] != DEFAULT]
        found = await unloadable(doubtful, timeout=CHECK_SECONDS) if doubtful else {}
        for model in sorted(found.keys() - self._doubted):
            log.warning("cannot load", model=model, why=found[model])
        # One look may be a hiccup of the machine; two in a row are none.
        self._unloadable = {
            model: why
            for model, why in found.items()
            if not self._looked or model in self._doubted or model in self._unloadable
        }
        self._doubted = set(found)
        self._looked = True
        return True

    async def keep_looking(self) -> None:
        """Look again and again: what was missing may have been put there."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except ApiError:
                pass  # the claims hear the same, and end the worker
            except OSError as error:  # no process could be started, for want of something
                log.warning("cannot look what can be loaded", error=error.strerror)

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


def _told(why: str, most: int) -> str:
    """As the server takes it: in one line, and not too long."""
    return "".join(one if one.isprintable() else " " for one in why)[:most]
