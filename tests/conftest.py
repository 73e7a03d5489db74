"""What the tests stand on: a real PostgreSQL, a fresh database for each test, a yard, a house."""

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo

from squero.api.house import House
from squero.app import Application, open_house, open_yard
from squero.domain import accounts, keys
from squero.domain.accounts import Account
from squero.domain.keys import Caller
from squero.domain.yard import Yard
from squero.settings import Settings
from squero.store import embedded
from squero.store.migrate import migrate
from squero.store.programs import choose_identity, detach_program, run_program

_numbers = itertools.count(1)
_TABLES = (
    "idempotency",
    "upstream_prices",
    "transfers",
    "spending",
    "refusals",
    "generations",
    "shares",
    "balances",
    "keys",
    "accounts",
    "workers",
)


def pytest_configure() -> None:
    # A shell that runs the tests in its background has them ignore SIGINT, and so our children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def start_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Starts a PostgreSQL once: "wheel", or "system" for the one on PATH; gives its conninfo."""
    with ExitStack() as running:

        @cache
        def start(kind: str) -> str:
            if kind == "system":
                return running.enter_context(_system_cluster())
            wheel = embedded.start(tmp_path_factory.mktemp("cluster"))
            running.callback(wheel.stop)
            with psycopg.connect(wheel.url, user="postgres", autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                # Its workers are a superuser's, and may not be ended when a database is dropped.
                connection.execute("ALTER SYSTEM SET autovacuum = off")
                connection.execute("SELECT pg_reload_conf()")
            return wheel.url

        yield start


@pytest.fixture(scope="session")
def cluster(start_cluster: Callable[[str], str]) -> str:
    """The conninfo of a PostgreSQL that the whole session shares."""
    return start_cluster("wheel")


@contextmanager
def _system_cluster() -> Iterator[str]:
    found = shutil.which("postgres")
    if found is None or _major(found) < 15:
        pytest.skip("there is no PostgreSQL 15 or later on PATH")
    programs = Path(found).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="squero-pg-", dir="/tmp"))
    data = folder / "data"
    identity = choose_identity(data)
    os.chown(folder, identity.uid, identity.gid)
    initdb = (f"{programs}/initdb", "-D", str(data), "-A", "trust", "-U", "squero", "-E", "UTF8")
    made = run_program(identity, (*initdb, "--locale=C"))
    assert made.returncode == 0, made.stderr
    words = (f"{programs}/postgres", "-D", str(data), "-k", str(folder), "-cfsync=off")
    words += ("-cautovacuum=off",)
    with (folder / "log").open("wb") as log:
        detach_program(identity, (*words, "-clisten_addresses="), log=log.fileno(), keep=())
    url = make_conninfo(host=str(folder), user="squero", dbname="postgres")
    try:
        while pq.PGconn.ping(url.encode()) != pq.Ping.OK:
            time.sleep(0.02)
        yield url
    finally:
        _stop_system_cluster(data / "postmaster.pid")
        shutil.rmtree(folder)


def _major(postgres: str) -> int:
    words = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True)
    return int(words.stdout.split()[2].split(".")[0])


def _stop_system_cluster(record: Path) -> None:
    os.kill(int(record.read_text().splitlines()[0]), signal.SIGINT)
    while record.exists():
        time.sleep(0.02)


@cache
def template(cluster: str) -> str:
    """The name of a database in the cluster, with the schema, which tests copy."""
    name = f"template_{next(_numbers)}"
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    # Whoever asks may be inside an event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate(make_conninfo(cluster, dbname=name))).result()
    return name


@pytest.fixture
def database_url(cluster: str) -> Iterator[str]:
    """A database of the test's own, with the schema and nothing in it."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template(cluster)}")
        try:
            yield make_conninfo(cluster, dbname=name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a home of the test's own; override this fixture for others."""
    return Settings(home=tmp_path / "home")


@pytest.fixture
async def yard(anyio_backend: str, settings: Settings, database_url: str) -> AsyncIterator[Yard]:
    """What the domain's verbs work with."""
    async with open_yard(settings, database_url) as opened:
        yield opened


@pytest.fixture
async def house(yard: Yard) -> AsyncIterator[House]:
    """The house of a server without workers of its own; its chores run."""
    async with open_house(yard, own_workers=0) as opened:
        yield opened


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """Calls to the application without a socket between."""
    transport = httpx.ASGITransport(Application(house))
    async with httpx.AsyncClient(transport=transport, base_url="http://squero.test") as client:
        yield client


@dataclass(frozen=True, slots=True)
class Tenant:
    """An account with a key."""

    account: Account
    key: str
    caller: Caller

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


@pytest.fixture
def open_tenant(yard: Yard) -> Callable[..., object]:
    """Makes a Tenant: `await open_tenant(credit_micros=…)`; unmetered without credit."""

    async def make(credit_micros: int | None = None) -> Tenant:
        async with yard.database.transaction() as tx:
            billing = "unmetered" if credit_micros is None else "prepaid"
            account, _ = await accounts.find_or_open(tx, None, billing)
            if credit_micros:
                await accounts.top_up(tx, account, credit_micros)
            _, key = await keys.create(tx, yard.keyring, account.id, "INFERENCE", "")
        caller = await keys.Callers(yard.database, yard.keyring).find(key)
        return Tenant(account, key, caller)

    return make


@pytest.fixture(scope="session")
async def shared_house(
    anyio_backend: str, cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A house that is opened once for tests that clear it: see `cleared`."""
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE shared_house TEMPLATE {template(cluster)}")
    url = make_conninfo(cluster, dbname="shared_house")
    home = tmp_path_factory.mktemp("shared") / "home"
    async with open_yard(Settings(home=home), url) as yard, open_house(yard, 0) as opened:
        yield opened


@pytest.fixture
async def cleared(shared_house: House) -> House:
    """The shared house with nobody in it."""
    # Row by row, and from within the loop: the house's chores go on meanwhile.
    async with shared_house.yard.database.transaction() as tx:
        for table in _TABLES:
            await tx._connection.execute(f"DELETE FROM {table}")
    shutil.rmtree(shared_house.yard.settings.home / "media" / "generations", ignore_errors=True)
    shared_house.yard.admission.reset()
    shared_house.yard.prices.reset()
    shared_house.failures.reset()
    return shared_house
