"""`squero serve`: the API and its own workers on one home."""

import asyncio
import contextlib
import errno
import fcntl
import ipaddress
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import structlog
import uvicorn
import uvloop
from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from squero import bubblewrap
from squero.api.http import config
from squero.app import Application, open_house, open_yard
from squero.cli.base import configure_logs, load_settings, refuse
from squero.cli.crew import crew, server_id
from squero.cli.database import OpenDatabase, open_database
from squero.domain import unfinished
from squero.domain.catalog import CatalogError
from squero.domain.policy import PolicyError
from squero.domain.yard import Yard
from squero.media.addresses import Rules
from squero.media.keyring import SecretRefused
from squero.sandbox import Sandbox, SandboxDied
from squero.settings import Settings

log = structlog.get_logger(__name__)

_FAREWELL_SECONDS = 15.0
_BACKLOG = 2048
_DEV = (
    "DEVELOPMENT MODE: whoever has a key can make this server fetch from http://localhost, any"
    " port. Never run it like this where others can reach it, through a proxy or a tunnel neither."
)
_OPEN = (
    "NO SANDBOX: nothing on this machine encloses what decodes customers' media. A damaged picture"
    f" may do what this user may. Mend: {bubblewrap.MEND}."
)


class Server(uvicorn.Server):
    """uvicorn, with the signals left to us: workers are told to stop before it is."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def run(host: str, port: int, home: Path | None, workers: int, *, dev: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C, which end it with status 0; SystemExit when it cannot.

    With `dev` a customer's URL may name localhost, and nobody but this machine may call.
    """
    if dev:
        _only_here(host)
    settings = load_settings(home)
    configure_logs()
    raise_open_files()
    try:
        Rules(settings.allowed_hosts, dev)
    except ValueError as wrong:
        refuse(f"These settings cannot be used:\n  allowed_hosts: {wrong}", 2)
    # Until the loop has its own handlers, either signal unwinds what is open.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with (
            _only_server(settings.home),
            _listener(host, port) as listener,
            open_database(settings) as database,
        ):
            uvloop.run(_serve(settings, database, listener, workers, dev))
            if database.moved:
                refuse("PostgreSQL lost its socket and has another now: start Squero again.")
    except (CatalogError, PolicyError, SecretRefused) as error:
        refuse(str(error))
    except SandboxDied as died:
        refuse(f"What decodes customers' media does not start ({died}). See `squero doctor`.")
    except (DatabaseError, PoolTimeout) as error:
        refuse(f"The database went away while the server started ({type(error).__name__}).")
    except KeyboardInterrupt:
        raise SystemExit(0) from None


def raise_open_files() -> None:
    """As many open files as the system lets this process have: a connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # some systems have a lower limit of their own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(
    settings: Settings, database: OpenDatabase, listener: socket.socket, workers: int, dev: bool
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_yard(settings, database.url, dev=dev) as yard:
        for sandbox in (yard.sandbox, yard.pictures):
            await _see_enclosed(sandbox, listener)
        await _serve_yard(yard, database, listener, workers, stop)


async def _serve_yard(
    yard: Yard,
    database: OpenDatabase,
    listener: socket.socket,
    workers: int,
    stop: asyncio.Event,
) -> None:
    async with open_house(yard, workers) as house:
        server = server_id(yard.settings.home)
        await unfinished.release_own(yard, server)
        application = config(
            Application(house), lifespan="off", timeout_graceful_shutdown=_FAREWELL_SECONDS
        )
        async with _listening(Server(application), listener, stop):
            async with crew(yard, server, _own_url(listener), workers), database.kept(stop.set):
                print(f"Squero is listening on {_url(listener)}", flush=True)
                await stop.wait()
                house.readiness.stopping = True
            house.bell.close()


@contextlib.asynccontextmanager
async def _listening(
    server: Server, listener: socket.socket, stop: asyncio.Event
) -> AsyncIterator[None]:
    serving = asyncio.create_task(server.serve([listener]))
    serving.add_done_callback(lambda _: stop.set())
    serving.add_done_callback(lambda _: server.up.set())
    try:
        await server.up.wait()
        yield
    finally:
        server.should_exit = True
        await serving


async def _see_enclosed(sandbox: Sandbox, listener: socket.socket) -> None:
    """Customers' bytes are decoded behind a wall, or this machine alone may send any."""
    if (await sandbox.protection()).encloses:
        return
    host = listener.getsockname()[0]
    if not ipaddress.ip_address(host).is_loopback:
        refuse(f"{_OPEN} Until then only loopback is served, and {host} is not: leave out --host.")
    print(_OPEN, file=sys.stderr, flush=True)


def _only_here(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        refuse(f"--dev serves this machine alone, and {host} is not loopback. Leave one of them.")
    print(_DEV, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _only_server(home: Path) -> Iterator[None]:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / "serve.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        mend = "Choose another home with --home or SQUERO_HOME."
        refuse(f"{error.filename}: {error.strerror}. {mend}")
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
        known = not isinstance(error, socket.gaierror)
        why = os.strerror(error.errno or 0) if known else error.strerror
        mend = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        refuse(f"Cannot listen on {host}:{port} ({why}). Choose another {mend}.")
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
