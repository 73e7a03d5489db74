"""The database of a command: the home's own PostgreSQL, or the one that is set."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog
from psycopg import OperationalError, ProgrammingError

from squero.cli.base import refuse
from squero.settings import Settings
from squero.store import embedded
from squero.store.migrate import SchemaForeign, migrate, pending

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)

_AGAIN_SECONDS = 2.0


class OpenDatabase:
    """A database with the present schema, for as long as a command runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def kept(self, on_loss: Callable[[], None]) -> AsyncIterator[None]:
        """Keeps the database running meanwhile; one that is set is somebody else's work."""
        yield

    @property
    def moved(self) -> bool:
        """Whether it lives, but not at its URL any more."""
        return False


class Embedded(OpenDatabase):
    """The home's own, which is started again when it dies."""

    def __init__(self, home: Path, cluster: embedded.Cluster) -> None:
        super().__init__(cluster.url)
        self._home = home
        self._cluster = cluster

    def close(self) -> None:
        """Give up our share in it; the last one to do so stops it."""
        self._cluster.stop()

    @asynccontextmanager
    async def kept(self, on_loss: Callable[[], None]) -> AsyncIterator[None]:
        """Starts it again when it dies; `on_loss` is called when that is not enough."""
        keeping = asyncio.create_task(self._keep())
        keeping.add_done_callback(lambda _: on_loss())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self) -> None:
        """Returns when the database lives, but not where those who use it look for it."""
        while not self.moved:
            await ended(self._cluster.pid)
            log.error("PostgreSQL ended; starting it again")
            try:
                await asyncio.to_thread(self._restart)
            except (embedded.EmbeddedError, OSError) as error:
                log.error("PostgreSQL does not start", why=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)

    @property
    def moved(self) -> bool:
        """Whether its socket's folder was lost, and it had to begin another."""
        return self._cluster.url != self.url

    def _restart(self) -> None:
        dead, self._cluster = self._cluster, embedded.start(self._home)
        dead.stop()


async def ended(pid: int) -> None:
    """Returns when this process, which need not be a child of ours, has ended."""
    if pid == 0:  # in a container that shares our home: not ours to see
        await asyncio.Event().wait()
    if sys.platform != "linux":
        return await _gone(pid)
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, seen = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process, seen.set)
    try:
        await seen.wait()
    finally:
        loop.remove_reader(process)
        os.close(process)


async def _gone(pid: int) -> None:
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            await asyncio.sleep(_AGAIN_SECONDS)


@contextmanager
def open_database(settings: Settings) -> Iterator[OpenDatabase]:
    """A database with the present schema: the home's own, or the one that is set."""
    if settings.database_url is None:
        with _embedded(settings.home) as database:
            asyncio.run(answered(migrate(database.url)))
            yield database
        return
    url = settings.database_url.get_secret_value()
    missing = asyncio.run(answered(pending(url)))
    if missing:
        refuse(f"The database lacks migrations {missing}: run `squero migrate` first.")
    yield OpenDatabase(url)


async def answered(question: Awaitable[Answer]) -> Answer:
    """What the database answers; refuses when it does not, or has a schema that is not ours."""
    try:
        return await question
    except SchemaForeign as foreign:
        refuse(f"{foreign}.")
    except OperationalError:
        refuse("The database at SQUERO_DATABASE_URL does not answer: is it running and reachable?")
    except ProgrammingError:
        # Its text may quote the URL, and with it the password.
        refuse("SQUERO_DATABASE_URL is not a PostgreSQL URL, such as postgresql://user@host/name.")


@contextmanager
def _embedded(home: Path) -> Iterator[OpenDatabase]:
    with _unwinding():
        with _refusing():
            database = Embedded(home, embedded.start(home))
        try:
            yield database
        finally:
            with _refusing():
                database.close()


@contextmanager
def _unwinding() -> Iterator[None]:
    """SIGTERM unwinds what is open, as Ctrl-C does, unless the command has its own way with it."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except embedded.EmbeddedError as error:
        refuse(str(error))
    except OSError as error:
        mend = "Choose another home with --home or SQUERO_HOME."
        refuse(f"{error.filename}: {error.strerror}. {mend}")
