"""The server's own workers: processes like any other worker's, over loopback, kept alive."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from squero.domain import attempt, keys
from squero.domain.yard import Yard

log = structlog.get_logger(__name__)

_FAREWELL_SECONDS = 10.0
_AGAIN_SECONDS = 1.0


def server_id(home: Path) -> UUID:
    """By what this server knows its own workers again: drawn once, and kept in its home.

    Raises OSError.
    """
    kept = home / "server"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return UUID(kept.read_text("ascii"))
    drawn, draft = uuid4(), home / "server.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(str(drawn))
    draft.replace(kept)
    return drawn


@contextlib.asynccontextmanager
async def crew(yard: Yard, server: UUID, url: str, count: int) -> AsyncIterator[None]:
    """Workers that serve the API at this URL; when it ends they hand back what they render."""
    tasks = [asyncio.create_task(_keep(yard, server, url, number)) for number in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(yard: Yard, server: UUID, url: str, number: int) -> None:
    """One worker after another; each has a token of its own, which dies with it."""
    while True:
        try:
            async with _token(yard, server, f"own {number}") as token:
                log.warning("a worker ended", code=await _run(url, token))
        except (DatabaseError, PoolTimeout) as lost:
            log.warning("a worker waits for the database", error=type(lost).__name__)
        await asyncio.sleep(_AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def _token(yard: Yard, server: UUID, name: str) -> AsyncIterator[str]:
    async with yard.database.transaction() as tx:
        worker_id, token = await keys.create_worker(
            tx, yard.keyring, name, "default", server=server
        )
    try:
        yield token
    finally:
        await attempt.release_own(yard, server, worker_id)


async def _run(url: str, token: str) -> int:
    """The exit status of one worker's process, which is told to stop when this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "squero", "worker", "--server", url),
        stdin=asyncio.subprocess.DEVNULL,
        env=_environment(token),
        # Ctrl-C in a terminal is for the server, which tells its workers when it is ready to.
        start_new_session=True,
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _FAREWELL_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


def _environment(token: str) -> dict[str, str]:
    """Ours without our settings: neither the database nor the secret is a worker's business."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SQUERO_")}
    told = {"SQUERO_WORKER_TOKEN": token, "SQUERO_WORKER_PARENT": str(os.getpid())}
    return own | told
