"""`squero serve`: the API and its own workers on one home."""

import asyncio
import contextlib
import fcntl
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import structlog
import uvicorn
import uvloop

from squero.api.http import config
from squero.app import Application, open_house, open_yard
from squero.cli.base import configure_logs, load_settings, open_database, refuse
from squero.domain import attempt, keys
from squero.domain.catalog import CatalogError
from squero.domain.yard import Yard
from squero.media.keyring import SecretRefused
from squero.settings import Settings

log = structlog.get_logger(__name__)

_FAREWELL_SECONDS = 15.0
_AGAIN_SECONDS = 1.0
_BACKLOG = 2048


class Server(uvicorn.Server):
    """uvicorn, with the signals left to us: workers are told to stop before it is."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def run(host: str, port: int, home: Path | None, workers: int) -> None:
    """Serve until SIGTERM or Ctrl-C; ends with SystemExit when it cannot."""
    settings = load_settings(home)
    configure_logs()
    # Until the loop has its own handlers, either signal unwinds what is open.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with _only_server(settings.home), _listener(host, port) as listener:
            with open_database(settings) as url:
                uvloop.run(_serve(settings, url, listener, workers))
    except (CatalogError, SecretRefused) as error:
        refuse(str(error))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


async def _serve(settings: Settings, url: str, listener: socket.socket, workers: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_yard(settings, url) as yard, open_house(yard, workers) as house:
        if settings.database_url is None:
            await attempt.release_own(yard)
        application = config(
            Application(house), lifespan="off", timeout_graceful_shutdown=_FAREWELL_SECONDS
        )
        async with _listening(Server(application), listener, stop):
            print(f"Squero is listening on {_url(listener)}", flush=True)
            async with _own_workers(yard, _own_url(listener), workers):
                await stop.wait()
                house.readiness.stopping = True
            house.bell.close()


@contextlib.asynccontextmanager
async def _listening(
    server: Server, listener: socket.socket, stop: asyncio.Event
) -> AsyncIterator[None]:
    serving = asyncio.create_task(server.serve([listener]))
    serving.add_done_callback(lambda _: stop.set())
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def _own_workers(yard: Yard, url: str, count: int) -> AsyncIterator[None]:
    """Workers like any other, over loopback; they hand back what they render when it ends."""
    tasks = [asyncio.create_task(_keep_worker(yard, url, number)) for number in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_worker(yard: Yard, url: str, number: int) -> None:
    async with yard.database.transaction() as tx:
        worker_id, token = await keys.create_worker(
            tx, yard.keyring, f"own {number}", "default", own=True
        )
    try:
        while True:
            code = await _run_worker(url, token)
            log.warning("a worker ended", code=code)
            await attempt.release_own(yard, worker_id)
            await asyncio.sleep(_AGAIN_SECONDS)
    finally:
        await _retire(yard, worker_id)


async def _run_worker(url: str, token: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "squero", "worker", "--server", url),
        stdin=asyncio.subprocess.DEVNULL,
        env=os.environ | {"SQUERO_WORKER_TOKEN": token, "SQUERO_WORKER_PARENT": str(os.getpid())},
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


async def _retire(yard: Yard, worker_id: UUID) -> None:
    await attempt.release_own(yard, worker_id)
    async with yard.database.transaction() as tx:
        await tx.run("workers.revoke", worker_id=worker_id)


@contextlib.contextmanager
def _only_server(home: Path) -> Iterator[None]:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / "serve.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        refuse(f"{error.filename}: not allowed. Choose another home with --home or SQUERO_HOME.")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse(f"Another `squero serve` runs on {home}. Stop it, or choose another --home.")
    try:
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        refuse(f"Cannot listen on {host}:{port} ({error.strerror}). Choose another --port.")
    with listener:
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _own_url(listener: socket.socket) -> str:
    """Where a process of this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if not address.is_unspecified:
        return _url(listener)
    return f"http://127.0.0.1:{port}" if address.version == 4 else f"http://[::1]:{port}"
