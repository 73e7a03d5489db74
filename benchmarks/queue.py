"""How many jobs a second the verb `queue` takes, beside a bare commit of the same database."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.report import Report
from benchmarks.stage import Stage, Tenant, made_yard, make_tenant
from squero.domain import generation
from squero.domain.video_request import VideoRequest
from squero.domain.yard import Yard
from squero.store.db import Database

CALLERS = (1, 4, 16)
TEXT = VideoRequest("motion-text-to-video", "gondolas in the fog", "5s", resolution="480p")


async def run(stage: Stage) -> Report:
    """Commits a second with 1, 4 and 16 callers at once, of one account or of as many."""
    report = Report(
        "queue: the verb, without HTTP and without a picture",
        ("callers", "bare commits/s", "one account/s", "accounts each/s", "one/bare", "each/bare"),
    )
    seconds = stage.pick(30, 1) / 10
    async with made_yard(stage, "queue") as yard:
        tenants = [await make_tenant(yard) for _ in range(max(CALLERS))]
        await _prepare(yard.database)
        for callers in CALLERS:
            bare = await _rate([_bare(yard.database)] * callers, seconds)
            one = await _rate([_queue(yard, tenants[0])] * callers, seconds)
            each = await _rate([_queue(yard, tenant) for tenant in tenants[:callers]], seconds)
            report.add(callers, bare, one, each, one / bare, each / bare)
    report.notes.append("A bare commit is one INSERT of a row with one column, from the same pool.")
    report.notes.append("Client, database and load share the machine's cores.")
    return report


async def _rate(calls: Sequence[Callable[[], Awaitable[object]]], seconds: float) -> float:
    """How often a second the calls are made when each is repeated for that long."""
    began = time.perf_counter()

    async def repeat(call: Callable[[], Awaitable[object]]) -> int:
        count = 0
        while time.perf_counter() - began < seconds:
            await call()
            count += 1
        return count

    counts = await asyncio.gather(*map(repeat, calls))
    return sum(counts) / (time.perf_counter() - began)


def _queue(yard: Yard, tenant: Tenant) -> Callable[[], Awaitable[object]]:
    return lambda: generation.queue(yard, tenant.caller, TEXT, None)


def _bare(database: Database) -> Callable[[], Awaitable[object]]:
    async def commit() -> None:
        async with database._pool.connection() as connection:
            await connection.execute("INSERT INTO bare VALUES (1)")

    return commit


async def _prepare(database: Database) -> None:
    async with database._pool.connection() as connection:
        await connection.execute("CREATE TABLE bare (one integer)")
