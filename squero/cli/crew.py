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

from squero.domain import keys, unfinished
from squero.domain.yard import Yard
from squero.engines import machine
from squero.engines.child import place

log = structlog.get_logger(__name__)

_FAREWELL_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
_GPUS = "CUDA_VISIBLE_DEVICES"


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
    gpus = await asyncio.to_thread(share_gpus, count)
    tasks = [
        asyncio.create_task(_keep(yard, server, url, number, share))
        for number, share in enumerate(gpus)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Not one by one: the end may have cut short what was done for one that died before it.
        with contextlib.suppress(DatabaseError, PoolTimeout, OSError):
            await unfinished.release_own(yard, server)


def share_gpus(count: int) -> list[str | None]:
    """What CUDA_VISIBLE_DEVICES says to each of so many workers; None: what it says to us.

    The GPUs go round: worker k of n gets k, k + n, …; workers without one of their own share.
    """
    named = os.environ.get(_GPUS)
    if count < 2:
        return [None] * count
    if named is None:
        # Not by number: CUDA counts from the fastest, the driver by the bus.
        gpus = [gpu.uuid for gpu in machine.look().gpus]
    else:
        gpus = [name.strip() for name in named.split(",") if name.strip()]
    if len(gpus) < 2:
        return [None] * count
    return [",".join(gpus[number % len(gpus) :: count]) for number in range(count)]


async def _keep(yard: Yard, server: UUID, url: str, number: int, gpus: str | None) -> None:
    """One worker after another; each has a token of its own, which dies with it."""
    while True:
        try:
            worker_id, token = await _hire(yard, server, f"own {number}")
            await _run(url, token, gpus)
            await unfinished.release_own(yard, server, worker_id)
        except (DatabaseError, PoolTimeout) as lost:
            log.warning("a worker waits for the database", error=type(lost).__name__)
        except Exception as error:
            # Such as a disk that deletes nothing any more: the others render on.
            log.error("a worker waits", error=type(error).__name__, at=place(error))
        await asyncio.sleep(_AGAIN_SECONDS)


async def _hire(yard: Yard, server: UUID, name: str) -> tuple[UUID, str]:
    async with yard.database.transaction() as tx:
        return await keys.create_worker(tx, yard.keyring, name, "default", server=server)


async def _run(url: str, token: str, gpus: str | None) -> None:
    """One worker's process from its start to its end; cancelled, it is told to stop."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "squero", "worker", "--server", url),
            stdin=asyncio.subprocess.DEVNULL,
            env=_environment(token, gpus),
            # Ctrl-C in a terminal is for the server, which tells its workers when it is ready to.
            start_new_session=True,
        )
    except OSError as error:
        log.warning("a worker does not start", error=type(error).__name__)
        return
    try:
        log.warning("a worker ended", code=await process.wait())
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    # Each may find that it has just ended, and an error would take the place of a cancellation.
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _FAREWELL_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def _environment(token: str, gpus: str | None) -> dict[str, str]:
    """Ours without our settings: neither the database nor the secret is a worker's business."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SQUERO_")}
    told = {"SQUERO_WORKER_TOKEN": token, "SQUERO_WORKER_PARENT": str(os.getpid())}
    return own | told | ({} if gpus is None else {_GPUS: gpus})
