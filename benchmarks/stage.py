"""What a benchmark stands on: a PostgreSQL of its own, databases, yards, tenants, sealed jobs."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from squero.app import open_yard
from squero.domain import accounts, keys
from squero.domain.keys import Caller, Worker
from squero.domain.yard import Yard
from squero.settings import Settings
from squero.store.migrate import migrate

CREDIT_MICROS = 10**15
LIMIT_JOBS = 10**8


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one benchmark runs; a tiny run shows only that it works."""

    cluster: str
    cluster_pid: int
    folder: Path
    tiny: bool = False
    profile: Path | None = None
    """Where the profile of `squero serve` goes, if it is to be profiled."""

    def pick(self, full: int, tiny: int) -> int:
        """The size of something."""
        return tiny if self.tiny else full


@dataclass(frozen=True, slots=True)
class Tenant:
    """An account with credit, and its key."""

    caller: Caller
    key: str


async def make_database(stage: Stage, name: str) -> str:
    """A new database with the schema; gives its conninfo."""
    with psycopg.connect(stage.cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = make_conninfo(stage.cluster, dbname=name)
    await migrate(url)
    return url


@asynccontextmanager
async def made_yard(stage: Stage, name: str) -> AsyncIterator[Yard]:
    """A yard on a new database and a new home."""
    url = await make_database(stage, name)
    settings = Settings(home=stage.folder / name, queued_per_account=LIMIT_JOBS)
    async with open_yard(settings, url) as yard:
        yield yard


async def make_tenant(yard: Yard) -> Tenant:
    """A prepaid account that no benchmark can empty."""
    async with yard.database.transaction() as tx:
        account, _ = await accounts.find_or_open(tx, None, "prepaid")
        await accounts.top_up(tx, account, CREDIT_MICROS)
        _, key = await keys.create(tx, yard.keyring, account.id, "INFERENCE", "")
    return Tenant(await keys.Callers(yard.database, yard.keyring).find(key), key)


async def make_worker(yard: Yard, lane: str = "default") -> Worker:
    """A worker of this lane, as the gate would find it."""
    async with yard.database.transaction() as tx:
        worker_id, _ = await keys.create_worker(tx, yard.keyring, f"worker {uuid4()}", lane)
    return Worker(worker_id, lane, own=False, name="bench")


def cores() -> tuple[int, int]:
    """The core for the server and the core for its load; the same one where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]
